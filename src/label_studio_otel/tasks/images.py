"""The images of a call, for labelers to see.

Our templates show those that stand in the call itself, each under its message's number: a link stays text, because a
labeler's browser must not call a host that some prompt names. So does what browsers cannot show, and SVG: opened on its
own, a drawing may run scripts in the name of Label Studio.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import BlobPart, Gap, Message, TextPart, ToolResponsePart, UnknownPart, UriPart
from label_studio_otel.tasks.size import json_size
from label_studio_otel.tasks.text import blob_bytes, media_note, message_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from label_studio_otel.generation import Generation, Part

__all__ = ["NO_IMAGE", "first_image", "fitting", "inline_images", "left_out"]

#: Label Studio wants a value for each variable: a transparent pixel, where a call has no image to show.
NO_IMAGE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

#: How the files begin that every browser shows.
_KINDS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "avif"),
    (re.compile(rb"BM.{12}", re.DOTALL), "bmp"),
)
#: Room in a task for what `left_out` says.
_SENTENCE_BYTES = 200
#: A tool's answer nested deeper holds no image that somebody would look for.
_MAX_DEPTH = 8
_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,", re.IGNORECASE)
_STANDARD = str.maketrans("-_", "+/", " \t\r\n")


def first_image(generation: Generation, max_bytes: int) -> tuple[str, tuple[Gap, ...]]:
    """Return the first image for an <Image> tag as a URL, and what is to be said about it."""
    for part in (part for message in generation.messages for part in message.parts):
        if isinstance(part, UriPart) and part.modality == "image":
            if len(part.uri) > max_bytes:
                return NO_IMAGE, (_too_large(message_text(Message("user", (part,)))),)
            return part.uri, ()
        if isinstance(part, BlobPart) and part.modality == "image":
            if len(blob_bytes(part)) > max_bytes:
                return NO_IMAGE, (_too_large(media_note(part)),)
            return f"data:{part.mime_type or 'image/png'};base64,{part.content}", ()
    return NO_IMAGE, ()


def inline_images(generation: Generation, max_bytes: int) -> tuple[list[dict[str, Any]], tuple[Gap, ...]]:
    """Return all images that stand in the call, in order, and what is to be said about those above `max_bytes`.

    Each has a `title`, which says where it stands and what its note there says, and `urls`: a list of one.
    """
    shown, gaps = [], []
    for place, parts in _places(generation):
        images = [image for part in parts if not isinstance(part, TextPart) for image in _images_of(part)]
        for number, image in enumerate(images, 1):
            note = media_note(image)
            if len(content := _bytes(image.content)) > max_bytes:
                gaps.append(_too_large(note))
            elif kind := next((kind for head, kind in _KINDS if head.match(content)), None):
                which = f"Image {number} of {len(images)}" if len(images) > 1 else "Image"
                url = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
                shown.append({"title": f"{which} in {place}: {note[1:-1].removeprefix('image: ')}", "urls": [url]})
    return shown, tuple(gaps)


def fitting(images: Iterable[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """Return the images for which a task has room, given in bytes."""
    room -= _SENTENCE_BYTES
    shown = []
    for image in images:
        size = json_size(image)
        if size < room:
            shown.append(image)
            room -= size
    return shown


def left_out(count: int) -> Gap:
    """So many images do not fit into the task."""
    return Gap("images_left_out", f"Not shown, because the task would be too large: {count} images.")


def _too_large(image: str) -> Gap:
    return Gap("image_too_large", f"An image is too large to be shown: {image}")


def _places(generation: Generation) -> Iterator[tuple[str, Sequence[Part]]]:
    for number, message in enumerate(generation.messages, 1):
        yield f"message {number} ({message.role})", message.parts
    for number, choice in enumerate(generation.choices, 1):
        yield (f"answer {number}" if len(generation.choices) > 1 else "the answer"), choice.message.parts


def _images_of(part: Part) -> Iterator[BlobPart]:
    if isinstance(part, BlobPart):
        if part.modality == "image":
            yield part
    elif isinstance(part, ToolResponsePart):
        yield from _within(part.response, _MAX_DEPTH)
    elif isinstance(part, UnknownPart):
        yield from _within(part.raw, _MAX_DEPTH)


def _within(value: Any, depth: int) -> Iterator[BlobPart]:
    """Yield the images in a provider's own form: data URLs, and base64 beside its type."""
    if isinstance(value, str):
        header = _DATA_URL.match(value[:100])
        if header:
            yield BlobPart("image", header[1], value[header.end() :])
    elif isinstance(value, Mapping) and depth:
        kind = _first_text(value, "media_type", "mime_type", "mimeType", "mediaType")
        content = _first_text(value, "data", "base64", "content")
        if kind.startswith("image/") and content and not content.startswith("data:"):
            yield BlobPart("image", kind, content)
        else:
            for item in value.values():
                yield from _within(item, depth - 1)
    elif isinstance(value, (list, tuple)) and depth:
        for item in value:
            yield from _within(item, depth - 1)


def _first_text(value: Mapping[Any, Any], *keys: str) -> str:
    return next((value[key] for key in keys if isinstance(value.get(key), str)), "")


def _bytes(content: str) -> bytes:
    """Return what base64 of either alphabet stands for; nothing where it is none."""
    try:
        standard = content.translate(_STANDARD)
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
