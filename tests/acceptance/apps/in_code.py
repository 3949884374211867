"""Sets its tracing up by itself, as the README's example in code does; the arguments say how.

`processor`, `batch` and `simple` add one of our classes with the settings that follow as `name=value`; after a `+`
comes another one. Then it asks a completion model and a chat model.
"""

import sys

from langchain_core.language_models import FakeListChatModel, FakeListLLM
from opentelemetry import trace
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from label_studio_otel import LabelStudioSpanExporter, LabelStudioSpanProcessor

MAKE = {
    "processor": LabelStudioSpanProcessor,
    "batch": lambda **settings: BatchSpanProcessor(LabelStudioSpanExporter(**settings)),
    "simple": lambda **settings: SimpleSpanProcessor(LabelStudioSpanExporter(**settings)),
}
provider = trace.get_tracer_provider()
if not isinstance(provider, TracerProvider):  # not under opentelemetry-instrument
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    LangchainInstrumentor().instrument()
for ours in " ".join(sys.argv[1:]).split(" + "):
    kind, *settings = ours.split()
    settings = dict(setting.split("=", 1) for setting in settings)
    if "operations" in settings:
        settings["operations"] = {settings["operations"]}
    provider.add_span_processor(MAKE[kind](**settings))

print(FakeListLLM(responses=["A completion"]).invoke("To complete"))
print(FakeListChatModel(responses=["An answer"]).invoke("To answer").content)
