"""A PostgreSQL cluster of the tests' own, for Label Studio.

Label Studio's hundreds of migrations are run once: the migrated cluster is kept as an archive in the cache directory,
beside the SQLite template, and unpacked for each new server:

    with PostgreSQL(migrated()) as database, LabelStudioServer(directory, env=database.variables) as server: ...
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli.demo.environment import cache_directory, quiet, run_command
from label_studio_otel.cli.demo.label_studio_installation import LABEL_STUDIO_VERSION, RUN, LabelStudioInstallation
from label_studio_otel.cli.demo.label_studio_server import HOST, free_port
from support.locks import lock

if TYPE_CHECKING:
    from typing_extensions import Self

DATABASE = "label_studio"
USER = "postgres"
START_SECONDS = 60.0
#: Runs a command until its stdin ends, which it does with the process that holds the other end: then ends it in order.
RUN_WITH_PARENT = '"$@" & child=$!; cat >/dev/null; kill -INT $child; wait $child'


class PostgreSQLMissing(RuntimeError):
    """PostgreSQL's programs are not installed."""


class PostgreSQL:
    """A running cluster on a free loopback port, while its context lasts; it ends with this process.

    Args:
        archive: of a stopped cluster to begin with; a new cluster has one empty database.
    """

    def __init__(self, archive: Path | None = None) -> None:
        self._archive = archive
        # Not below the caller's directory: PostgreSQL refuses root, and another user cannot enter what is root's own.
        self._directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._data = self._directory / "data"
        self._log = self._directory / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What Label Studio reads to find the database."""
        return {
            "DJANGO_DB": "default",
            "POSTGRE_HOST": HOST,
            "POSTGRE_PORT": str(self.port),
            "POSTGRE_NAME": DATABASE,
            "POSTGRE_USER": USER,
            "POSTGRE_PASSWORD": "unused",
        }

    def __enter__(self) -> Self:
        try:
            self._make()
            self._start()
            if self._archive is None:
                self._run(program("createdb"), "-h", HOST, "-p", str(self.port), "-U", USER, DATABASE)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def stop(self) -> None:
        """End the cluster in order; its files stay as long as the context."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def pack(self, archive: Path) -> None:
        """Write the stopped cluster's files into an archive."""
        with archive.open("wb") as file:
            self._run("tar", "-c", "-C", str(self._data), ".", stdout=file)

    def execute(self, statement: str) -> None:
        """Run SQL in Label Studio's database."""
        command = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(self.port), "-U", USER]
        self._run(program("psql"), *command, "-d", DATABASE, "-c", statement)

    def _make(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._directory, USER, USER)
        if self._archive is None:
            # Trusting whoever reaches the loopback interface: what is in here is made up.
            options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", f"--username={USER}"]
            self._run(program("initdb"), "-D", str(self._data), *options)
        else:
            self._run("mkdir", "-m", "700", str(self._data))
            with self._archive.open("rb") as file:
                self._run("tar", "-x", "-C", str(self._data), stdin=file)

    def _start(self) -> None:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",  # what is committed survives the end of any process, which is all that tests bring about
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = ["sh", "-c", RUN_WITH_PARENT, "sh", program("postgres"), "-D", str(self._data), *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, **_as_postgres()
            )
        deadline = time.monotonic() + START_SECONDS
        ready = [program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            if "database system is shut down" in self._log.read_text() or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")
            time.sleep(0.05)

    def _run(self, *command: str, **options: Any) -> None:
        options = {"stdout": subprocess.DEVNULL, **options, **_as_postgres()}
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, cwd=self._directory, **options)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode('utf-8', 'replace').strip()}")


def migrated() -> Path:
    """Return the archive of a cluster with Label Studio's tables and nobody in it, made unless it is there."""
    installation = LabelStudioInstallation(cache_directory())
    # PostgreSQL reads the files of its own major version only.
    archive = installation.cache_dir / f"label-studio-{LABEL_STUDIO_VERSION}-template-postgresql-{version()}.tar"
    if archive.exists():
        return archive
    with lock(archive.with_suffix(".lock")):
        if not archive.exists():
            installation.ensure()
            _migrate(installation, archive)
    return archive


def _migrate(installation: LabelStudioInstallation, archive: Path) -> None:
    partial = archive.with_suffix(".partial")
    with PostgreSQL() as database, tempfile.TemporaryDirectory() as work:
        run_command(
            [str(installation.environment.program("python")), "-c", RUN, "version"],
            env={**installation.variables(Path(work)), **database.variables},
            log=archive.with_suffix(".log"),
            progress=quiet,
            message="migrating PostgreSQL",
        )
        database.stop()
        database.pack(partial)
    partial.replace(archive)  # by a rename: one cut short must not be taken for a whole one


def version() -> str:
    """Return PostgreSQL's major version."""
    said = subprocess.run([program("postgres"), "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+", said)
    assert found, said
    return found[0]


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; Debian keeps the server's own off PATH.

    Raises:
        PostgreSQLMissing: it is not installed.
    """
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(kept[-1]) if kept else shutil.which(name)
    if not found:
        raise PostgreSQLMissing(f"PostgreSQL's {name} is not installed; `apt-get install postgresql` brings it")
    return found


def _as_postgres() -> dict[str, str | tuple[()]]:
    """Return what makes a child process the user that PostgreSQL's package made: its programs refuse root."""
    return {"user": USER, "group": USER, "extra_groups": ()} if os.geteuid() == 0 else {}
