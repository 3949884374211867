"""MLflow's OpenTelemetry export: traces of `mlflow.<library>.autolog()` and `@mlflow.trace`.

https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/tracing/constant.py (SpanAttributeKey)
https://github.com/mlflow/mlflow/blob/v3.6.0/mlflow/entities/span.py

Every attribute's value is JSON, a text therefore in quotes. Inputs and outputs are the provider's, those of LangChain
mostly in OpenAI's form. Media were moved into attachments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from label_studio_otel.dialects import _gaps
from label_studio_otel.dialects._attributes import first_integer, first_text, json_of
from label_studio_otel.dialects._failure import error_of, error_type_of
from label_studio_otel.dialects._payload import Request, Response, read_request, read_response
from label_studio_otel.dialects._stored import with_stored_media
from label_studio_otel.generation import Choice, Generation, Message, TextPart, UriPart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_otel.generation import Gap
    from label_studio_otel.spans import Span

__all__ = ["keys", "matches", "name", "read"]

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
#: OpenAI's parameter.
USER = "user"

keys = frozenset({TYPE})

_TYPES = frozenset({'"CHAT_MODEL"', '"LLM"', "CHAT_MODEL", "LLM"})
_SWITCH = "let MLflow's autologging record inputs and outputs"
_ATTACHMENT = "mlflow-attachment://"


def matches(attributes: Mapping[str, Any], scope_name: str) -> bool:
    """Tell a model's span from chains, agents, tools, retrievers, embeddings, rerankers and parsers."""
    kind = attributes.get(TYPE)
    return isinstance(kind, str) and kind in _TYPES


def read(span: Span) -> Generation:
    """Read a model's span."""
    said = {key: _decoded(value) for key, value in span.attributes.items()}
    incomplete: list[Gap] = []
    request = _request(span.attributes.get(INPUTS), said.get(INPUTS), incomplete)
    response = _response(span.attributes.get(OUTPUTS), said.get(OUTPUTS), incomplete)
    error = error_of(span)
    messages, choices = with_stored_media(request.messages, response.choices, _stored, incomplete)
    incomplete += _gaps.missing(span, messages, choices, _SWITCH, failed=error is not None)
    usage, metadata = _object(said, USAGE), _object(said, METADATA)
    tokens = (first_integer(usage, "input_tokens"), first_integer(usage, "output_tokens"))
    model = first_text(said, MODEL)
    return Generation(
        operation=request.operation,
        messages=messages,
        choices=choices,
        provider=first_text(said, PROVIDER) or first_text(metadata, "ls_provider"),
        request_model=request.model or first_text(metadata, "ls_model_name") or first_text(said, "model") or model,
        response_model=response.model or (model if choices else None),
        response_id=response.id,
        input_tokens=response.input_tokens if tokens[0] is None else tokens[0],
        output_tokens=response.output_tokens if tokens[1] is None else tokens[1],
        error=error,
        error_type=error_type_of(span),
        conversation_id=first_text(metadata, "conversation_id", "thread_id"),
        session_id=first_text(said, SESSION_ID) or first_text(metadata, "session_id"),
        user_id=first_text(said, USER_ID) or first_text(metadata, "user_id") or first_text(said, USER),
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


def _response(raw: Any, decoded: Any, incomplete: list[Gap]) -> Response:
    if isinstance(decoded, str):
        return Response((Choice(Message("assistant", (TextPart(decoded),))),))
    return read_response(raw if decoded is None else decoded, OUTPUTS, incomplete)


def _tools(said: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools = said.get(TOOLS) or _object(said, INVOCATION).get("tools")
    return tuple(tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()


def _stored(text: str, modality: str) -> UriPart | None:
    if not text.startswith(_ATTACHMENT):
        return None
    kinds = parse_qs(urlsplit(text).query).get("content_type")
    return UriPart(modality, text, kinds[0] if kinds else "")
