"""Media that a tracer removed from a message and keeps in its own store. The message holds a note in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.generation import BlobPart, Choice, Message, UriPart
from label_studio_otel.reading import gaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.generation import Gap, Part

__all__ = ["with_stored_media"]

_NAMES = {"image": "images", "audio": "sound", "video": "videos"}


def with_stored_media(
    messages: tuple[Message, ...],
    choices: tuple[Choice, ...],
    note: Callable[[str, str], Part | None],
    incomplete: list[Gap],
) -> tuple[tuple[Message, ...], tuple[Choice, ...]]:
    """Return messages and choices in which each note became a part that refers to the media.

    Args:
        messages: as they were read, with notes.
        choices: as they were read, with notes.
        note: returns the part for a note, given its text and the modality of its part; None for a text that is no note.
        incomplete: a gap is added for each kind of media that was removed.
    """
    kinds: dict[str, None] = {}

    def read(part: Part) -> Part:
        if not isinstance(part, (BlobPart, UriPart)):
            return part
        found = note(part.content if isinstance(part, BlobPart) else part.uri, part.modality)
        if found is None:
            return part
        kinds[_NAMES.get(part.modality, "files")] = None
        return found

    def whole(message: Message) -> Message:
        parts = tuple(map(read, message.parts))
        return Message(message.role, parts, message.name)

    messages = tuple(map(whole, messages))
    choices = tuple(Choice(whole(choice.message), choice.finish_reason) for choice in choices)
    incomplete += map(gaps.media_not_captured, kinds)
    return messages, choices
