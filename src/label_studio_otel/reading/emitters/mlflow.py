"""MLflow's OpenTelemetry export: traces of `mlflow.<library>.autolog()` and `@mlflow.trace`.

https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/tracing/constant.py (SpanAttributeKey)
https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/entities/span.py

Every attribute's value is JSON, a text therefore in quotes. Inputs and outputs are the provider's, those of LangChain
mostly in OpenAI's form. Media were moved into attachments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from label_studio_otel.generation import Choice, Generation, Message, TextPart, UriPart
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import first_integer, first_text, json_of
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import langchain, openai_responses
from label_studio_otel.reading.forms.any_form import (
    Request,
    Response,
    operation_of,
    read_request,
    read_response,
    response_of,
)
from label_studio_otel.reading.forms.openai_chunks import choices_of_chunks
from label_studio_otel.reading.stored_media import with_stored_media

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Gap
    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "operation", "read"]

name = "mlflow"

TYPE = "mlflow.spanType"
INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
MODEL = "mlflow.llm.model"
PROVIDER = "mlflow.llm.provider"
USAGE = "mlflow.chat.tokenUsage"
TOOLS = "mlflow.chat.tools"
MESSAGE_FORMAT = "mlflow.message.format"
SESSION_ID = "mlflow.trace.session"
USER_ID = "mlflow.trace.user"
#: What the call was made with, as the autologging of LangChain notes it.
INVOCATION = "invocation_params"
METADATA = "metadata"
#: The pieces of a streamed answer, as span events.
CHUNK_EVENT = "mlflow.chunk.item."
CHUNK = "mlflow.chunk.value"
TOKEN_EVENT = "new_token"  # noqa: S105 - a piece of text
TOKEN_CHUNK = "chunk"  # noqa: S105

keys = frozenset({TYPE})

_TYPES = frozenset({'"CHAT_MODEL"', '"LLM"', "CHAT_MODEL", "LLM"})
#: So many of a stream's last pieces can lack text: its end, its reason, its usage.
_LAST = 4
_SWITCH = "let MLflow's autologging record inputs and outputs"
_PROVIDERS = frozenset({"anthropic", "bedrock", "gemini", "groq", "mistral", "openai"})
_ATTACHMENT = "mlflow-attachment://"


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell a model's span from chains, agents, tools, retrievers, embeddings, rerankers and parsers."""
    kind = attributes.get(TYPE)
    return isinstance(kind, str) and kind in _TYPES


def operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    """Return what `read` gives as the operation."""
    value = attributes.get(INPUTS)
    decoded = _decoded(value)
    if isinstance(decoded, str):
        return "text_completion"
    return operation_of(value if decoded is None else decoded)


def read(span: Span) -> Generation:
    """Read a model's span."""
    said = {key: _decoded(value) for key, value in span.attributes.items()}
    incomplete: list[Gap] = []
    request = _request(span.attributes.get(INPUTS), said.get(INPUTS), incomplete)
    response = _response(span, said.get(OUTPUTS), incomplete)
    streamed = _last_tokens(span)
    error = error_of(span)
    messages, choices = with_stored_media(request.messages, response.choices, _stored, incomplete)
    incomplete += gaps.missing(span, messages, choices, _SWITCH, failed=error is not None)
    usage, metadata = _object(said, USAGE), _object(said, METADATA)
    tokens = (first_integer(usage, "input_tokens"), first_integer(usage, "output_tokens"))
    model = first_text(said, MODEL)
    return Generation(
        operation=request.operation,
        messages=messages,
        choices=_with_reason(choices, streamed),
        provider=first_text(said, PROVIDER) or first_text(metadata, "ls_provider") or _wire(said),
        request_model=request.model or first_text(metadata, "ls_model_name") or first_text(said, "model") or model,
        response_model=response.model or first_text(streamed, "model_name", "model"),
        response_id=response.id or first_text(streamed, "id"),
        # What the provider said: MLflow counts Anthropic's cached tokens into those of the input.
        input_tokens=tokens[0] if response.input_tokens is None else response.input_tokens,
        output_tokens=tokens[1] if response.output_tokens is None else response.output_tokens,
        error=error,
        error_type=error_type_of(span),
        conversation_id=first_text(metadata, "conversation_id", "thread_id"),
        session_id=first_text(said, SESSION_ID) or first_text(metadata, "session_id"),
        user_id=first_text(said, USER_ID) or first_text(metadata, "user_id") or request.user,
        tools=_tools(said) or request.tools,
        incomplete=tuple(incomplete),
    )


def _object(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = said.get(key)
    return value if isinstance(value, dict) else {}


def _decoded(value: Any) -> Any:
    return json_of(value) if isinstance(value, str) else value


def _request(raw: Any, decoded: Any, incomplete: list[Gap]) -> Request:
    if isinstance(decoded, str):
        return Request((Message("user", (TextPart(decoded),)),), operation="text_completion")
    return read_request(raw if decoded is None else decoded, INPUTS, incomplete)


def _response(span: Span, decoded: Any, incomplete: list[Gap]) -> Response:
    if isinstance(decoded, str):
        return response_of(decoded) or Response(())
    if isinstance(decoded, dict) and isinstance(decoded.get("choices"), list):
        # MLflow puts together only the text of a stream, not tool calls, reasoning and refusals.
        decoded = {**decoded, "choices": _streamed(span) or decoded["choices"]}
    return read_response(span.attributes.get(OUTPUTS) if decoded is None else decoded, OUTPUTS, incomplete)


def _streamed(span: Span) -> list[dict[str, Any]]:
    """Return the choices that a whole stream of Chat Completions makes; none where there is no such stream."""
    if span.dropped_events:
        return []
    values = (event.attributes.get(CHUNK) for event in span.events if event.name.startswith(CHUNK_EVENT))
    return choices_of_chunks([json_of(value) if isinstance(value, str) else value for value in values])


def _last_tokens(span: Span) -> Mapping[str, Any]:
    """Return what the provider said at the end of a stream of LangChain's; MLflow's output has nothing of it."""
    found: dict[str, Any] = {}
    tokens = [event.attributes.get(TOKEN_CHUNK) for event in span.events if event.name == TOKEN_EVENT]
    for token in tokens[-_LAST:]:
        chunk = json_of(token) if isinstance(token, str) else token
        generation = chunk.get("kwargs") if isinstance(chunk, dict) else None
        if isinstance(generation, dict):
            found |= langchain.response_of({"generations": [generation]})
            found |= _object(generation, "generation_info")
    return found


def _with_reason(choices: tuple[Choice, ...], streamed: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Give a streamed answer the reason that its last pieces have."""
    if len(choices) != 1:
        return choices
    said = finish_reason(streamed.get("finish_reason") or streamed.get("stop_reason"))
    reason = said or openai_responses.finish_of(streamed, choices[0].message.parts)
    return (Choice(choices[0].message, reason),) if reason else choices


def _wire(said: Mapping[str, Any]) -> str | None:
    """Return whose form the messages have; LangChain's and others' are no provider's."""
    form = first_text(said, MESSAGE_FORMAT)
    return form if form in _PROVIDERS else None


def _tools(said: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools = said.get(TOOLS) or _object(said, INVOCATION).get("tools")
    return tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()


def _stored(text: str, modality: str) -> UriPart | None:
    if not text.startswith(_ATTACHMENT):
        return None
    kinds = parse_qs(urlsplit(text).query).get("content_type")
    return UriPart(modality, text, kinds[0] if kinds else "")
