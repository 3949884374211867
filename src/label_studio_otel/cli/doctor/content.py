"""Check that instrumentations write the messages of calls: each family of them has a switch for content."""

from __future__ import annotations

from pathlib import Path

from label_studio_otel.cli.doctor.finding import Finding, Findings, error, ok, warning
from label_studio_otel.cli.doctor.installation import SetUp
from label_studio_otel.reading.emitters import gen_ai as gen_ai_conventions
from label_studio_otel.reading.emitters import openinference as openinference_conventions
from label_studio_otel.reading.emitters import openllmetry

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
EXPERIMENTAL = "gen_ai_latest_experimental"
#: First version of opentelemetry-util-genai that writes the latest conventions only.
WITHOUT_OPT_IN = "1.3b0"


def traceloop(set_up: SetUp) -> Findings:
    """Check OpenLLMetry's switch, which is on by default and stays on for the value `true` only."""
    setting = openllmetry.DIALECT.switch.removeprefix("set ")
    variable = setting.partition("=")[0]
    value = set_up.value(variable)
    if not set_up.installation.requiring("opentelemetry-semantic-conventions-ai"):
        return
    if value and value.lower() != "true":
        yield error(
            "content",
            f"{variable}={value}: spans of OpenLLMetry's instrumentations hold no messages",
            f"export {setting}",
        )
    else:
        yield ok("content", "OpenLLMetry's instrumentations put the messages on the spans")


def gen_ai(set_up: SetUp) -> Findings:
    """Check the switch of OpenTelemetry's own GenAI instrumentations, which is off by default."""
    util = set_up.installation.get("opentelemetry-util-genai")
    users = set_up.installation.requiring("opentelemetry-util-genai")
    if not util or not users:
        return
    from packaging.version import Version

    setting = gen_ai_conventions.DIALECT.switch.removeprefix("set ")
    variable = setting.partition("=")[0]
    value, whose = set_up.value(variable), users[0].name
    shown = f"{variable}={value}" if value else f"{variable} is not set"
    latest = EXPERIMENTAL in set_up.value(OPT_IN) or Version(util.version) >= Version(WITHOUT_OPT_IN)
    fix = f"export {setting}"
    word = value.upper()
    if word in ("", "NO_CONTENT", "FALSE"):
        yield error("content", f"{shown}: spans of {whose} hold no messages", fix)
    elif word == ("EVENT_ONLY" if latest else "TRUE"):
        yield _log_events(set_up, whose)
    elif word not in ("SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"):
        yield error("content", f"{shown} is no word that {whose} knows: it captures nothing", fix)
    elif latest:
        yield ok("content", f"{whose} puts the messages on the spans")
    else:
        met = f"{whose} heeds {shown} only with the latest conventions: its spans hold no messages"
        yield error("content", met, f"export {OPT_IN}={EXPERIMENTAL}")


def _log_events(set_up: SetUp, whose: str) -> Finding:
    """Return whether the log events that have the messages reach us: they need a logger provider."""
    met = f"{whose} writes the messages as log events"
    if set_up.in_code:
        fix = "add LabelStudioLogRecordProcessor to the logger provider, see docs/set-ups.md"
        return warning("content", f"{met}, and only your code can let us have them", fix)
    if _declares_no_logs(set_up.value("OTEL_CONFIG_FILE")):
        fix = "add a logger_provider with the exporter of your choice to the file"
        return error("content", f"{met}, and OTEL_CONFIG_FILE has no logger_provider", fix)
    return ok("content", f"{met}, which are taken too")


def _declares_no_logs(name: str) -> bool:
    try:
        return bool(name) and "logger_provider:" not in Path(name).read_text("utf-8")
    except (OSError, ValueError):
        return False  # the check of the declarative file reports it


def openinference(set_up: SetUp) -> Findings:
    """Check OpenInference's switches, each of which hides a part of the content."""
    if set_up.installation.get("openinference-instrumentation") is None:
        return
    for name in openinference_conventions.DIALECT.switch.removeprefix("unset ").split(", "):
        if set_up.value(name).lower() == "true":
            yield error("content", f"{name}=true: OpenInference hides the messages", f"unset {name}")
