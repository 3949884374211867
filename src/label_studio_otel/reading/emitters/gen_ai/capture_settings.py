"""What each instrumentation leaves out of an LLM span, and the setting that brings it back, by the scope's name."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CaptureSettings", "capture_settings_of"]


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


_TRACELOOP = "set TRACELOOP_TRACE_CONTENT=true"
_GENAI = "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

#: By the beginning of the scope's name; the first that fits.
_BY_SCOPE: tuple[tuple[str, CaptureSettings], ...] = (
    # https://github.com/traceloop/openllmetry/blob/0.62.4/packages/traceloop-sdk/README.md
    ("opentelemetry.instrumentation.openai_agents", CaptureSettings(_TRACELOOP, silent_when_failed=True)),
    ("opentelemetry.instrumentation.langchain", CaptureSettings(_TRACELOOP, input_in_log=True)),
    *(
        (f"opentelemetry.instrumentation.{package}", CaptureSettings(_TRACELOOP))
        for package in (
            *("alephalpha", "anthropic", "bedrock", "cohere", "crewai", "google_generativeai", "groq", "haystack"),
            *("llamaindex", "mistralai", "ollama", "openai.", "replicate", "sagemaker", "together", "transformers"),
            *("vertexai", "watsonx", "writer"),
        )
    ),
    # https://github.com/open-telemetry/opentelemetry-python-contrib/blob/v0.60b0/instrumentation-genai/opentelemetry-instrumentation-openai-v2/README.rst
    ("opentelemetry.instrumentation.openai_v2", CaptureSettings(f"{_GENAI}=true", in_log=True)),
    # https://github.com/open-telemetry/opentelemetry-python-contrib/blob/v0.60b0/util/opentelemetry-util-genai/README.rst
    ("opentelemetry.", CaptureSettings(f"{_GENAI}=SPAN_ONLY")),
    # https://github.com/google/adk-python/blob/v1.18.0/src/google/adk/telemetry/tracing.py
    ("gcp.vertex.agent", CaptureSettings(f"{_GENAI}=SPAN_ONLY")),
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


def capture_settings_of(scope_name: str) -> CaptureSettings:
    """Return the settings of the instrumentation with this scope; those of the conventions if it is not known."""
    return next((emitter for prefix, emitter in _BY_SCOPE if scope_name.startswith(prefix)), CaptureSettings(_GENAI))
