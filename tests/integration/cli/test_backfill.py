"""`label-studio-otel backfill` over files and standard input, against a fake Label Studio."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.cli import main
from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.settings import load
from label_studio_otel.testing import FakeLabelStudio
from support.delivering import all_tasks, copies

if TYPE_CHECKING:
    from pathlib import Path

TRACE_ID = "5b8efff798038103d269b633813fc60c"
START = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def _environment(server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def text(value: str) -> dict[str, Any]:
    return {"stringValue": value}


def span(number: int, said: str = "Hello", *, failed: bool = False, **attributes: str) -> dict[str, Any]:
    """A chat as the GenAI conventions write it."""
    output = [{"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}]
    written = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(output), **attributes}
    return {
        "traceId": TRACE_ID,
        "spanId": f"{number:016x}",
        "name": "chat",
        "startTimeUnixNano": str(START + number),
        "endTimeUnixNano": str(START + number + 1_000_000),
        "status": {"code": 2} if failed else {},
        "attributes": [{"key": key, "value": text(value)} for key, value in written.items()],
    }


def other(number: int) -> dict[str, Any]:
    return {**span(number), "name": "GET /", "attributes": [{"key": "http.request.method", "value": text("GET")}]}


def traces(*spans: dict[str, Any], **resource: str) -> str:
    attributes = [{"key": name, "value": text(value)} for name, value in resource.items()]
    scopes = [{"scope": {"name": "acme"}, "spans": list(spans)}]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": scopes}]})


def said_in_events(number: int) -> str:
    records = [
        {
            "timeUnixNano": str(START + number),
            "traceId": TRACE_ID,
            "spanId": f"{number:016x}",
            "eventName": name,
            "body": {"kvlistValue": {"values": body}},
        }
        for name, body in (
            ("gen_ai.user.message", [{"key": "content", "value": text("Where?")}]),
            ("acme.unknown", [{"key": "content", "value": text("Nowhere")}]),
        )
    ]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "acme"}, "logRecords": records}]}]})


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Three calls among other spans, in lines."""
    lines = [
        traces(span(1), other(2), **{"service.name": "shop"}),
        "",
        traces(span(3), span(4, failed=True)),
        traces(span(5)),
    ]
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


def backfill(*arguments: Path | str) -> int:
    return main(["backfill", *map(str, arguments)])


def test_the_llm_calls_of_a_file_become_tasks(
    recorded: Path, server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backfill(recorded, "--project-name", "Old calls", "--mode", "chat") == 0

    assert capsys.readouterr().out == (
        "read 3 LLM calls (gen_ai 3), 0 log events, 1 calls that the settings leave out, 1 other spans\n"
        "3 calls are new\n"
        "all delivered (3 LLM calls are tasks)\n"
    )
    assert copies(server) == {"1": 1, "3": 1, "5": 1}
    assert [project["title"] for project in server.store.projects.values()] == ["Old calls"]
    first = server.tasks(1)[0]
    assert first["data"]["response"] == "Hello"
    assert first["data"]["service"] == "shop"


def test_a_second_run_adds_no_task(recorded: Path, server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]) -> None:
    assert backfill(recorded) == 0
    capsys.readouterr()

    assert backfill(recorded, recorded) == 0

    assert "0 calls are new\n" in capsys.readouterr().out
    assert copies(server) == {"1": 1, "3": 1, "5": 1}


