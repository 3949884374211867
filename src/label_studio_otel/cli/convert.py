"""`label-studio-otel convert`: what is read of recorded OTLP, one line of JSON per LLM call. Sends nothing."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import BinaryIO

    from label_studio_otel.errors import DialectError
    from label_studio_otel.spans import LogRecord, Span

__all__ = ["add_parser", "run"]

STANDARD_INPUT = "-"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("convert", help="print the LLM calls of recorded OTLP as JSON, one a line")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="traces and logs: OTLP requests in protobuf or JSON, or lines of the Collector's file exporter; "
        f"{STANDARD_INPUT} is standard input. Several are one input",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the calls; 1 where something could not be read, which standard error names."""
    from label_studio_otel.conversion import convert

    input_ = _Input()
    for name in args.files:
        input_.add(name)
    for call in convert(input_.spans, input_.logs, input_.unreadable):
        sys.stdout.buffer.write(_line(call))
    sys.stdout.flush()
    return 1 if input_.failed else 0


class _Input:
    """All files together: a call's span and its log events may stand in different ones."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.logs: list[LogRecord] = []
        self.failed = False

    def add(self, name: str) -> None:
        """Read a file; what is wrong with it is said, and the rest of it is read."""
        try:
            with _opened(name) as stream:
                self._read(stream, "standard input" if name == STANDARD_INPUT else name)
        except OSError as error:
            self._say(f"{name}: {error.strerror or error}")

    def _read(self, stream: BinaryIO, source: str) -> None:
        from label_studio_otel import dialects, otlp
        from label_studio_otel.errors import DecodeError
        from label_studio_otel.spans import LogRecord, Span

        for document, where in otlp.documents(stream, source):
            try:
                telemetry = otlp.decode(document, where)
            except DecodeError as error:
                self._say(str(error))
                continue
            spans = map(Span.from_fields, telemetry.spans)
            # The other spans are let go: only what is a call needs memory.
            self.spans += (span for span in spans if dialects.is_llm_call(span.attributes, span.scope_name))
            self.logs += map(LogRecord.from_fields, telemetry.logs)

    def unreadable(self, _span: Span, error: DialectError) -> None:
        """Say that a call cannot be read."""
        self._say(str(error))

    def _say(self, sentence: str) -> None:
        self.failed = True
        sys.stderr.write(f"label-studio-otel: {sentence}\n")


@contextlib.contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
    else:
        with open(name, "rb") as stream:
            yield stream


def _line(call: dict[str, Any]) -> bytes:
    """Return a line of valid JSON in UTF-8, whatever was said."""
    try:
        text = json.dumps(call, ensure_ascii=False, allow_nan=False)
    except ValueError:  # JSON has no NaN
        text = json.dumps(json.loads(json.dumps(call), parse_constant=str), ensure_ascii=False)
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can say
        return f"{json.dumps(json.loads(text))}\n".encode()
