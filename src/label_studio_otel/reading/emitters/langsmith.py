"""LangSmith's OpenTelemetry export (`LANGSMITH_OTEL_ENABLED`): runs of LangChain, `wrap_openai`, `@traceable`.

https://github.com/langchain-ai/langsmith-sdk/blob/v0.4.43/python/langsmith/_internal/otel/_otel_exporter.py

The inputs and outputs of a run stand under `gen_ai.prompt` and `gen_ai.completion`, each one JSON text, on spans of
every kind; `langsmith.span.kind` says which is a call. Session and user are the run's metadata;
`langsmith.trace.session_name` is the name of the project. A failed run of LangChain has the status OK and an empty
answer: its exception event is the sign, with the class and a traceback inside the message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Generation, TextPart
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import first_text, integer, json_of
from label_studio_otel.reading.failure import EXCEPTION_MESSAGE, error_of, error_type_of, exception_of
from label_studio_otel.reading.forms.any_form import operation_of, read_request, read_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Choice, Gap
    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "operation", "read"]

name = "langsmith"

KIND = "langsmith.span.kind"
INPUTS = "gen_ai.prompt"
OUTPUTS = "gen_ai.completion"
PROVIDER = "gen_ai.system"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOOLS = "gen_ai.tool.definitions"
#: The application's own words.
METADATA = "langsmith.metadata."

keys = frozenset({KIND})

_SWITCH = "unset LANGSMITH_HIDE_INPUTS and LANGSMITH_HIDE_OUTPUTS"

#: The class of an exception and its words, as `repr` wrote them, before the traceback.
_REPR = re.compile(r"""\s*([A-Za-z_][\w.]*)\((['"])(.*?)\2[,)]""", re.DOTALL)
_TRACEBACK = "Traceback (most recent call last)"


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell a run of the kind `llm` from chains, tools, retrievers, embeddings, prompts and parsers."""
    return attributes.get(KIND) == "llm"


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return what `read` gives as the operation."""
    return operation_of(attributes.get(INPUTS))


def read(span: Span) -> Generation:
    """Read a run of a model."""
    attributes = span.attributes
    incomplete: list[Gap] = []
    request = read_request(attributes.get(INPUTS), INPUTS, incomplete)
    response = read_response(attributes.get(OUTPUTS), OUTPUTS, incomplete)
    error_type, error = _failure(span)
    choices = () if error and not _says_anything(response.choices) else response.choices
    incomplete += gaps.missing(span, request.messages, choices, _SWITCH, failed=error is not None)
    return Generation(
        operation=request.operation,
        messages=request.messages,
        choices=choices,
        provider=_provider(attributes),
        request_model=first_text(attributes, REQUEST_MODEL)
        or _metadata(attributes, "ls_model_name", "model_name", "model")
        or request.model,
        response_model=response.model or first_text(attributes, RESPONSE_MODEL),
        response_id=response.id or first_text(attributes, RESPONSE_ID),
        # What the provider said: LangChain counts cached tokens into those of the input.
        input_tokens=_either(response.input_tokens, integer(attributes, INPUT_TOKENS)),
        output_tokens=_either(response.output_tokens, integer(attributes, OUTPUT_TOKENS)),
        error=error,
        error_type=error_type,
        conversation_id=_metadata(attributes, "conversation_id", "thread_id"),
        session_id=_metadata(attributes, "session_id"),
        user_id=_metadata(attributes, "user_id") or request.user,
        run_id=_metadata(attributes, "run_id"),
        tools=_tools(attributes) or request.tools,
        incomplete=tuple(incomplete),
    )


def _provider(attributes: Mapping[str, Any]) -> str | None:
    """Return the provider; `langchain` stands for one that LangSmith does not know."""
    found = first_text(attributes, f"{METADATA}ls_provider", PROVIDER)
    if found != "langchain":
        return found
    kind = _metadata(attributes, "_type")
    return kind.partition("-")[0] if kind else None


def _either(first: int | None, second: int | None) -> int | None:
    return second if first is None else first


def _metadata(attributes: Mapping[str, Any], *names: str) -> str | None:
    return first_text(attributes, *(f"{METADATA}{name}" for name in names))


def _tools(attributes: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    value = attributes.get(TOOLS)
    tools = json_of(value) if isinstance(value, str) else value
    return tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()


def _failure(span: Span) -> tuple[str | None, str | None]:
    """Return the class and the words of a failed run's exception, without its traceback."""
    message = first_text(exception_of(span), EXCEPTION_MESSAGE)
    if message is None:
        return error_type_of(span), error_of(span)
    found = _REPR.match(message)
    if found is None:
        return error_type_of(span), message.partition(_TRACEBACK)[0].strip()
    return found[1], f"{found[1]}: {found[3]}"


def _says_anything(choices: tuple[Choice, ...]) -> bool:
    return any(part != TextPart("") for choice in choices for part in choice.message.parts)