def test_a_dry_run_counts_by_dialect_and_touches_nothing(
    tmp_path: Path, recorded: Path, server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.json").write_text(traces(span(6, **{"openinference.span.kind": "LLM"})), "utf-8")
    (tmp_path / "logs.json").write_text(said_in_events(1), "utf-8")

    assert backfill("--dry-run", recorded, tmp_path / "more.json", tmp_path / "logs.json") == 0

    assert capsys.readouterr().out == (
        "read 4 LLM calls (gen_ai 3, openinference 1), 1 log events, 1 calls that the settings leave out, "
        "1 other spans\n"
    )
    assert not (tmp_path / "state").exists()
    assert server.requests == []


def test_settings_choose_as_in_the_application(
    tmp_path: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_INCLUDE_ERRORS", "true")
    monkeypatch.setenv("LABEL_STUDIO_OTEL_OPERATIONS", "text_completion")
    completion = {"gen_ai.operation.name": "text_completion"}
    calls = [span(1), span(2, **completion), span(3, failed=True, **completion)]
    (tmp_path / "traces.json").write_text(traces(*calls), "utf-8")

    assert backfill(tmp_path / "traces.json") == 0

    assert copies(server) == {"2": 1, "3": 1}


def test_log_events_of_another_file_come_into_their_task(tmp_path: Path, server: FakeLabelStudio) -> None:
    (tmp_path / "traces.json").write_text(traces(span(1)), "utf-8")
    (tmp_path / "logs.json").write_text(said_in_events(1), "utf-8")

    assert backfill(tmp_path / "traces.json", tmp_path / "logs.json") == 0

    (task,) = all_tasks(server)
    assert task["data"]["prompt"] == "User:\nWhere?"


def test_a_part_that_cannot_be_read_is_reported_and_the_rest_is_stored(
    tmp_path: Path, server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join([traces(span(1)), "{ secret", traces(span(2))]), "utf-8")

    assert backfill(path, tmp_path / "missing.json") == 1

    said = capsys.readouterr().err
    assert f"label-studio-otel: {path}, line 2: no JSON from character" in said
    assert f"label-studio-otel: {tmp_path / 'missing.json'}: No such file or directory" in said
    assert "secret" not in said
    assert copies(server) == {"1": 1, "2": 1}


def test_standard_input_is_a_file(server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(traces(span(1)).encode())))

    assert backfill("-") == 0

    assert copies(server) == {"1": 1}


def test_calls_go_to_the_process_that_already_delivers(
    recorded: Path, server: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    other_process = Deliverer(load())
    assert other_process.take_lock()
    try:
        assert backfill(recorded, "--timeout", "0.1") == 1  # nobody works there
        assert "left in" in capsys.readouterr().err
        while other_process.step():
            pass
    finally:
        other_process.close()

    assert copies(server) == {"1": 1, "3": 1, "5": 1}


def test_a_full_outbox_is_delivered_before_more_is_read(
    tmp_path: Path, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_MAX_STATE_BYTES", "1000000")
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join(traces(span(number, "x" * 20_000)) for number in range(1, 201)), "utf-8")

    assert backfill(path) == 0

    assert len(all_tasks(server)) == 200
    assert set(copies(server).values()) == {1}


def test_a_full_outbox_that_cannot_be_delivered_ends_it_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_OTEL_MAX_STATE_BYTES", "1000000")
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join(traces(span(number, "x" * 20_000)) for number in range(1, 201)), "utf-8")

    assert backfill(path, "--timeout", "0.1") == 1

    assert capsys.readouterr().err.strip() == (
        "label-studio-otel: the outbox is full (LABEL_STUDIO_OTEL_MAX_STATE_BYTES) and nothing can be delivered; "
        "the same command again goes on"
    )


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3])
def test_a_second_run_after_a_kill_loses_and_repeats_nothing(
    moment: float, tmp_path: Path, server: FakeLabelStudio
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join(traces(span(number), other(number + 5000)) for number in range(1, 2001)), "utf-8")
    command = [sys.executable, "-m", "label_studio_otel", "backfill", str(path)]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob("state/*/outbox.db")):
        assert first.poll() is None
        time.sleep(0.005)
    time.sleep(moment)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()

    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr.strip()) == (0, "")
    assert len(copies(server)) == 2000
    assert set(copies(server).values()) == {1}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    line = traces(*(other(number) for number in range(200)))
    program = (
        "import re, sys; from label_studio_otel.cli import main; main(['backfill', '--dry-run', sys.argv[1]]);"
        # Not getrusage: its peak is inherited from the process that started this one.
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    peaks = []
    for lines in (10, 300):
        path.write_text(f"{line}\n" * lines, "utf-8")
        ran = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
        peaks.append(int(ran.stderr))
    assert path.stat().st_size > 10_000_000
    assert peaks[1] - peaks[0] < 10_000  # KiB
