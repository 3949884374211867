"""A program that sets its tracing up by itself: no `opentelemetry-instrument`, no OTEL_TRACES_EXPORTER.

It asks OpenAI, or with OPENAI_BASE_URL any compatible server.
"""

import os

from langchain_openai import ChatOpenAI, OpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import LabelStudioSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "in-code"}))
# Completions go into one project, conversations into another. URL and API key come from the environment.
provider.add_span_processor(
    LabelStudioSpanProcessor(project_name="In code: completions", mode="prompt", operations={"text_completion"})
)
provider.add_span_processor(
    LabelStudioSpanProcessor(project_name="In code: conversations", mode="chat", operations={"chat"})
)
trace.set_tracer_provider(provider)
LangchainInstrumentor().instrument()

model = os.environ.get("OPENAI_MODEL")
print(OpenAI(model=model or "gpt-3.5-turbo-instruct").invoke("Write a slogan for a folding bicycle:"))
print(ChatOpenAI(model=model or "gpt-4o-mini").invoke("Does a folding bicycle fit under the seat of a train?").content)
