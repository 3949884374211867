"""A dialect as a table: which attributes only the LLM calls of an emitter have, and which attributes hold which field.

`read` reads a span by an `AttributeTable`; `matches`, `keys` and docs/dialects.md are made from it too. If a table
cannot describe how an emitter writes a call, a function beside the table reads that part and passes it to `read`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from label_studio_otel.generation import BlobPart, Choice, Gap, Generation, Message, Part, UriPart
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import as_dict, decoded, first_integer, first_text, objects_of, string_list
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import Request, Response, operation_of, request_of, response_of
from label_studio_otel.spans import Span

Names = tuple[str, ...]

# https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
ASSOCIATION = "traceloop.association.properties."  # metadata of LangChain's RunnableConfig ends here
USER_ID = ("user.id", f"{ASSOCIATION}user_id", "gen_ai.user")

#: Fields of `Generation` by the attributes that hold them; the application's own words come after the conventions':
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md and
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/
IDENTITIES: Mapping[str, Names] = {
    "conversation_id": ("gen_ai.conversation.id", f"{ASSOCIATION}conversation_id", f"{ASSOCIATION}thread_id"),
    "session_id": ("session.id", f"{ASSOCIATION}session_id"),
    "user_id": USER_ID,
    "run_id": (f"{ASSOCIATION}run_id",),
    "prompt_name": ("gen_ai.prompt.name", f"{ASSOCIATION}prompt_name", "traceloop.prompt.key"),
    "prompt_version": ("gen_ai.prompt.version", f"{ASSOCIATION}prompt_version", "traceloop.prompt.version"),
}


_METADATA = {
    "conversation_id": ("conversation_id", "thread_id"),
    "session_id": ("session_id",),
    "user_id": ("user_id",),
}


@dataclass(frozen=True, kw_only=True)
class AttributeTable:
    """The attributes in which an emitter writes an LLM call. If a field has several, the first with a value is read."""

    #: As logs, `convert` and `DialectError` name the dialect.
    name: str
    #: The attributes that mark a span of this emitter, each with its values on an LLM call; no values: any will do.
    marks: Mapping[str, frozenset[str]]
    #: Who writes it, for people: the first paragraph stands in docs/dialects.md.
    written_by: str | None = None
    #: How the scope's name begins; none: any scope.
    scopes: Names = ()
    #: What brings messages back that were not recorded, such as `set TRACELOOP_TRACE_CONTENT=true`.
    switch: str = ""

    #: The whole request and the whole response, or their messages, in any form (`reading.forms`).
    request: Names = ()
    response: Names = ()
    tools: Names = ()
    finish_reason: Names = ()

    provider: Names = ()
    request_model: Names = ()
    response_model: Names = ()
    response_id: Names = ()
    input_tokens: Names = ()
    output_tokens: Names = ()
    #: An object whose fields are the counts of tokens.
    usage: Names = ()

    conversation_id: Names = ()
    session_id: Names = ()
    user_id: Names = ()
    run_id: Names = ()
    prompt_name: Names = ()
    prompt_version: Names = ()

    #: An object in which the application wrote who and what the call belonged to.
    metadata: Names = ()

    #: Other attributes and events that the functions below read.
    also: Names = ()
    #: Reads the first of some attributes that says something as text: `first_json_text` where texts stand in quotes.
    text: Callable[..., str | None] = first_text
    #: An answer that was not recorded looks like an empty one: only the tokens tell.
    hidden_is_empty: bool = False
    #: Reads the note that stands where media were cut out, given it and the modality of its part.
    stored_media: Callable[[str, str], Part | None] | None = None

    #: Whether a span is an LLM call, where `marks` alone cannot tell; runs in the application's thread.
    tells: Callable[[Mapping[str, Any], str], bool] | None = None
    #: The operation by attributes, scope's name and span's name, where the request's form does not say it.
    operates: Callable[[Mapping[str, Any], str, str], str] | None = None
    #: Reads the call, where `read` alone cannot.
    reads: Callable[[Span], Generation] | None = None

    @cached_property
    def identities(self) -> Mapping[str, Names]:
        """The attributes for user, session, conversation, run and prompt by field, the emitter's own first."""
        return {field: (*getattr(self, field), *shared) for field, shared in IDENTITIES.items()}

    @cached_property
    def all_identities(self) -> Mapping[str, str]:
        """For each attribute of `identities`, the field that it holds."""
        return {name: field for field, names in self.identities.items() for name in names}

    @cached_property
    def look_ups(self) -> tuple[tuple[str, Names, Callable[..., Any]], ...]:
        """The fields that have attributes of their own: name, attributes, and the function that reads these."""
        texts = ("provider", "request_model", "response_model", "response_id")
        counts = ("input_tokens", "output_tokens")
        return tuple(
            (field, names, self.text if field in texts else first_integer)
            for field in (*texts, *counts)
            if (names := getattr(self, field))
        )

    @property
    def keys(self) -> frozenset[str]:
        """Names of attributes. A span of this dialect has at least one of them."""
        return frozenset(self.marks)

    @cached_property
    def matches(self) -> Callable[[Mapping[str, Any], str], bool]:
        """Returns whether a span with these attributes and this name of its scope is an LLM call of this dialect."""
        return self.tells or self._is_marked

    def _is_marked(self, attributes: Mapping[str, Any], scope_name: str) -> bool:
        if self.scopes and not scope_name.startswith(self.scopes):
            return False
        for mark, values in self.marks.items():
            value = attributes.get(mark)
            if value is not None and (not values or (isinstance(value, str) and value in values)):
                return True
        return False

    def operation(self, attributes: Mapping[str, Any], scope_name: str, span_name: str) -> str:
        """Return the operation that `read` gives to the call."""
        if self.operates is not None:
            return self.operates(attributes, scope_name, span_name)
        return operation_of(first_value(attributes, self.request))

    def read(self, span: Span) -> Generation:
        """Return the LLM call of a span; its gaps are in `incomplete`."""
        return self.reads(span) if self.reads is not None else read(self, span)


