"""What each Label Studio server on this machine is started from: a virtual environment and a migrated database.

Both take minutes to make (an installation, hundreds of migrations). They are made once and kept in the cache directory.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from label_studio_otel.cli.demo.environment import RUNNING_PYTHON, Progress, VirtualEnvironment, quiet, run_command

LABEL_STUDIO_VERSION = "1.23.2"
#: Name of the database in a data directory.
DATABASE = "label_studio.sqlite3"
#: Label Studio's command line, as a program for `python -c`.
RUN = "from label_studio.server import main; main()"
#: First and last interpreter that Label Studio runs on.
SUPPORTED_PYTHONS = ((3, 10), (3, 13))
#: Label Studio reads many ordinary names (HOST, DEBUG, USERNAME, DJANGO_DB) as settings: it inherits these only.
INHERITED = ("PATH", "HOME", "USERPROFILE", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LOCALAPPDATA")


@dataclass(frozen=True)
class LabelStudioInstallation:
    """A Label Studio that can be started on any number of data directories."""

    cache_dir: Path

    @property
    def environment(self) -> VirtualEnvironment:
        """Label Studio's own virtual environment: its pinned dependencies rarely fit those of an application."""
        supported = SUPPORTED_PYTHONS[0] <= sys.version_info[:2] <= SUPPORTED_PYTHONS[1]
        return VirtualEnvironment(
            f"label-studio-{LABEL_STUDIO_VERSION}",
            (f"label-studio=={LABEL_STUDIO_VERSION}",),
            python=RUNNING_PYTHON if supported else "{}.{}".format(*SUPPORTED_PYTHONS[1]),
            cache_dir=self.cache_dir,
        )

    @property
    def database(self) -> Path:
        """A migrated database without users, to be copied."""
        return self.cache_dir / f"label-studio-{LABEL_STUDIO_VERSION}-template.sqlite3"

    def ensure(self, progress: Progress = quiet) -> None:
        """Make the environment and the migrated database unless they exist.

        Raises:
            CommandFailed: one of them cannot be made.
        """
        self.environment.ensure(progress=progress, message=f"installing Label Studio {LABEL_STUDIO_VERSION}")
        if self.database.exists():
            return
        # `version` migrates, as every command does, and makes neither user nor organization: each server makes its own,
        # and its own secret key, which is in .env and not copied.
        with tempfile.TemporaryDirectory(prefix="label-studio-template.", dir=self.cache_dir) as work:
            run_command(
                [str(self.environment.program("python")), "-c", RUN, "version"],
                env=self.variables(Path(work)),
                log=self.database.with_suffix(".log"),
                progress=progress,
                message="preparing Label Studio's database, once",
            )
            Path(work, DATABASE).replace(self.database)  # renamed, so that an unfinished one is never copied

    def variables(self, data_dir: Path) -> dict[str, str]:
        """Return the environment of a Label Studio process that keeps its data there and calls no server outside."""
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            # No version check, no usage statistics, no error reports of server and page.
            "LATEST_VERSION_CHECK": "false",
            "COLLECT_ANALYTICS": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "PYTHONUNBUFFERED": "1",
            "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        }
