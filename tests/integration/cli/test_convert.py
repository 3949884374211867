"""`label-studio-otel convert` over files and standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "label_studio_otel", "convert")
TRACE_ID = "5b8efff798038103d269b633813fc60c"


def value(text: str) -> dict[str, Any]:
    return {"stringValue": text}


def span(span_id: str, start: int, **attributes: Any) -> dict[str, Any]:
    said = {"gen_ai.operation.name": value("chat"), **attributes}
    return {
        "traceId": TRACE_ID,
        "spanId": span_id,
        "name": "chat",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 1_000_000),
        "attributes": [{"key": key, "value": item} for key, item in said.items()],
    }


def traces(*spans: dict[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "acme"}, "spans": list(spans)}]}]})


def asked(span_id: str, start: int, answer: str) -> dict[str, Any]:
    output = [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]
    return span(span_id, start, **{"gen_ai.output.messages": value(json.dumps(output))})


def convert(*arguments: Path | str, said: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], input=said, capture_output=True, encoding="utf-8", check=False, **options
    )


def answers(ran: subprocess.CompletedProcess[str]) -> list[str]:
    calls = [json.loads(line) for line in ran.stdout.splitlines()]
    return [call["output"][0]["parts"][0]["content"] for call in calls]


def test_several_files_are_one_input_in_the_order_of_the_calls(tmp_path: Path) -> None:
    (tmp_path / "late.json").write_text(traces(asked("b" * 16, 200, "second")), "utf-8")
    lines = [traces(asked("c" * 16, 300, "third")), "", traces(asked("a" * 16, 100, "first"))]
    (tmp_path / "early.jsonl").write_text("\n".join(lines), "utf-8")
    ran = convert(tmp_path / "late.json", tmp_path / "early.jsonl")
    assert (answers(ran), ran.stderr, ran.returncode) == (["first", "second", "third"], "", 0)


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(traces(asked("a" * 16, 100, "first")), "utf-8")
    ran = convert("-", tmp_path / "a.json", said=traces(asked("b" * 16, 200, "second")))
    assert (answers(ran), ran.returncode) == (["first", "second"], 0)


def test_log_events_of_another_file_belong_to_their_call(tmp_path: Path) -> None:
    records = [
        {
            "timeUnixNano": "150",
            "traceId": TRACE_ID,
            "spanId": "a" * 16,
            "eventName": name,
            "body": {"kvlistValue": {"values": body}},
        }
        for name, body in (
            ("gen_ai.user.message", [{"key": "content", "value": value("Where?")}]),
            (
                "gen_ai.choice",
                [
                    {"key": "index", "value": {"intValue": "0"}},
                    {"key": "finish_reason", "value": value("stop")},
                    {
                        "key": "message",
                        "value": {"kvlistValue": {"values": [{"key": "content", "value": value("Here.")}]}},
                    },
                ],
            ),
        )
    ]
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    (tmp_path / "logs.json").write_text(json.dumps(logs), "utf-8")
    (tmp_path / "traces.json").write_text(traces(span("a" * 16, 100)), "utf-8")
    ran = convert(tmp_path / "logs.json", tmp_path / "traces.json")
    [call] = map(json.loads, ran.stdout.splitlines())
    assert call["input"] == [{"role": "user", "parts": [{"type": "text", "content": "Where?"}]}]
    assert call["output"] == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Here."}], "finish_reason": "stop"}
    ]


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    unreadable = span("d" * 16, 50, **{"gen_ai.input.messages": {"intValue": "7"}})
    lines = [
        traces(asked("a" * 16, 100, "first"), unreadable),
        '{"resourceSpans": [',
        traces(asked("b" * 16, 200, "second")),
    ]
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    ran = convert(path, tmp_path / "nowhere.json")
    assert answers(ran) == ["first", "second"]
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[:2] == [
        f"label-studio-otel: {path}, line 2: no JSON from character 20 on",
        f"label-studio-otel: {tmp_path / 'nowhere.json'}: No such file or directory",
    ]
    assert ran.stderr.splitlines()[2].startswith(f"label-studio-otel: span {'d' * 16}")


def test_a_span_that_cannot_be_read_is_reported_and_the_others_are_printed(tmp_path: Path) -> None:
    malformed = {**asked("b" * 16, 200, "second"), "name": ["secret"]}
    path = tmp_path / "a.json"
    path.write_text(traces(asked("a" * 16, 100, "first"), malformed, asked("c" * 16, 300, "third")), "utf-8")
    ran = convert(path)
    assert (answers(ran), ran.returncode) == (["first", "third"], 1)
    assert ran.stderr == f"label-studio-otel: {path}: 1 spans or log records cannot be read\n"


@pytest.mark.parametrize("answer", ["Grüße, 世界 \u202e\u0000", "a lone \ud800 surrogate"])
def test_every_line_is_json_in_utf_8_whatever_the_locale(tmp_path: Path, answer: str) -> None:
    (tmp_path / "a.json").write_text(traces(asked("a" * 16, 100, answer)), "utf-8")
    ran = convert(tmp_path / "a.json", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert (answers(ran), ran.returncode) == ([answer], 0)


def test_nan_and_infinity_are_text(tmp_path: Path) -> None:
    call = {"type": "tool_call", "id": "1", "name": "f", "arguments": {"x": float("nan")}}
    output = [{"role": "assistant", "parts": [call], "finish_reason": "tool_call"}]
    attributes = {"gen_ai.output.messages": value(json.dumps(output))}
    (tmp_path / "a.json").write_text(traces(span("a" * 16, 100, **attributes)), "utf-8")
    [line] = convert(tmp_path / "a.json").stdout.splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["output"][0]["parts"][0]["arguments"] == {"x": "NaN"}


def test_it_imports_nothing_that_delivers(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(traces(asked("a" * 16, 100, "first")), "utf-8")
    program = (
        "import sys; from label_studio_otel.cli import main; code = main();"
        "slow = {'sqlite3', 'http.client', 'ssl', 'rich', 'google.protobuf', 'label_studio_sdk', 'opentelemetry.sdk'};"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, "convert", str(tmp_path / "a.json")], capture_output=True, text=True, check=True
    )
    assert ran.stderr == "[]\n"
