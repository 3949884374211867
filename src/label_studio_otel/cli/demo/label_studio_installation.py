"""What a Label Studio server on this machine is made from: an environment of its own, and a migrated database.

Both are slow to make, an installation and hundreds of migrations, so that they are made once and kept in the cache
directory.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from label_studio_otel.cli.demo.environment import VirtualEnvironment, lock, minimal_environment, quiet, run_command

if TYPE_CHECKING:
    from pathlib import Path

    from label_studio_otel.cli.demo.environment import Progress

__all__ = ["DATABASE", "LABEL_STUDIO_VERSION", "RUN", "LabelStudioInstallation"]

LABEL_STUDIO_VERSION = "1.23.2"
#: Name of the database in a data directory.
DATABASE = "label_studio.sqlite3"
#: Label Studio's command line, as a program for `python -c`.
RUN = "from label_studio.server import main; main()"
#: First and last interpreter that Label Studio runs on; another one leaves the choice to uv.
SUPPORTED_PYTHONS = ((3, 10), (3, 13))
#: No call to anybody outside: version check, usage statistics, error reports of server and page.
OFFLINE = {
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}


@dataclass(frozen=True)
class LabelStudioInstallation:
    """Label Studio, ready to start on as many data directories as are wanted."""

    cache_dir: Path

    @property
    def environment(self) -> VirtualEnvironment:
        """Label Studio's own virtual environment: its pins rarely fit an application's."""
        supported = SUPPORTED_PYTHONS[0] <= sys.version_info[:2] <= SUPPORTED_PYTHONS[1]
        version = "{}.{}".format(*(sys.version_info[:2] if supported else SUPPORTED_PYTHONS[1]))
        return VirtualEnvironment(
            path=self.cache_dir / f"label-studio-{LABEL_STUDIO_VERSION}-py{version}",
            requirements=(f"label-studio=={LABEL_STUDIO_VERSION}",),
            python=None if supported else version,
        )

    @property
    def database(self) -> Path:
        """A migrated database with nobody in it, to be copied."""
        return self.cache_dir / f"label-studio-{LABEL_STUDIO_VERSION}-template.sqlite3"

    def ensure(self, progress: Progress = quiet) -> None:
        """Make the environment and the migrated database, unless they are there."""
        self.environment.ensure(progress=progress, message=f"installing Label Studio {LABEL_STUDIO_VERSION}")
        if self.database.exists():
            return
        message = "preparing Label Studio's database, once"
        with lock(self.database.with_suffix(".lock"), progress=progress, message=message):
            if not self.database.exists():
                self._migrate(progress, message)

    def variables(self, data_dir: Path) -> dict[str, str]:
        """Return the environment of a Label Studio process that keeps its data there and calls nobody outside."""
        return {
            **minimal_environment(),
            **OFFLINE,
            "PYTHONUNBUFFERED": "1",
            "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        }

    def _migrate(self, progress: Progress, message: str) -> None:
        work = self.database.with_suffix(".partial")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        # `version` migrates as every command does, and makes neither user nor organization: these and the secret key
        # (in .env, which is not copied) are made by each server for itself.
        run_command(
            [str(self.environment.executable), "-c", RUN, "version"],
            env=self.variables(work),
            log=self.database.with_suffix(".log"),
            progress=progress,
            message=message,
        )
        (work / DATABASE).replace(self.database)
        shutil.rmtree(work)
