"""Sets tracing up in its code as the named product's documentation says, and asks a model once.

The second argument is where the product's own backend would be. A third one, `line`, adds our span processor with the
line that docs/set-ups.md gives.
"""

import sys

import openai
from opentelemetry import trace
from opentelemetry.instrumentation.openai import OpenAIInstrumentor


def plain(backend):
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{backend}/v1/traces")))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()


def traceloop(backend):
    from traceloop.sdk import Traceloop

    Traceloop.init(app_name="app", api_endpoint=backend, api_key="key", telemetry_enabled=False)


def langfuse(backend):
    from langfuse import Langfuse

    Langfuse(public_key="pk-lf-key", secret_key="sk-lf-key", base_url=backend)
    OpenAIInstrumentor().instrument()


def logfire(backend):
    import logfire

    advanced = logfire.AdvancedOptions(base_url=backend)
    logfire.configure(token="key", console=False, inspect_arguments=False, advanced=advanced)
    OpenAIInstrumentor().instrument()


def logfire_alone(backend, *processors):
    import logfire

    advanced = logfire.AdvancedOptions(base_url=backend)
    logfire.configure(
        token="key",
        console=False,
        inspect_arguments=False,
        advanced=advanced,
        additional_span_processors=list(processors),
    )
    logfire.instrument_openai()


def logfire_with_ours(backend):
    from label_studio_otel import LabelStudioSpanProcessor

    logfire_alone(backend, LabelStudioSpanProcessor())


def phoenix(backend):
    from phoenix.otel import register

    register(endpoint=f"{backend}/v1/traces", batch=True, verbose=False)
    OpenAIInstrumentor().instrument()


def add_our_processor(product):
    from label_studio_otel import LabelStudioSpanProcessor

    # Phoenix takes another processor in place of its own unless it is told not to.
    more = {"replace_default_processor": False} if product == "phoenix" else {}
    trace.get_tracer_provider().add_span_processor(LabelStudioSpanProcessor(), **more)


product, backend, *line = sys.argv[1:]
globals()[product](backend)
if line:
    add_our_processor(product)

question = {"role": "user", "content": "One"}
answer = openai.OpenAI().chat.completions.create(model="small", messages=[question])
print(answer.choices[0].message.content)
