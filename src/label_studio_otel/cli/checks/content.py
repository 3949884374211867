"""Whether what was said is on the spans: each family of instrumentations has a switch of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.cli.checks.finding import error, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.cli.checks import SetUp
    from label_studio_otel.cli.checks.finding import Finding

__all__ = ["gen_ai", "openinference", "traceloop"]

GEN_AI = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
EXPERIMENTAL = "gen_ai_latest_experimental"
#: From here on opentelemetry-util-genai knows the latest conventions only.
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
    """Look at OpenLLMetry's switch, which knows one word only."""
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
    """Look at the switch of OpenTelemetry's own GenAI instrumentations, which is off by default."""
    util = set_up.installation.get("opentelemetry-util-genai")
    users = set_up.installation.requiring("opentelemetry-util-genai")
    if not util or not users:
        return
    value, fix = set_up.value(GEN_AI), f"export {GEN_AI}=SPAN_ONLY"
    word, whose = value.upper(), users[0].name
    if not word:
        yield error("content", f"{GEN_AI} is not set: spans of {whose} hold no messages", fix)
    elif word in ("NO_CONTENT", "FALSE"):
        yield error("content", f"{GEN_AI}={value}: spans of {whose} hold no messages", fix)
    elif word in ("EVENT_ONLY", "TRUE"):
        yield error("content", f"{GEN_AI}={value}: {whose} puts no messages on its spans, at best into log events", fix)
    elif word not in ("SPAN_ONLY", "SPAN_AND_EVENT"):
        yield error("content", f"{GEN_AI}={value} is no word that {whose} knows: it captures nothing", fix)
    elif EXPERIMENTAL not in set_up.value(OPT_IN) and _older(util.version):
        yield error(
            "content",
            f"{whose} heeds {GEN_AI}={value} only with the latest conventions: its spans hold no messages",
            f"export {OPT_IN}={EXPERIMENTAL}",
        )
    else:
        yield ok("content", f"{whose} puts the messages on the spans")


def _older(version: str) -> bool:
    from packaging.version import Version

    return Version(version) < Version(WITHOUT_OPT_IN)


def openinference(set_up: SetUp) -> Iterator[Finding]:
    """Look at OpenInference's switches, which hide."""
    if set_up.installation.get("openinference-instrumentation") is None:
        return
    for name in HIDING:
        if set_up.value(name).lower() == "true":
            yield error("content", f"{name}=true: OpenInference hides the messages", f"unset {name}")
