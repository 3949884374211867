"""The two examples of the callback handler's documentation page in one program.

A completion model answers a prompt, a chat model a system and a human message. Each argument is the JSON of the
settings of one span processor that the program adds itself.
"""

import json
import sys

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import LabelStudioSpanProcessor

processors = [LabelStudioSpanProcessor(**json.loads(settings)) for settings in sys.argv[1:]]
provider = trace.get_tracer_provider()
if not isinstance(provider, TracerProvider):  # not under opentelemetry-instrument
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    LangchainInstrumentor().instrument()
for processor in processors:
    provider.add_span_processor(processor)

OpenAI(model="gpt-3.5-turbo-instruct", temperature=0.5).invoke("Tell me a joke")
ChatOpenAI(model="gpt-4o-mini").invoke(
    [SystemMessage("Always use emojis in your responses."), HumanMessage("Hey AI, how's your day going?")]
)
