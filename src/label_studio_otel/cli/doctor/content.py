"""Check that instrumentations write the messages of calls: each family of them has a switch for content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_otel.cli.doctor.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import SetUp

__all__ = ["gen_ai", "openinference", "traceloop"]

GEN_AI = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
EXPERIMENTAL = "gen_ai_latest_experimental"
#: First version of opentelemetry-util-genai that writes the latest conventions only.
WITHOUT_OPT_IN = "1.3b0"
HIDING = (
    "OPENINFERENCE_HIDE_INPUTS",
    "OPENINFERENCE_HIDE_OUTPUTS",
    "OPENINFERENCE_HIDE_INPUT_MESSAGES",
    "OPENINFERENCE_HIDE_OUTPUT_MESSAGES",
    "OPENINFERENCE_HIDE_INPUT_TEXT",
    "OPENINFERENCE_HIDE_OUTPUT_TEXT",
    "OPENINFERENCE_HIDE_LLM_PROMPTS",
)


def traceloop(set_up: SetUp) -> Iterator[Finding]:
    """Check OpenLLMetry's switch, which is on by default and stays on for the value `true` only."""
    value = set_up.value("TRACELOOP_TRACE_CONTENT")
    if not set_up.installation.requiring("opentelemetry-semantic-conventions-ai"):
        return
    if value and value.lower() != "true":
        yield error(
            "content",
            f"TRACELOOP_TRACE_CONTENT={value}: spans of OpenLLMetry's instrumentations hold no messages",
            "export TRACELOOP_TRACE_CONTENT=true",
        )
    else:
        yield ok("content", "OpenLLMetry's instrumentations put the messages on the spans")


def gen_ai(set_up: SetUp) -> Iterator[Finding]:
    """Check the switch of OpenTelemetry's own GenAI instrumentations, which is off by default."""
    util = set_up.installation.get("opentelemetry-util-genai")
    users = set_up.installation.requiring("opentelemetry-util-genai")
    if not util or not users:
        return
    value, whose = set_up.value(GEN_AI), users[0].name
    fix = f"export {GEN_AI}=SPAN_ONLY"
    latest = EXPERIMENTAL in set_up.value(OPT_IN) or not _older(util.version)
    in_events = "EVENT_ONLY" if latest else "TRUE"
    word = value.upper()
    if not word:
        yield error("content", f"{GEN_AI} is not set: spans of {whose} hold no messages", fix)
    elif word in ("NO_CONTENT", "FALSE"):
        yield error("content", f"{GEN_AI}={value}: spans of {whose} hold no messages", fix)
    elif word == in_events:
        yield _log_events(set_up, whose)
    elif word not in ("SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"):
        yield error("content", f"{GEN_AI}={value} is no word that {whose} knows: it captures nothing", fix)
    elif not latest:
        yield error(
            "content",
            f"{whose} heeds {GEN_AI}={value} only with the latest conventions: its spans hold no messages",
            f"export {OPT_IN}={EXPERIMENTAL}",
        )
    else:
        yield ok("content", f"{whose} puts the messages on the spans")


def _log_events(set_up: SetUp, whose: str) -> Finding:
    """Return whether the log events that have the messages reach us: they need a logger provider."""
    if set_up.in_code:
        return warning(
            "content",
            f"{whose} writes the messages as log events, and only your code can let us have them",
            "add LabelStudioLogRecordProcessor to the logger provider, see docs/set-ups.md",
        )
    if _declares_no_logs(set_up.value("OTEL_CONFIG_FILE")):
        return error(
            "content",
            f"{whose} writes the messages as log events, and OTEL_CONFIG_FILE has no logger_provider",
            "add a logger_provider with the exporter of your choice to the file",
        )
    return ok("content", f"{whose} writes the messages as log events, which are taken too")


def _declares_no_logs(name: str) -> bool:
    try:
        return bool(name) and "logger_provider:" not in Path(name).read_text("utf-8")
    except (OSError, ValueError):
        return False  # the check of the declarative file reports it


def _older(version: str) -> bool:
    from packaging.version import Version

    return Version(version) < Version(WITHOUT_OPT_IN)


def openinference(set_up: SetUp) -> Iterator[Finding]:
    """Check OpenInference's switches, each of which hides a part of the content."""
    if set_up.installation.get("openinference-instrumentation") is None:
        return
    for name in HIDING:
        if set_up.value(name).lower() == "true":
            yield error("content", f"{name}=true: OpenInference hides the messages", f"unset {name}")
