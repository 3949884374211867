"""A Label Studio server on this machine, for the demo and for tests against a real server.

It starts from the installation and the migrated database that `label_studio_installation` keeps in the cache directory.
It listens on the loopback interface only, calls no server outside, and ends with the process that started it, even one
that is killed: the server then reads the end of a pipe that only its parent holds open.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from label_studio_otel.cli.demo import environment
from label_studio_otel.cli.demo.label_studio_installation import DATABASE, RUN, LabelStudioInstallation
from label_studio_otel.errors import LabelStudioOtelError

HOST = "127.0.0.1"
START_SECONDS = 240.0
#: Runs Label Studio, and ends the whole process group when the parent's end of the pipe on stdin closes.
RUN_WITH_PARENT = f"""
import os, signal, threading

def follow_parent():
    while os.read(0, 64):
        pass
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

threading.Thread(target=follow_parent, daemon=True).start()
{RUN}
"""


class LabelStudioStartError(LabelStudioOtelError):
    """Label Studio did not start; the message names its log and cites the last lines of it."""


class _PortTaken(LabelStudioOtelError):
    """Another program listens on the port that was chosen."""


class LabelStudioServer:
    """One Label Studio with an admin user and a legacy token, on SQLite, on a loopback port.

    Args:
        data_dir: folder of the database and the files; an empty one gets a copy of the migrated database.
        port: None takes the port that this data directory had before, or a free one.
        username, password, token: of the admin user; password and token are random by default. A data directory that
            has a user keeps its own: Label Studio does not change them.
        env: more environment variables for Label Studio.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        port: int | None = None,
        username: str = "admin@example.com",
        password: str | None = None,
        token: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        #: What Label Studio printed.
        self.log = self.data_dir / "label-studio.log"
        self._account = self.data_dir / "server.json"
        known = _read_account(self._account)
        self.port: int | None = port or known.get("port")
        self.username: str = known.get("username", username)
        self.password: str = known.get("password") or password or secrets.token_urlsafe(9)
        self.token: str = known.get("token") or token or secrets.token_hex(20)
        self._env = dict(env or {})
        self._installation = LabelStudioInstallation(environment.cache_directory())
        self._port_is_fixed = port is not None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Id of the server's process."""
        if self._process is None:
            raise LabelStudioStartError("Label Studio is not running; call start() first")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """True from `start` until the process ends."""
        return self._process is not None and self._process.poll() is None

    def start(self, progress: environment.Progress = environment.quiet) -> LabelStudioServer:
        """Start the server and return when it answers.

        Args:
            progress: called several times a second with the current step; an exception from it stops the start.

        Raises:
            LabelStudioStartError: it runs already, the port is in use, or it ended or did not answer in time.
            CommandFailed: Label Studio cannot be installed.
        """
        if self._process is not None:
            raise LabelStudioStartError("Label Studio is running already; call stop() first")
        self._installation.ensure(progress)
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = self.data_dir / DATABASE
        if not database.exists():
            # Copied under another name first, so that an unfinished copy is never used.
            shutil.copyfile(self._installation.database, partial := database.with_suffix(".partial"))
            partial.replace(database)
        # The port of the last start is tried first: it keeps links valid.
        for port in [self.port] if self._port_is_fixed else [self.port, None, None]:
            with contextlib.suppress(_PortTaken):
                self._launch(port or free_port(), progress)
                return self
        raise LabelStudioStartError(f"port {self.port} of {HOST} is in use; choose another one")

    def stop(self) -> None:
        """End the server and its child processes; do nothing where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            environment.end(process)

    def kill(self) -> None:
        """End the server at once, as `kill -9` does."""
        process, self._process = self._process, None
        if process is not None:
            environment.kill(process)

    def request(self, method: str, path: str, body: Any = None, *, timeout: float = 60.0) -> tuple[int, Any]:
        """Send a request as the admin user; return the status and the decoded body, as text where it is not JSON."""
        # urllib would send it through the user's proxy.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if "json" in (answer.getheader("Content-Type") or ""):
            return answer.status, json.loads(content)
        return answer.status, content.decode("utf-8", "replace")

    def __enter__(self) -> LabelStudioServer:
        return self if self._process is not None else self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _launch(self, port: int, progress: environment.Progress) -> None:
        self.port = port
        if is_taken(port):
            raise _PortTaken
        self._account.touch(mode=0o600)
        account = {name: getattr(self, name) for name in ("port", "username", "password", "token")}
        self._account.write_text(json.dumps(account), "utf-8")
        python = str(self._installation.environment.program("python"))
        command = [python, "-c", RUN_WITH_PARENT, "start", "--no-browser"]
        # Without --internal-host it listens on every interface.
        command += ["--internal-host", HOST, "--port", str(port)]
        with self.log.open("wb") as output:
            self._process = environment.spawn(command, self._variables(), output, stdin=subprocess.PIPE)
        try:
            self._wait_until_up(self._process, progress)
        except BaseException:
            self.stop()
            raise

    def _variables(self) -> dict[str, str]:
        return {
            **self._installation.variables(self.data_dir),
            # Label Studio reads these only where the user or the organization does not exist.
            "LABEL_STUDIO_USERNAME": self.username,
            "LABEL_STUDIO_PASSWORD": self.password,
            "LABEL_STUDIO_USER_TOKEN": self.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            **self._env,
        }

    def _wait_until_up(self, process: subprocess.Popen[bytes], progress: environment.Progress) -> None:
        deadline = time.monotonic() + START_SECONDS
        problem = f"did not answer within {START_SECONDS:.0f} s"
        while time.monotonic() < deadline:
            progress("starting Label Studio")
            if b"Trying to start at" in self.log.read_bytes():
                raise _PortTaken
            if process.poll() is not None:
                problem = f"ended with exit code {process.returncode}"
                break
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                status, _ = self.request("GET", "/health", timeout=5)
                who = self.request("GET", "/api/current-user/whoami", timeout=30)
                if status != 200 or who[0] != 200 or who[1].get("email") != self.username:
                    raise _PortTaken  # Label Studio takes the next port where its own is in use
                return
            time.sleep(environment.POLL_SECONDS)
        raise LabelStudioStartError(
            f"Label Studio {problem}; its output is in {self.log}\n{environment.end_of_log(self.log)}"
        )


def _read_account(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def is_taken(port: int) -> bool:
    """Return True where a program listens on this port of the loopback interface."""
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port
