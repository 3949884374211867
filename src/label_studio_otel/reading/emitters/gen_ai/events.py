"""Messages in span events or log events.

- One event for each message (Strands, Azure, OpenLLMetry, OpenTelemetry before 1.37):
  https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/gen-ai/gen-ai-events.md
- One event with all details, `gen_ai.client.inference.operation.details`: the attributes of the span, and all messages:
  https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-events.md
  In a log event the messages are structured. There can be a span event and a log event. Strands writes three span
  events of that name, for the instructions, the input and the output, each as JSON.

The body of a log event is structured, or is JSON (Semantic Kernel). A span event has the body in its attributes, whose
values are texts: Strands writes the JSON of Bedrock's blocks, Azure one attribute `gen_ai.event.content` with all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from label_studio_otel.generation import Message
from label_studio_otel.reading.attributes import as_dict, as_list, decoded, index_of, json_of
from label_studio_otel.reading.forms import bedrock
from label_studio_otel.reading.forms.gen_ai import messages_of
from label_studio_otel.spans import Span

ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
CHOICE = "gen_ai.choice"
_NAMES = frozenset({*ROLES, CHOICE})
# https://github.com/open-telemetry/semantic-conventions/blob/v1.27.0/docs/gen-ai/gen-ai-spans.md#events
PROMPT_EVENT, PROMPT = "gen_ai.content.prompt", "gen_ai.prompt"
COMPLETION_EVENT, COMPLETION = "gen_ai.content.completion", "gen_ai.completion"
# https://github.com/pydantic/pydantic-ai/blob/v0.8.1/pydantic_ai_slim/pydantic_ai/models/instrumented.py
EVENTS_ATTRIBUTE = "events"
# https://github.com/Azure/azure-sdk-for-python/blob/azure-ai-inference_1.0.0b9/sdk/ai/azure-ai-inference/azure/ai/inference/tracing.py
EVENT_CONTENT = "gen_ai.event.content"
DETAILS = "gen_ai.client.inference.operation.details"

#: All names above, for the documentation.
EVENTS = (*ROLES, CHOICE, PROMPT_EVENT, PROMPT, COMPLETION_EVENT, COMPLETION, EVENTS_ATTRIBUTE, EVENT_CONTENT, DETAILS)


def sources_of(span: Span) -> tuple[Mapping[str, Any], ...]:
    """Return the attributes of the span, then those of its span events and log events with all details (`DETAILS`)."""
    events = (event.attributes for event in span.events if event.name == DETAILS)
    logs = (record.attributes for record in span.logs if record.event_name == DETAILS)
    return (span.attributes, *events, *logs)


def merged(sources: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    """Return the sources as one mapping; if several have an attribute, the first value that is not empty is taken."""
    if len(sources) == 1:
        return sources[0]
    return {key: value for source in reversed(sources) for key, value in source.items() if value not in (None, "")}


@dataclass(slots=True)
class EventMessages:
    """The content of the events of one call."""

    #: Whether there was any, with content or without.
    came: bool = False
    messages: list[Message] = field(default_factory=list)
    #: Messages as JSON objects, each with its finish reason, in the order of their index.
    answers: list[dict[str, Any]] = field(default_factory=list)
    tools: list[Any] = field(default_factory=list)


def messages_in_events(span: Span) -> EventMessages:
    """Return the content of the span events of a call; of its log events if there are no span events."""
    said = EventMessages()
    for name, body in _of_span(span):
        _add(said, name, body)
    for name, body in () if said.came else _elsewhere(span):
        _add(said, name, body)
    said.answers.sort(key=index_of)
    return said


def _of_span(span: Span) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for event in span.events:
        if event.name in _NAMES:
            content = decoded(event.attributes.get(EVENT_CONTENT))
            yield event.name, content if isinstance(content, dict) else _of_attributes(event.attributes)
        # The conventions had these two before 1.28.
        elif event.name == PROMPT_EVENT:
            yield from (("gen_ai.user.message", message) for message in _listed(event.attributes.get(PROMPT)))
        elif event.name == COMPLETION_EVENT:
            yield from ((CHOICE, {"message": message}) for message in _listed(event.attributes.get(COMPLETION)))


def _listed(value: Any) -> list[dict[str, Any]]:
    content = decoded(value)
    items = [content] if isinstance(content, dict) else content
    if isinstance(items, list) and items and all(isinstance(item, dict) for item in items):
        return items
    return [{"content": value}] if isinstance(value, str) and value else []


def _of_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a span event's attributes as the body of a message; only texts that are Bedrock's blocks are decoded."""
    said = {key: json_of(value) for key, value in attributes.items() if isinstance(value, str) and value[:1] == "["}
    return {**attributes, **{key: value for key, value in said.items() if bedrock.are_blocks(value)}}


def _elsewhere(span: Span) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the events of the log, and those that Pydantic AI and Logfire once wrote into one attribute, as JSON."""
    for record in span.logs:
        if record.event_name in _NAMES:
            body = decoded(record.body)
            yield record.event_name, body if isinstance(body, dict) else {"content": record.body}
    for event in as_list(decoded(span.attributes.get(EVENTS_ATTRIBUTE))):
        name = as_dict(event).get("event.name")
        if isinstance(name, str) and name in _NAMES:
            yield name, event


def _add(said: EventMessages, name: str, body: Mapping[str, Any]) -> None:
    said.came = True
    if name == CHOICE:
        said.answers.append(_answer(body))
        return
    role, content = ROLES[name], body.get("content")
    if isinstance(content, dict) and content.keys() == {"tools"}:
        # OpenLLMetry writes Anthropic's tools as a message of the user.
        said.tools += as_list(content["tools"])
        return
    said.messages += messages_of({"role": role, **body, "content": content}, role)


def _answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice as the message in it, with the fields that OpenLLMetry writes beside the message."""
    message = body.get("message")
    message = message if isinstance(message, dict) else {"content": message}
    beside = {key: body[key] for key in ("content", "tool_calls", "finish_reason", "index") if key in body}
    return {"content": None, **beside, **{key: value for key, value in message.items() if value is not None}}
