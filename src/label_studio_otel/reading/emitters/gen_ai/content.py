"""The messages, choices and tools of an LLM call that follows the GenAI conventions, and the gaps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Choice, Gap, Message, ReasoningPart, TextPart, ToolCallPart
from label_studio_otel.reading import gaps as _gaps
from label_studio_otel.reading.attributes import as_dict, decoded, integer, objects_of
from label_studio_otel.reading.emitters.gen_ai import logfire
from label_studio_otel.reading.emitters.gen_ai.capture_settings import capture_settings_of
from label_studio_otel.reading.emitters.gen_ai.choices import choices_of, choices_without_content
from label_studio_otel.reading.emitters.gen_ai.events import messages_in_events
from label_studio_otel.reading.emitters.gen_ai.litellm import function_calls, functions, with_calls
from label_studio_otel.reading.emitters.gen_ai.redaction import placeholder_in, scrubbed
from label_studio_otel.reading.forms.gen_ai import drop_partial_end, messages_of, split
from label_studio_otel.reading.forms.gen_ai_parts import content_withheld, media_withheld, part_of
from label_studio_otel.reading.turns import join_turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from label_studio_otel.generation import Part
    from label_studio_otel.reading.emitters.gen_ai.capture_settings import CaptureSettings
    from label_studio_otel.reading.emitters.gen_ai.events import EventMessages
    from label_studio_otel.spans import Span

__all__ = ["Content", "read"]

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
CHOICE_COUNT = "gen_ai.request.choice.count"
# https://github.com/pydantic/pydantic-ai/blob/v1.20.0/pydantic_ai_slim/pydantic_ai/models/instrumented.py
PARAMETERS = "model_request_parameters"
# https://github.com/openlit/openlit/blob/openlit-1.35.0/sdk/python/src/openlit/semcov/__init__.py
REASONING = "gen_ai.content.reasoning"


@dataclass(slots=True)
class Content:
    """Messages, choices, tools and gaps of a call."""

    messages: tuple[Message, ...] = ()
    choices: tuple[Choice, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    gaps: list[Gap] = field(default_factory=list)


def read(span: Span, sources: Sequence[Mapping[str, Any]], attributes: Mapping[str, Any]) -> Content:
    """Return the content of a call, in whichever place it is.

    Args:
        span: the span of the call.
        sources: the attributes of the span, and of its events with all details (`events.sources_of`).
        attributes: all sources as one mapping.

    Raises:
        DialectError: an attribute that should hold messages is neither text nor structured.
    """
    return _Reading(span, sources, attributes).content()


class _Reading:
    def __init__(self, span: Span, sources: Sequence[Mapping[str, Any]], attributes: Mapping[str, Any]) -> None:
        self._span = span
        self._sources = sources
        self._attributes = attributes
        self._gaps: list[Gap] = []

    def content(self) -> Content:
        said = messages_in_events(self._span)
        messages = self._without_withheld(self._with_instructions(self._input() or said.messages))
        choices = self._choices(said)
        if not choices and self._span.status_code != "ERROR":
            # An answer without content is not written, its finish reason is.
            choices = choices_without_content(self._attributes, self._span)
        tools = self._tools() or objects_of(said.tools)
        gaps = self._all_gaps(said, messages, choices)
        return Content(join_turns(messages or self._parameters()), choices, tools, gaps)

    def _parameters(self) -> list[Message]:
        """Return the instructions in the request's parameters as a message; a failed call of Pydantic AI has them."""
        parameters = as_dict(decoded(self._attributes.get(PARAMETERS)))
        texts = [part.get("content") for part in objects_of(parameters.get("instruction_parts"))]
        said = [text for text in texts if isinstance(text, str) and text]
        return [Message("system", (TextPart("\n\n".join(said)),))] if said else []

    def _input(self) -> list[Message]:
        items, cut = self._items(INPUT_MESSAGES)
        messages = [message for item in items for message in messages_of(item, "user")]
        request = None if messages else logfire.request_of(self._attributes)
        if request:
            return list(request.messages)
        return drop_partial_end(messages) if cut else messages

    def _with_instructions(self, messages: list[Message]) -> list[Message]:
        """Return the messages with the instructions as the first message, unless they begin with them."""
        instructions = self._instructions()
        if instructions and _leading_system_parts(messages)[: len(instructions)] != instructions:
            return [Message("system", instructions), *messages]
        return messages

    def _instructions(self) -> tuple[Part, ...]:
        """Return the parts of the system message. Some emitters write it as plain text, which may look like JSON."""
        value = self._attributes.get(SYSTEM_INSTRUCTIONS)
        if not value:
            return ()
        items, cut = self._items(SYSTEM_INSTRUCTIONS)
        if isinstance(value, str) and items and not all(isinstance(item, dict) and "type" in item for item in items):
            return () if cut else (TextPart(value),)
        parts = tuple(map(part_of, items))
        whole = drop_partial_end([Message("system", parts)]) if cut else [Message("system", parts)]
        return whole[0].parts if whole else ()

    def _choices(self, said: EventMessages) -> tuple[Choice, ...]:
        items, cut = self._items(OUTPUT_MESSAGES)
        choices = choices_of(
            items or said.answers or logfire.answers_of(self._attributes), self._attributes, self._span
        )
        if cut and choices:
            last = drop_partial_end([choices[-1].message])
            choices = (*choices[:-1], *(Choice(message, choices[-1].finish_reason) for message in last))
        return with_calls(self._with_reasoning(choices), function_calls(self._attributes))

    def _with_reasoning(self, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
        """Return the one choice with the reasoning before its text; OpenLIT writes it into an attribute of its own."""
        thoughts = self._attributes.get(REASONING)
        parts = choices[0].message.parts if len(choices) == 1 else ()
        if not isinstance(thoughts, str) or not thoughts or not parts or ReasoningPart in map(type, parts):
            return choices
        return (replace(choices[0], message=Message("assistant", (ReasoningPart(thoughts), *parts))),)

    def _items(self, attribute: str) -> tuple[list[Any], bool]:
        """Return the items of a list, and whether a length limit cut it.

        They are taken from the first source that has the whole list, else from the first source that has it cut.
        """
        found: list[tuple[list[Any], bool]] = []
        for source in self._sources:
            value = source.get(attribute)
            if value is None or value == "" or self._is_redacted(attribute, value):
                continue
            found.append(self._split(attribute, value))
            if not found[-1][1]:
                return found[-1]
        if not found:
            return [], False
        self._gaps.append(_gaps.truncated(attribute))
        return found[0]

    def _is_redacted(self, attribute: str, value: Any) -> bool:
        switch = scrubbed(value)
        if switch:
            self._gaps.append(_gaps.redacted(attribute, switch))
        return bool(switch)

    def _split(self, attribute: str, value: Any) -> tuple[list[Any], bool]:
        try:
            return split(value)
        except TypeError as error:
            message = f"span {self._span.span_id}: gen_ai cannot read {attribute} of type {error}"
            raise DialectError(message) from None

    def _tools(self) -> tuple[Mapping[str, Any], ...]:
        value = self._attributes.get(TOOL_DEFINITIONS)
        listed = decoded(value)
        if isinstance(value, str) and value and listed is None:
            self._gaps.append(_gaps.truncated(TOOL_DEFINITIONS))
        request = None if listed else logfire.request_of(self._attributes)
        return objects_of(listed) or functions(self._attributes) or (request.tools if request else ())

    def _without_withheld(self, messages: list[Message]) -> list[Message]:
        """Return the messages without the parts whose content was not recorded; add the gaps.

        A message that has only such parts is left out.
        """
        parts = [part for message in messages for part in message.parts]
        if any(map(media_withheld, parts)):
            self._gaps.append(_gaps.media_not_captured("images and files"))
        if any(map(content_withheld, parts)):
            self._gaps.append(_gaps.content_not_captured(capture_settings_of(self._span.scope_name).switch))
        return [shown for message in messages if (shown := _shown(message))]

    def _all_gaps(self, said: EventMessages, messages: list[Message], choices: Sequence[Choice]) -> list[Gap]:
        span, gaps = self._span, self._gaps
        if span.dropped_attributes:
            gaps.insert(0, _gaps.attributes_dropped(span.dropped_attributes))
        if span.dropped_events:
            gaps.append(_gaps.events_dropped(span.dropped_events))
        gaps += _placeholders(messages)
        cut = any(gap.reason == "attribute_truncated" for gap in gaps)  # then nothing may be left to be read
        said_any = any(map(_says, [*messages, *(choice.message for choice in choices)]))
        if _EXPLAIN_ALL.isdisjoint(gap.reason for gap in gaps) and (said_any or not cut):
            gaps += _missing(span, capture_settings_of(span.scope_name), messages, choices, log_came=said.came)
        asked = integer(self._attributes, CHOICE_COUNT)
        if asked and 0 < len(choices) < asked and any(_says(choice.message) for choice in choices):
            gaps.append(_gaps.choices_missing(asked, len(choices)))
        return gaps


#: Reasons beside which it needs no saying that something is not there.
_EXPLAIN_ALL = frozenset({"attributes_dropped", "content_not_captured", "events_dropped", "redacted"})


def _shown(message: Message) -> Message | None:
    parts = tuple(part for part in message.parts if not content_withheld(part) and not media_withheld(part))
    return Message(message.role, parts, message.name) if parts or not message.parts else None


def _leading_system_parts(messages: list[Message]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for message in messages:
        if message.role not in {"system", "developer"}:
            break
        parts += message.parts
    return tuple(parts)


def _placeholders(messages: Iterable[Message]) -> list[Gap]:
    found = {}
    for part in (part for message in messages for part in message.parts):
        switch = placeholder_in(part)
        if switch:
            found[switch] = _gaps.redacted("A message", switch)
    return list(found.values())


def _missing(
    span: Span, settings: CaptureSettings, messages: Sequence[Message], choices: Sequence[Choice], *, log_came: bool
) -> list[Gap]:
    failed = span.status_code == "ERROR"
    says = [_says(message) for message in messages]
    if not any(says) and not any(_says(choice.message) for choice in choices):
        if failed and settings.silent_when_failed:
            return [_gaps.no_input()]
        if settings.in_log and not log_came:
            return [_gaps.log_events_missing()]
        return (
            [_gaps.content_not_captured(settings.switch)] if settings.switch else [_gaps.no_input(), _gaps.no_output()]
        )
    if not messages:
        return [_gaps.log_events_missing() if settings.input_in_log else _gaps.no_input()]
    if not all(says):
        return [_gaps.media_not_captured("messages of several parts")]
    return [] if choices or failed else [_gaps.no_output()]


def _says(message: Message) -> bool:
    """Return whether a message has any content; a tool call without arguments is none."""
    return any(not isinstance(part, ToolCallPart) or part.arguments is not None for part in message.parts)
