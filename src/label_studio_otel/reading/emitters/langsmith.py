"""LangSmith's OpenTelemetry export (`LANGSMITH_OTEL_ENABLED`): runs of LangChain, `wrap_openai`, `@traceable`.

https://github.com/langchain-ai/langsmith-sdk/blob/v0.4.43/python/langsmith/_internal/otel/_otel_exporter.py

The inputs and outputs of a run are in `gen_ai.prompt` and `gen_ai.completion`, each as one JSON text, on spans of all
kinds; `langsmith.span.kind` says which is an LLM call. Session and user are in the run's metadata;
`langsmith.trace.session_name` is the name of the project. A failed run of LangChain has the status OK and an empty
answer. It is recognized by its exception event, whose message contains the class and a traceback.
"""

from __future__ import annotations

import re

from label_studio_otel.generation import Generation, TextPart
from label_studio_otel.reading import table
from label_studio_otel.reading.attributes import first_text
from label_studio_otel.reading.failure import EXCEPTION_MESSAGE, error_of, error_type_of, exception_of
from label_studio_otel.reading.forms import response_of
from label_studio_otel.spans import Span

METADATA = "langsmith.metadata."  # the application's own words
TYPE = f"{METADATA}_type"

#: The class of an exception and its words, as `repr` wrote them, before the traceback.
_REPR = re.compile(r"""\s*([A-Za-z_][\w.]*)\((['"])(.*?)\2[,)]""", re.DOTALL)


def _read(span: Span) -> Generation:
    attributes = span.attributes
    provider = first_text(attributes, *DIALECT.provider)
    response = response_of(table.first_value(attributes, DIALECT.response))
    error_type, error = _failure(span)
    if error and all(part == TextPart("") for choice in response.choices for part in choice.message.parts):
        response = response._replace(choices=())
    if provider == "langchain":  # LangSmith does not know the provider
        kind = first_text(attributes, TYPE)
        provider = kind.partition("-")[0] if kind else None
    return table.read(DIALECT, span, response=response, provider=provider, error=error, error_type=error_type)


def _failure(span: Span) -> tuple[str | None, str | None]:
    """Return the class and the error text of a failed run, without the traceback; (None, None) if it did not fail."""
    message = first_text(exception_of(span), EXCEPTION_MESSAGE)
    if message is None:
        return error_type_of(span), error_of(span)
    found = _REPR.match(message)
    if found is None:
        return error_type_of(span), message.partition("Traceback (most recent call last)")[0].strip()
    return found[1], f"{found[1]}: {found[3]}"


DIALECT = table.AttributeTable(
    name="langsmith",
    written_by=__doc__,
    marks={"langsmith.span.kind": frozenset({"llm"})},
    switch="unset LANGSMITH_HIDE_INPUTS and LANGSMITH_HIDE_OUTPUTS",
    request=("gen_ai.prompt",),
    response=("gen_ai.completion",),
    tools=("gen_ai.tool.definitions",),
    provider=(f"{METADATA}ls_provider", "gen_ai.system"),
    request_model=(
        "gen_ai.request.model",
        f"{METADATA}ls_model_name",
        f"{METADATA}model_name",
        f"{METADATA}model",
    ),
    response_model=("gen_ai.response.model",),
    response_id=("gen_ai.response.id",),
    input_tokens=("gen_ai.usage.input_tokens",),
    output_tokens=("gen_ai.usage.output_tokens",),
    conversation_id=(f"{METADATA}conversation_id", f"{METADATA}thread_id"),
    session_id=(f"{METADATA}session_id",),
    user_id=(f"{METADATA}user_id",),
    run_id=(f"{METADATA}run_id",),
    also=(TYPE, EXCEPTION_MESSAGE),
    reads=_read,
)