def first_value(attributes: Mapping[str, Any], names: Names) -> Any:
    """Return the value of the first of these attributes that exists, None if none does."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def read(
    table: AttributeTable,
    span: Span,
    request: Request | None = None,
    response: Response | None = None,
    *,
    attributes: Mapping[str, Any] | None = None,
    **known: Any,
) -> Generation:
    """Return the LLM call of a span, read by its table.

    The request, the response and fields of `Generation` (`known`) are passed if they were read already. The others are
    read from the attributes of the table. `attributes` is used in place of the span's.
    """
    attributes = span.attributes if attributes is None else attributes
    request = request or request_of(first_value(attributes, table.request))
    response = response or response_of(first_value(attributes, table.response))
    fields: dict[str, Any] = {
        "operation": request.operation,
        "messages": request.messages,
        "choices": _with_reasons(response.choices, table, attributes),
        "response_model": response.model,
        "response_id": response.id,
        # The provider's own counts, to which an emitter can have added.
        "input_tokens": response.input_tokens,
        "output_tokens": response.output_tokens,
    }
    if span.status_code == "ERROR":
        fields["error"], fields["error_type"] = error_of(span), error_type_of(span)
    fields |= _identities(table, attributes, request)
    fields |= known
    if table.operates and "operation" not in known:
        fields["operation"] = table.operates(attributes, span.scope_name, span.name)
    _look_up(table, attributes, request, fields, known)
    if "incomplete" not in known:
        fields["incomplete"] = tuple(_incomplete(table, span, request, response, fields))
    return Generation(**fields)


def _look_up(
    table: AttributeTable,
    attributes: Mapping[str, Any],
    request: Request,
    fields: dict[str, Any],
    known: dict[str, Any],
) -> None:
    """Add the fields that neither request nor response has, from their attributes, and no others: it takes time."""
    for field, names, find in table.look_ups:
        if fields.get(field) is None and field not in known:
            fields[field] = find(attributes, *names)
    if table.usage and (fields["input_tokens"] is None or fields["output_tokens"] is None):
        usage = as_dict(decoded(first_value(attributes, table.usage)))
        for count in ("input_tokens", "output_tokens"):
            if fields[count] is None and count not in known:
                fields[count] = first_integer(usage, count)
    if request.model and not fields.get("request_model") and "request_model" not in known:
        fields["request_model"] = request.model
    if "tools" not in known:
        fields["tools"] = objects_of(first_value(attributes, table.tools)) or request.tools


def _identities(table: AttributeTable, attributes: Mapping[str, Any], request: Request) -> dict[str, str | None]:
    """Return the fields for user, session, conversation, run and prompt that the attributes hold."""
    found: dict[str, str | None] = {}
    if held := table.all_identities.keys() & attributes:
        for field in {table.all_identities[name] for name in held}:
            found[field] = table.text(attributes, *table.identities[field])
    if table.metadata and (metadata := as_dict(decoded(first_value(attributes, table.metadata)))):
        found |= {field: found.get(field) or first_text(metadata, *keys) for field, keys in _METADATA.items()}
    if request.user and not found.get("user_id"):
        found["user_id"] = request.user
    return found


def _with_reasons(
    choices: tuple[Choice, ...], table: AttributeTable, attributes: Mapping[str, Any]
) -> tuple[Choice, ...]:
    """Return the choices with the finish reasons of the table's attribute, if there is one for each choice.

    If there are no choices, each reason becomes an empty choice: an answer without content is often not written.
    """
    value = first_value(attributes, table.finish_reason)
    if value is None or (choices and all(choice.finish_reason for choice in choices)):
        return choices
    text = table.text(attributes, *table.finish_reason) if isinstance(value, str) else None
    reasons = string_list(value) or ((text,) if text else ())
    if not choices:
        return tuple(Choice(Message("assistant", ()), finish_reason(reason)) for reason in reasons)
    if len(reasons) != len(choices):
        return choices
    pairs = zip(choices, reasons, strict=True)
    return tuple([Choice(one.message, one.finish_reason or finish_reason(reason)) for one, reason in pairs])


def _incomplete(
    table: AttributeTable, span: Span, request: Request, response: Response, fields: dict[str, Any]
) -> Iterator[Gap]:
    """Yield the gaps of a call; notes in `fields` become parts that refer to the stored media."""
    for said, names in ((request, table.request), (response, table.response)):
        if said.is_cut:
            yield gaps.truncated(next(name for name in names if span.attributes.get(name) is not None))
    if table.stored_media and _has_media(fields):
        yield from _read_stored_media(table.stored_media, fields)
    answers = fields["choices"]
    if table.hidden_is_empty and fields["output_tokens"]:
        answers = [choice for choice in answers if choice.message.parts]
    failed = fields.get("error") is not None
    yield from gaps.missing(span, fields["messages"], answers, table.switch, failed=failed)


def _has_media(fields: dict[str, Any]) -> bool:
    said = (*fields["messages"], *(choice.message for choice in fields["choices"]))
    return any(isinstance(part, (BlobPart, UriPart)) for message in said for part in message.parts)


def _read_stored_media(note: Callable[[str, str], Part | None], fields: dict[str, Any]) -> Iterator[Gap]:
    """Replace notes in messages and choices by parts that refer to the media; yield a gap for each kind of media."""
    kinds: dict[str, None] = {}

    def read(part: Part) -> Part:
        if not isinstance(part, (BlobPart, UriPart)):
            return part
        found = note(part.content if isinstance(part, BlobPart) else part.uri, part.modality)
        if found is not None:
            kinds[{"image": "images", "audio": "sound", "video": "videos"}.get(part.modality, "files")] = None
        return found or part

    def whole(message: Message) -> Message:
        return Message(message.role, tuple(map(read, message.parts)), message.name)

    fields["messages"] = tuple(map(whole, fields["messages"]))
    fields["choices"] = tuple(Choice(whole(choice.message), choice.finish_reason) for choice in fields["choices"])
    yield from map(gaps.media_not_captured, kinds)
