"""MLflow's OpenTelemetry export: traces of `mlflow.<library>.autolog()` and `@mlflow.trace`.

https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/tracing/constant.py (SpanAttributeKey)
https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/entities/span.py

The value of each attribute is JSON, so a text is in quotes. Inputs and outputs have the provider's form; those of
LangChain mostly have OpenAI's form. Media were moved into attachments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from label_studio_otel.generation import Choice, Generation, UriPart
from label_studio_otel.reading import forms, table
from label_studio_otel.reading.attributes import as_dict, decoded, first_json_text, first_text, index_of, objects_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import langchain, openai, parts
from label_studio_otel.spans import Span

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

_PROVIDERS = frozenset({"anthropic", "bedrock", "gemini", "groq", "mistral", "openai"})
_ATTACHMENT = "mlflow-attachment://"
#: What the pieces of a message hold a part of.
#: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/chat/chat_completion_chunk.py
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


def _operation(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
    value = attributes.get(INPUTS)
    return "text_completion" if isinstance(decoded(value), str) else forms.operation_of(value)


def _read(span: Span) -> Generation:
    attributes = span.attributes
    metadata = as_dict(decoded(attributes.get(METADATA)))
    streamed = _last_tokens(span)
    response = _response(span)
    request = _request(attributes.get(INPUTS))
    model = request.model or first_text(metadata, "ls_model_name")
    provider = first_json_text(attributes, *DIALECT.provider) or first_text(metadata, "ls_provider")
    form = first_json_text(attributes, MESSAGE_FORMAT)  # LangChain's and others' forms are no provider's
    tools = as_dict(decoded(attributes.get(INVOCATION))).get("tools")
    return table.read(
        DIALECT,
        span,
        request._replace(tools=objects_of(tools) or request.tools),
        response,
        operation=request.operation,
        choices=_with_reason(response.choices, streamed),
        response_model=response.model or first_text(streamed, "model_name", "model"),
        response_id=response.id or first_text(streamed, "id"),
        provider=provider or (form if form in _PROVIDERS else None),
        request_model=model or first_json_text(attributes, *DIALECT.request_model),
    )


def _request(value: Any) -> forms.Request:
    content = decoded(value)
    if isinstance(content, str):
        return forms.Request(parts.prompts([content]), operation="text_completion")
    return forms.request_of(value if content is None else content)


def _response(span: Span) -> forms.Response:
    value = span.attributes.get(OUTPUTS)
    content = decoded(value)
    if isinstance(content, str):
        return forms.known_response(content) or forms.Response(())
    if isinstance(content, dict) and isinstance(content.get("choices"), list):
        # MLflow puts together only the text of a stream, not tool calls, reasoning and refusals.
        return forms.response_of({**content, "choices": _streamed(span) or content["choices"]})
    return forms.response_of(value if content is None else content)


def _streamed(span: Span) -> list[dict[str, Any]]:
    """Return the choices of a Chat Completions stream from its chunks; an empty list if none or not all are there."""
    if span.dropped_events:
        return []
    values = (event.attributes.get(CHUNK) for event in span.events if event.name.startswith(CHUNK_EVENT))
    return choices_of_chunks(list(map(decoded, values)))


def choices_of_chunks(chunks: list[Any]) -> list[dict[str, Any]]:
    """Return the choices that chunks of Chat Completions make, in order; none where one is of another kind."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        pieces = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
            return []
        for piece in pieces:
            _add(choices, piece)
    return [choices[index] for index in sorted(choices)]


def _add(choices: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    index = index_of(piece)
    choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant"}, "finish_reason": None})
    choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]
    delta = piece.get("delta")
    if not isinstance(delta, dict):
        return
    message = choice["message"]
    for key in _TEXTS:
        if isinstance(delta.get(key), str):
            message[key] = message.get(key, "") + delta[key]
    for call in delta.get("tool_calls") or ():
        if isinstance(call, dict):
            _add_call(message.setdefault("tool_calls", []), call)


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Add a piece of a tool call to the calls: the first has id and name, the next ones more of the arguments."""
    index = index_of(piece)
    call = next((call for call in calls if call["index"] == index), None)
    if call is None:
        call = {"index": index, "id": None, "function": {"name": "", "arguments": ""}}
        calls.append(call)
    call["id"] = call["id"] or piece.get("id")
    function = piece.get("function")
    if isinstance(function, dict):
        for key in ("name", "arguments"):
            if isinstance(function.get(key), str):
                call["function"][key] += function[key]


def _last_tokens(span: Span) -> Mapping[str, Any]:
    """Return what the last chunks of a LangChain stream tell of the response, as its id; MLflow's output lacks it."""
    found: dict[str, Any] = {}
    tokens = [event.attributes.get(TOKEN_CHUNK) for event in span.events if event.name == TOKEN_EVENT]
    for token in tokens[-4:]:  # so many can lack text: the stream's end, its reason, its usage
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
    reason = said or openai.finish_of(streamed, choices[0].message.parts)
    return (Choice(choices[0].message, reason),) if reason else choices


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
    metadata=(METADATA,),
    also=(INVOCATION, MESSAGE_FORMAT, f"{CHUNK_EVENT}*", CHUNK, TOKEN_EVENT, TOKEN_CHUNK),
    text=first_json_text,
    stored_media=_stored,
    operates=_operation,
    reads=_read,
)
