"""`label-studio-otel convert`: print the LLM calls in recorded OTLP, one line of JSON each. It sends nothing."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from label_studio_otel import reading
from label_studio_otel.cli import _settings
from label_studio_otel.cli._files import HELP, Files
from label_studio_otel.cli.genai_json import convert
from label_studio_otel.spans import LogRecord, Span

SUMMARY = "print the LLM calls of recorded OTLP as JSON, one a line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=HELP)


def run(args: argparse.Namespace) -> int:
    """Print the calls; return 1 where a part could not be read, which is named on standard error."""
    trace_link = _settings.read(args).trace_link
    files = Files(args.files)
    spans, logs = _read(files)
    for call in convert(spans, logs, lambda _span, error: files.report(str(error)), trace_link):
        sys.stdout.buffer.write(_line(call))
    sys.stdout.flush()
    return int(files.failed)


def _read(files: Files) -> tuple[list[Span], list[LogRecord]]:
    """Return spans and log events of all files together: those of one call may be in different files."""
    calls: list[Span] = []
    logs: list[LogRecord] = []
    tells = reading.is_llm_call, reading.is_supplement
    for telemetry in files:
        spans = map(Span.from_fields, telemetry.spans)
        # Other spans are not kept in memory.
        calls += (span for span in spans if any(tell(span.attributes, span.scope_name) for tell in tells))
        logs += map(LogRecord.from_fields, telemetry.logs)
    return calls, logs


def _line(call: dict[str, Any]) -> bytes:
    """Return a call as a line of valid JSON in UTF-8, whatever text is in it."""
    try:
        return f"{json.dumps(call, ensure_ascii=False, allow_nan=False)}\n".encode()
    except ValueError:  # JSON has no NaN, and a lone surrogate only as an escape
        return f"{json.dumps(json.loads(json.dumps(call), parse_constant=str))}\n".encode()
