"""The gaps that a span can have, for all dialects. A `Gap` has a reason for programs and a sentence for the labeler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from label_studio_otel.generation import Choice, Gap, Message
from label_studio_otel.spans import Span

NO_INPUT = Gap("no_input", "The span holds no input messages.")
#: Nor did the call fail.
NO_OUTPUT = Gap("no_output", "The span holds no answer of the model.")
LOG_EVENTS_MISSING = Gap(
    "log_events_missing",
    "The messages of this call are log events, and none came: send the application's logs the same way as its spans.",
)
#: The instrumentation stopped in the middle of a message.
MESSAGE_WITHOUT_CONTENT = Gap(
    "message_without_content",
    "The last message of the span says who spoke and not what: the instrumentation of the application dropped it, "
    "as OpenLLMetry does with inline images, and the messages after it.",
)


def attributes_dropped(number: int) -> Gap:
    """Return the gap of a span whose oldest attributes the SDK dropped, because it had too many."""
    return Gap(
        "attributes_dropped",
        f"{number} attributes of the span were dropped by the application's OpenTelemetry SDK "
        "(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
    )


def events_dropped(number: int) -> Gap:
    """Return the gap of a span whose oldest events the SDK dropped, because it had too many."""
    return Gap(
        "events_dropped",
        f"{number} events of the span were dropped by the application's OpenTelemetry SDK "
        "(OTEL_SPAN_EVENT_COUNT_LIMIT).",
    )


def truncated(attribute: str) -> Gap:
    """Return the gap of an attribute that a length limit of the SDK cut."""
    return Gap(
        "attribute_truncated",
        f"{attribute} ends in the middle of its JSON: a length limit of the application's OpenTelemetry SDK cut it "
        "(OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT or OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT).",
    )


def choices_missing(asked: int, held: int) -> Gap:
    """Return the gap of a call that asked for more choices than its span holds."""
    return Gap("choices_missing", f"The call asked for {asked} answers, and its span holds {held}.")


def content_not_captured(switch: str) -> Gap:
    """Return the gap of a span without messages; `switch` is what the user must do, as `set VARIABLE=true`."""
    return Gap(
        "content_not_captured",
        f"The span holds no messages: content capture is off, {switch} in the application.",
    )


def redacted(attribute: str, switch: str) -> Gap:
    """Return the gap of an attribute that holds a placeholder in place of its content; `switch` brings it back."""
    return Gap("redacted", f"{attribute} was replaced by a placeholder in the application ({switch}).")


def media_not_captured(kind: str) -> Gap:
    """Return the gap of media that the instrumentation does not record; `kind` names them in the plural."""
    return Gap("media_not_captured", f"The instrumentation of the application does not record {kind}.")


def missing(
    span: Span,
    messages: Sequence[Message],
    choices: Sequence[Choice],
    switch: str,
    *,
    failed: bool,
    without_input: Gap = NO_INPUT,
) -> Iterator[Gap]:
    """Yield the gaps of a span whose emitter writes messages into attributes.

    `switch` is what the user must do to have messages recorded. A call that `failed` needs no answer.
    """
    if span.dropped_attributes:
        yield attributes_dropped(span.dropped_attributes)
    if not messages and not choices:
        yield content_not_captured(switch)
    elif not messages:
        yield without_input
    elif not choices and not failed:
        yield NO_OUTPUT
