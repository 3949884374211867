"""What each instrumentation leaves out of an LLM span, and the setting that brings it back, by scope or placeholder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What an instrumentation, or several with the same settings, leaves out."""

    #: What switches the content on.
    switch: str
    #: The messages are log events, and never stand on the span.
    in_log: bool = False
    #: In its event mode the answer stays on the span, and the input is log events.
    input_in_log: bool = False
    #: A call that failed has no messages, whatever is switched on.
    silent_when_failed: bool = False


TRACELOOP = "set TRACELOOP_TRACE_CONTENT=true"
GEN_AI = "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

#: By the beginning of the scope's name; the first that fits.
_BY_SCOPE: tuple[tuple[str, CaptureSettings], ...] = (
    # https://github.com/traceloop/openllmetry/blob/0.62.4/packages/traceloop-sdk/README.md
    ("opentelemetry.instrumentation.openai_agents", CaptureSettings(TRACELOOP, silent_when_failed=True)),
    ("opentelemetry.instrumentation.langchain", CaptureSettings(TRACELOOP, input_in_log=True)),
    *(
        (f"opentelemetry.instrumentation.{package}", CaptureSettings(TRACELOOP))
        for package in (
            *("alephalpha", "anthropic", "bedrock", "cohere", "crewai", "google_generativeai", "groq", "haystack"),
            *("llamaindex", "mistralai", "ollama", "openai.", "replicate", "sagemaker", "together", "transformers"),
            *("vertexai", "watsonx", "writer"),
        )
    ),
    # https://github.com/open-telemetry/opentelemetry-python-contrib/blob/v0.60b0/instrumentation-genai/opentelemetry-instrumentation-openai-v2/README.rst
    ("opentelemetry.instrumentation.openai_v2", CaptureSettings(f"{GEN_AI}=true", in_log=True)),
    # https://github.com/open-telemetry/opentelemetry-python-contrib/blob/v0.60b0/util/opentelemetry-util-genai/README.rst
    ("opentelemetry.", CaptureSettings(f"{GEN_AI}=SPAN_ONLY")),
    # https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py
    ("gcp.vertex.agent", CaptureSettings(f"{GEN_AI}=SPAN_ONLY")),
    # https://github.com/pydantic/pydantic-ai/blob/v1.20.0/docs/logfire.md#excluding-prompts-and-completions
    ("pydantic-ai", CaptureSettings("set InstrumentationSettings(include_content=True)", silent_when_failed=True)),
    # It has no switch: what is missing is what it does not record.
    ("logfire", CaptureSettings("")),
    # https://github.com/openlit/openlit/blob/openlit-1.35.0/sdk/python/README.md
    ("openlit", CaptureSettings("set openlit.init(capture_message_content=True)", silent_when_failed=True)),
    # https://learn.microsoft.com/semantic-kernel/concepts/enterprise-readiness/observability/
    (
        "semantic_kernel",
        CaptureSettings("set SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE=true", True),
    ),
    # https://learn.microsoft.com/agent-framework/user-guide/observability
    ("agent_framework", CaptureSettings("set ENABLE_SENSITIVE_DATA=true")),
    # https://docs.litellm.ai/docs/observability/opentelemetry_integration#redacting-messages-response-content-from-opentelemetry-logging
    ("litellm", CaptureSettings("set litellm.turn_off_message_logging=False")),
    # https://ai-sdk.dev/docs/ai-sdk-core/telemetry: the scope of the AI SDK 7
    ("gen_ai", CaptureSettings("set recordInputs and recordOutputs to true")),
)

#: Placeholders that stand where content was, each with the switch that brings it back.
_PLACEHOLDERS = (
    # https://github.com/pydantic/logfire/blob/v4.15.0/logfire/_internal/scrubbing.py
    (re.compile(r"\[Scrubbed due to '[^']*'\]"), "logfire.configure(scrubbing=…)"),
    # https://github.com/Arize-ai/openinference/blob/main/spec/configuration.md
    (re.compile(r"__REDACTED__"), "OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS"),
    # https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py
    (re.compile(r"<elided>"), "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
    # https://docs.litellm.ai/docs/proxy/logging#redact-messages-response-content
    (re.compile(r"redacted-by-litellm"), "litellm.turn_off_message_logging"),
)
_BEGINNINGS = ("[", "_", "<", "r")


def capture_settings_of(scope_name: str) -> CaptureSettings:
    """Return the settings of the instrumentation with this scope; those of the conventions if it is not known."""
    return next((emitter for prefix, emitter in _BY_SCOPE if scope_name.startswith(prefix)), CaptureSettings(GEN_AI))


def placeholder_switch(value: Any) -> str | None:
    """Return the setting that brings the content back if a value is a placeholder; None for any other value."""
    if not isinstance(value, str) or value[:1] not in _BEGINNINGS:
        return None
    return next((switch for pattern, switch in _PLACEHOLDERS if pattern.fullmatch(value)), None)
