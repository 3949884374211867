"""A dialect as a table: which attributes only the LLM calls of an emitter have, and which attributes hold which field.

`read` reads a span by an `AttributeTable`; `matches`, `keys` and docs/dialects.md are made from it too. If a table
cannot describe how an emitter writes a call, a function beside the table reads that part and passes it to `read`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import Choice, Generation, Message
from label_studio_otel.reading import gaps
from label_studio_otel.reading.attributes import as_dict, decoded, first_integer, first_text, objects_of, string_list
from label_studio_otel.reading.failure import error_of, error_type_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import Request, Response, operation_of, request_of, response_of
from label_studio_otel.reading.identities import IDENTITIES
from label_studio_otel.reading.stored_media import with_stored_media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from label_studio_otel.generation import Gap, Part
    from label_studio_otel.spans import Span

__all__ = ["AttributeTable", "first_value", "read"]

Names = tuple[str, ...]

_JSON_BEGINNINGS = ('"', "[", "{")
_JSON_WORDS = ("null", "true", "false")


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

    #: Other attributes and events that the functions below read.
    also: Names = ()
    #: Texts stand as JSON, in quotes.
    texts_are_json: bool = False
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
    def all_identities(self) -> frozenset[str]:
        """All attributes of `identities`."""
        return frozenset(name for names in self.identities.values() for name in names)

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

    def text(self, attributes: Mapping[str, Any], names: Names) -> str | None:
        """Return the first of these attributes that has a value, as a text; None if none has."""
        if not self.texts_are_json:
            return first_text(attributes, *names)
        for name in names:
            value = attributes.get(name)
            if value is not None and (text := first_text({name: _decoded_text(value)}, name)):
                return text
        return None


def _decoded_text(value: Any) -> Any:
    """Return the value of a JSON text; a text that is not JSON unchanged; None for a text in quotes that was cut."""
    if not isinstance(value, str) or value[:1] not in _JSON_BEGINNINGS:
        return None if value in _JSON_WORDS else value
    found = decoded(value)
    return value if found is None and value[0] != '"' else found


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

    Args:
        table: of the emitter.
        span: of the call.
        request: the request if it was read already, None to read it from the table's attributes.
        response: likewise the response.
        attributes: used in place of the span's.
        known: fields of `Generation` that were read already; the table is not asked for them.
    """
    attributes = span.attributes if attributes is None else attributes
    request = request or request_of(first_value(attributes, table.request))
    response = response or response_of(first_value(attributes, table.response))
    fields: dict[str, Any] = {
        "operation": request.operation,
        "messages": request.messages,
        "choices": _with_reasons(response.choices, table, attributes),
        # The response has the provider's own counts, to which an emitter can have added.
        "input_tokens": response.input_tokens,
        "output_tokens": response.output_tokens,
        "error": error_of(span),
        "error_type": error_type_of(span),
    }
    fields |= known
    if table.operates and "operation" not in known:
        fields["operation"] = table.operates(attributes, span.scope_name, span.name)
    # What is known is not looked for: each look-up takes time.
    if "provider" not in known:
        fields["provider"] = table.text(attributes, table.provider)
    if "request_model" not in known:
        fields["request_model"] = table.text(attributes, table.request_model) or request.model
    if "response_model" not in known:
        fields["response_model"] = response.model or table.text(attributes, table.response_model)
    if "response_id" not in known:
        fields["response_id"] = response.id or table.text(attributes, table.response_id)
    if "tools" not in known:
        fields["tools"] = objects_of(first_value(attributes, table.tools)) or request.tools
    for count in ("input_tokens", "output_tokens"):
        if fields[count] is None and count not in known:
            fields[count] = _count(table, attributes, count)
    fields = _identities(table, attributes) | fields
    fields["user_id"] = fields.get("user_id") or request.user
    if "incomplete" not in known:
        fields["incomplete"] = tuple(_incomplete(table, span, request, response, fields))
    return Generation(**fields)


def _identities(table: AttributeTable, attributes: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the fields for user, session, conversation, run and prompt that the attributes hold."""
    held = table.all_identities.intersection(attributes)
    if not held:
        return {}
    fields = table.identities.items()
    return {field: table.text(attributes, names) for field, names in fields if not held.isdisjoint(names)}


def _count(table: AttributeTable, attributes: Mapping[str, Any], field: str) -> int | None:
    count = first_integer(attributes, *(table.input_tokens if field == "input_tokens" else table.output_tokens))
    if count is not None or not table.usage:
        return count
    return first_integer(as_dict(decoded(first_value(attributes, table.usage))), field)


def _with_reasons(
    choices: tuple[Choice, ...], table: AttributeTable, attributes: Mapping[str, Any]
) -> tuple[Choice, ...]:
    """Return the choices with the finish reasons of the table's attribute, if there is one for each choice.

    If there are no choices, each reason becomes an empty choice: an answer without content is often not written.
    """
    if not table.finish_reason or (choices and all(choice.finish_reason for choice in choices)):
        return choices
    value = first_value(attributes, table.finish_reason)
    text = table.text(attributes, table.finish_reason) if isinstance(value, str) else None
    reasons = string_list(value) or ((text,) if text else ())
    if not choices:
        return tuple(Choice(Message("assistant", ()), finish_reason(reason)) for reason in reasons)
    if len(reasons) != len(choices):
        return choices
    pairs = zip(choices, reasons, strict=True)
    return tuple(Choice(one.message, one.finish_reason or finish_reason(reason)) for one, reason in pairs)


def _incomplete(
    table: AttributeTable, span: Span, request: Request, response: Response, fields: dict[str, Any]
) -> Iterator[Gap]:
    """Yield the gaps of a call; notes in `fields` become parts that refer to the stored media."""
    for said, names in ((request, table.request), (response, table.response)):
        if said.is_cut:
            yield gaps.truncated(next(name for name in names if span.attributes.get(name) is not None))
    if table.stored_media:
        media: list[Gap] = []
        stored = with_stored_media(fields["messages"], fields["choices"], table.stored_media, media)
        fields["messages"], fields["choices"] = stored
        yield from media
    hidden = table.hidden_is_empty and fields["output_tokens"]
    answers = [choice for choice in fields["choices"] if choice.message.parts or not hidden]
    failed = fields["error"] is not None
    yield from gaps.missing(span, fields["messages"], answers, table.switch, failed=failed)
