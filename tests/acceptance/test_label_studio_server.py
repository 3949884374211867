"""The Label Studio server of the demo and of the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from label_studio_otel.cli.demo import label_studio_server
from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer, LabelStudioStartError, free_port
from support.processes import processes_mentioning
from support.servers import Api, wait_for


def test_admin_user_and_token_are_those_that_were_asked_for(tmp_path: Path) -> None:
    token = "0123456789abcdef0123456789abcdef01234567"
    with LabelStudioServer(tmp_path, username="ann@example.com", password="pass-word-1", token=token) as server:
        assert server.request("GET", "/api/current-user/whoami")[1]["email"] == "ann@example.com"
    assert (server.username, server.password, server.token) == ("ann@example.com", "pass-word-1", token)


def test_killed_and_started_again_it_has_the_same_address_account_and_data(tmp_path: Path) -> None:
    with LabelStudioServer(tmp_path) as server:
        Api(server).create_project("kept")
        url, pid = server.url, server.pid
        server.kill()
        assert not server.is_running
        server.start()
        assert server.url == url
        assert server.pid != pid
        assert [project["title"] for project in Api(server).projects()] == ["kept"]
    again = LabelStudioServer(tmp_path)
    assert (again.url, again.token, again.password) == (url, server.token, server.password)


def test_account_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    with LabelStudioServer(tmp_path / "data"):
        assert (tmp_path / "data" / "server.json").stat().st_mode & 0o777 == 0o600


def test_a_port_that_is_in_use_is_refused_where_it_was_asked_for(tmp_path: Path) -> None:
    with listener() as taken, pytest.raises(LabelStudioStartError, match=f"port {port_of(taken)} .* is in use"):
        LabelStudioServer(tmp_path, port=port_of(taken)).start()


def test_a_port_taken_between_choice_and_start_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as taken:
        free = free_port()
        ports = iter([port_of(taken), free])
        monkeypatch.setattr(label_studio_server, "is_taken", lambda port: False)
        monkeypatch.setattr(label_studio_server, "free_port", lambda: next(ports))
        with LabelStudioServer(tmp_path) as server:
            assert server.port == free
            assert Api(server).projects() == []
            (process,) = processes_mentioning(str(tmp_path))
            assert f"--port {free}" in process


def test_an_installation_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(LabelStudioStartError, match="ended with exit code"):
        LabelStudioServer(tmp_path, env={"DJANGO_DB": "no-such-database"}).start()
    assert processes_mentioning(str(tmp_path)) == []


def test_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer\n"
        "LabelStudioServer(sys.argv[1]).start()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=300, check=False)
    wait_for(lambda: not processes_mentioning(str(tmp_path)), timeout=30, what="end of Label Studio")


def test_listens_on_the_loopback_interface_only(label_studio: LabelStudioServer) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = [
        fields[1].split(":")[0]
        for fields in listening
        if int(fields[1].split(":")[1], 16) == label_studio.port and fields[3] == "0A"
    ]
    assert addresses == ["0100007F"]


def test_settings_of_another_label_studio_in_the_environment_do_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_DB", "default")
    monkeypatch.setenv("LABEL_STUDIO_BASE_DATA_DIR", os.fspath(tmp_path / "other"))
    with LabelStudioServer(tmp_path / "data") as server:
        assert Api(server).projects() == []
    assert not (tmp_path / "other").exists()


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def port_of(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port
