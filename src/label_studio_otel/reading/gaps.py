"""The gaps that a span can have, for all dialects: a reason for programs, a sentence for the labeler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.generation import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from label_studio_otel.generation import Choice, Message
    from label_studio_otel.spans import Span

__all__ = [
    "attributes_dropped",
    "choices_missing",
    "content_not_captured",
    "events_dropped",
    "log_events_missing",
    "media_not_captured",
    "message_without_content",
    "missing",
    "no_input",
    "no_output",
    "redacted",
    "truncated",
]


def attributes_dropped(number: int) -> Gap:
    """The SDK evicted attributes."""
    return Gap(
        "attributes_dropped",
        f"{number} attributes of the span were dropped by the application's OpenTelemetry SDK "
        "(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
    )


def events_dropped(number: int) -> Gap:
    """The SDK evicted span events."""
    return Gap(
        "events_dropped",
        f"{number} events of the span were dropped by the application's OpenTelemetry SDK "
        "(OTEL_SPAN_EVENT_COUNT_LIMIT).",
    )


def truncated(attribute: str) -> Gap:
    """A length limit cut a value."""
    return Gap(
        "attribute_truncated",
        f"{attribute} ends in the middle of its JSON: a length limit of the application's OpenTelemetry SDK cut it "
        "(OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT or OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT).",
    )


def choices_missing(asked: int, held: int) -> Gap:
    """The call asked for several answers, and not all are there."""
    return Gap("choices_missing", f"The call asked for {asked} answers, and its span holds {held}.")


def content_not_captured(switch: str) -> Gap:
    """The instrumentation leaves messages out.

    Args:
        switch: what the user must set, such as `set TRACELOOP_TRACE_CONTENT=true`.
    """
    return Gap(
        "content_not_captured",
        f"The span holds no messages: content capture is off, {switch} in the application.",
    )


def log_events_missing() -> Gap:
    """The messages are log events, and none came."""
    return Gap(
        "log_events_missing",
        "The messages of this call are log events, and none came: send the application's logs the same way as its "
        "spans.",
    )


def redacted(attribute: str, switch: str) -> Gap:
    """The instrumentation wrote a placeholder."""
    return Gap("redacted", f"{attribute} was replaced by a placeholder in the application ({switch}).")


def media_not_captured(kind: str) -> Gap:
    """The instrumentation leaves this kind of media out."""
    return Gap("media_not_captured", f"The instrumentation of the application does not record {kind}.")


def message_without_content() -> Gap:
    """The instrumentation stopped in the middle of a message."""
    return Gap(
        "message_without_content",
        "The last message of the span says who spoke and not what: the instrumentation of the application dropped it, "
        "as OpenLLMetry does with inline images, and the messages after it.",
    )


def no_input() -> Gap:
    """Only the answer is there."""
    return Gap("no_input", "The span holds no input messages.")


def no_output() -> Gap:
    """Only the question is there, and the call did not fail."""
    return Gap("no_output", "The span holds no answer of the model.")


def missing(
    span: Span, messages: Sequence[Message], choices: Sequence[Choice], switch: str, *, failed: bool
) -> Iterator[Gap]:
    """Yield what a span lacks that has its messages as attributes.

    Args:
        span: the call's.
        messages: what was read of the question.
        choices: what was read of the answer.
        switch: what the user must set to have both.
        failed: whether no answer is what there was.
    """
    if span.dropped_attributes:
        yield attributes_dropped(span.dropped_attributes)
    if not messages and not choices:
        yield content_not_captured(switch)
    elif not messages:
        yield no_input()
    elif not choices and not failed:
        yield no_output()
