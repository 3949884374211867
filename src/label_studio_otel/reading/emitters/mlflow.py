"""MLflow's OpenTelemetry export: traces of `mlflow.<library>.autolog()` and `@mlflow.trace`.

https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/tracing/constant.py (SpanAttributeKey)
https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/entities/span.py

The value of each attribute is JSON, so a text is in quotes. Inputs and outputs have the provider's form; those of
LangChain mostly have OpenAI's form. Media were moved into attachments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from label_studio_otel.generation import Choice, UriPart
from label_studio_otel.reading import table
from label_studio_otel.reading.attributes import as_dict, decoded, first_text, objects_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import (
    Request,
    Response,
    known_response,
    langchain,
    openai_responses,
    operation_of,
    request_of,
    response_of,
)
from label_studio_otel.reading.forms.openai_chunks import choices_of_chunks
from label_studio_otel.reading.forms.parts import prompts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Generation
    from label_studio_otel.spans import Span

__all__ = ["DIALECT"]

INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
MESSAGE_FORMAT = "mlflow.message.format"
#: What the call was made with, as the autologging of LangChain notes it.
INVOCATION = "invocation_params"
METADATA = "metadata"
#: The pieces of a streamed answer, as span events.
CHUNK_EVENT = "mlflow.chunk.item."
CHUNK = "mlflow.chunk.value"
TOKEN_EVENT = "new_token"  # noqa: S105 - a piece of text
TOKEN_CHUNK = "chunk"  # noqa: S105

#: So many of a stream's last pieces can lack text: its end, its reason, its usage.
_LAST = 4
_PROVIDERS = frozenset({"anthropic", "bedrock", "gemini", "groq", "mistral", "openai"})
_ATTACHMENT = "mlflow-attachment://"


def _operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    value = attributes.get(INPUTS)
    return "text_completion" if isinstance(decoded(value), str) else operation_of(value)


def _read(span: Span) -> Generation:
    attributes = span.attributes
    metadata = as_dict(decoded(attributes.get(METADATA)))
    streamed = _last_tokens(span)
    response = _response(span)
    request = _request(attributes.get(INPUTS))
    model = request.model or first_text(metadata, "ls_model_name")
    provider = DIALECT.text(attributes, DIALECT.provider) or first_text(metadata, "ls_provider")
    tools = as_dict(decoded(attributes.get(INVOCATION))).get("tools")
    return table.read(
        DIALECT,
        span,
        request._replace(
            tools=objects_of(tools) or request.tools,
            user=first_text(metadata, "user_id") or request.user,
        ),
        response,
        operation=request.operation,
        choices=_with_reason(response.choices, streamed),
        response_model=response.model or first_text(streamed, "model_name", "model"),
        response_id=response.id or first_text(streamed, "id"),
        provider=provider or _wire(attributes),
        request_model=model or DIALECT.text(attributes, DIALECT.request_model),
        conversation_id=first_text(metadata, "conversation_id", "thread_id"),
        session_id=DIALECT.text(attributes, DIALECT.session_id) or first_text(metadata, "session_id"),
    )


def _request(value: Any) -> Request:
    content = decoded(value)
    if isinstance(content, str):
        return Request(prompts([content]), operation="text_completion")
    return request_of(value if content is None else content)


def _response(span: Span) -> Response:
    value = span.attributes.get(OUTPUTS)
    content = decoded(value)
    if isinstance(content, str):
        return known_response(content) or Response(())
    if isinstance(content, dict) and isinstance(content.get("choices"), list):
        # MLflow puts together only the text of a stream, not tool calls, reasoning and refusals.
        return response_of({**content, "choices": _streamed(span) or content["choices"]})
    return response_of(value if content is None else content)


def _streamed(span: Span) -> list[dict[str, Any]]:
    """Return the choices of a Chat Completions stream from its chunks; an empty list if none or not all are there."""
    if span.dropped_events:
        return []
    values = (event.attributes.get(CHUNK) for event in span.events if event.name.startswith(CHUNK_EVENT))
    return choices_of_chunks(list(map(decoded, values)))


def _last_tokens(span: Span) -> Mapping[str, Any]:
    """Return what the last chunks of a LangChain stream tell of the response, as its id; MLflow's output lacks it."""
    found: dict[str, Any] = {}
    tokens = [event.attributes.get(TOKEN_CHUNK) for event in span.events if event.name == TOKEN_EVENT]
    for token in tokens[-_LAST:]:
        generation = as_dict(decoded(token)).get("kwargs")
        if isinstance(generation, dict):
            found |= langchain.response_of({"generations": [generation]})
            found |= as_dict(generation.get("generation_info"))
    return found


def _with_reason(choices: tuple[Choice, ...], streamed: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return a streamed choice with the finish reason of the stream's last chunks; other choices unchanged."""
    if len(choices) != 1:
        return choices
    said = finish_reason(streamed.get("finish_reason") or streamed.get("stop_reason"))
    reason = said or openai_responses.finish_of(streamed, choices[0].message.parts)
    return (Choice(choices[0].message, reason),) if reason else choices


def _wire(attributes: Mapping[str, Any]) -> str | None:
    """Return the provider whose form the messages have; None for LangChain's form and other forms of libraries."""
    form = DIALECT.text(attributes, (MESSAGE_FORMAT,))
    return form if form in _PROVIDERS else None


def _stored(text: str, modality: str) -> UriPart | None:
    if not text.startswith(_ATTACHMENT):
        return None
    kinds = parse_qs(urlsplit(text).query).get("content_type")
    return UriPart(modality, text, kinds[0] if kinds else "")


DIALECT = table.AttributeTable(
    name="mlflow",
    written_by=__doc__,
    marks={"mlflow.spanType": frozenset({'"CHAT_MODEL"', '"LLM"', "CHAT_MODEL", "LLM"})},
    switch="let MLflow's autologging record inputs and outputs",
    request=(INPUTS,),
    response=(OUTPUTS,),
    tools=("mlflow.chat.tools",),
    provider=("mlflow.llm.provider",),
    request_model=("model", "mlflow.llm.model"),
    usage=("mlflow.chat.tokenUsage",),
    session_id=("mlflow.trace.session",),
    user_id=("mlflow.trace.user",),
    also=(METADATA, INVOCATION, MESSAGE_FORMAT, f"{CHUNK_EVENT}*", CHUNK, TOKEN_EVENT, TOKEN_CHUNK),
    texts_are_json=True,
    stored_media=_stored,
    operates=_operation,
    reads=_read,
)
