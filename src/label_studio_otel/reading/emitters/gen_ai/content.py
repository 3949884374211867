"""The messages, choices and tools of an LLM call that follows the GenAI conventions, and the gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Choice, Gap, Message, Part, ReasoningPart, TextPart, ToolCallPart
from label_studio_otel.reading import gaps as _gaps
from label_studio_otel.reading.attributes import as_dict, decoded, first_integer, objects_of
from label_studio_otel.reading.emitters.gen_ai import logfire
from label_studio_otel.reading.emitters.gen_ai.capture_settings import (
    CaptureSettings,
    capture_settings_of,
    placeholder_switch,
)
from label_studio_otel.reading.emitters.gen_ai.choices import choices_of, choices_without_content
from label_studio_otel.reading.emitters.gen_ai.events import messages_in_events
from label_studio_otel.reading.emitters.gen_ai.litellm import function_calls, functions, with_calls
from label_studio_otel.reading.forms.gen_ai import drop_partial_end, messages_of, split
from label_studio_otel.reading.forms.gen_ai_parts import content_withheld, media_withheld, part_of
from label_studio_otel.reading.turns import join_turns
from label_studio_otel.spans import Span

if TYPE_CHECKING:
    from label_studio_otel.reading.emitters.gen_ai.events import EventMessages

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


class Content:
    """The content of a call: messages, choices, tools and gaps.

    The sources are the attributes of the span and of its events with all details; `attributes` is all of them as one
    mapping.

    Raises:
        DialectError: an attribute that should hold messages is neither text nor structured.
    """

    def __init__(self, span: Span, sources: Sequence[Mapping[str, Any]], attributes: Mapping[str, Any]) -> None:
        self._span = span
        self._sources = sources
        self._attributes = attributes
        self.gaps: list[Gap] = []
        said = messages_in_events(span)
        messages = self._without_withheld(self._with_instructions(self._input() or said.messages))
        self.choices = self._choices(said)
        if not self.choices and span.status_code != "ERROR":
            # An answer without content is not written, its finish reason is.
            self.choices = choices_without_content(attributes, span)
        self.tools = self._tools() or objects_of(said.tools)
        self._add_gaps(said, messages)
        self.messages = join_turns(messages or self._parameters())

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
            if value is None or value == "":
                continue
            if switch := placeholder_switch(value):
                self.gaps.append(_gaps.redacted(attribute, switch))
                continue
            try:
                found.append(split(value))
            except TypeError as error:
                message = f"span {self._span.span_id}: gen_ai cannot read {attribute} of type {error}"
                raise DialectError(message) from None
            if not found[-1][1]:
                return found[-1]
        if not found:
            return [], False
        self.gaps.append(_gaps.truncated(attribute))
        return found[0]

    def _tools(self) -> tuple[Mapping[str, Any], ...]:
        value = self._attributes.get(TOOL_DEFINITIONS)
        listed = decoded(value)
        if isinstance(value, str) and value and listed is None:
            self.gaps.append(_gaps.truncated(TOOL_DEFINITIONS))
        request = None if listed else logfire.request_of(self._attributes)
        return objects_of(listed) or functions(self._attributes) or (request.tools if request else ())

    def _without_withheld(self, messages: list[Message]) -> list[Message]:
        """Return the messages without the parts whose content was not recorded; add the gaps.

        A message that has only such parts is left out.
        """
        parts = [part for message in messages for part in message.parts]
        if any(map(media_withheld, parts)):
            self.gaps.append(_gaps.media_not_captured("images and files"))
        if any(map(content_withheld, parts)):
            self.gaps.append(_gaps.content_not_captured(capture_settings_of(self._span.scope_name).switch))
        shown = (
            replace(message, parts=tuple(part for part in message.parts if not _is_withheld(part)))
            if any(map(_is_withheld, message.parts))
            else message
            for message in messages
        )
        return [now for now, before in zip(shown, messages, strict=True) if now.parts or not before.parts]

    def _add_gaps(self, said: EventMessages, messages: list[Message]) -> None:
        span, gaps, choices = self._span, self.gaps, self.choices
        if span.dropped_attributes:
            gaps.insert(0, _gaps.attributes_dropped(span.dropped_attributes))
        if span.dropped_events:
            gaps.append(_gaps.events_dropped(span.dropped_events))
        texts = (part.content for message in messages for part in message.parts if isinstance(part, TextPart))
        switches = dict.fromkeys(filter(None, map(placeholder_switch, texts)))
        gaps += [_gaps.redacted("A message", switch) for switch in switches]
        cut = any(gap.reason == "attribute_truncated" for gap in gaps)  # then nothing may be left to be read
        said_any = any(map(_says, [*messages, *(choice.message for choice in choices)]))
        if _EXPLAIN_ALL.isdisjoint(gap.reason for gap in gaps) and (said_any or not cut):
            gaps += _missing(span, capture_settings_of(span.scope_name), messages, choices, log_came=said.came)
        asked = first_integer(self._attributes, CHOICE_COUNT)
        if asked and 0 < len(choices) < asked and any(_says(choice.message) for choice in choices):
            gaps.append(_gaps.choices_missing(asked, len(choices)))


#: Reasons beside which it needs no saying that something is not there.
_EXPLAIN_ALL = frozenset({"attributes_dropped", "content_not_captured", "events_dropped", "redacted"})


def _is_withheld(part: Part) -> bool:
    return content_withheld(part) or media_withheld(part)


def _leading_system_parts(messages: list[Message]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for message in messages:
        if message.role not in {"system", "developer"}:
            break
        parts += message.parts
    return tuple(parts)


def _missing(
    span: Span, settings: CaptureSettings, messages: Sequence[Message], choices: Sequence[Choice], *, log_came: bool
) -> list[Gap]:
    failed = span.status_code == "ERROR"
    says = [_says(message) for message in messages]
    if not any(says) and not any(_says(choice.message) for choice in choices):
        if failed and settings.silent_when_failed:
            return [_gaps.NO_INPUT]
        if settings.in_log and not log_came:
            return [_gaps.LOG_EVENTS_MISSING]
        return [_gaps.content_not_captured(settings.switch)] if settings.switch else [_gaps.NO_INPUT, _gaps.NO_OUTPUT]
    if not messages:
        return [_gaps.LOG_EVENTS_MISSING if settings.input_in_log else _gaps.NO_INPUT]
    if not all(says):
        return [_gaps.media_not_captured("messages of several parts")]
    return [] if choices or failed else [_gaps.NO_OUTPUT]


def _says(message: Message) -> bool:
    """Return whether a message has any content; a tool call without arguments is none."""
    return any(not isinstance(part, ToolCallPart) or part.arguments is not None for part in message.parts)
