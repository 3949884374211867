"""Finds the images of a call and makes URLs of them that labelers can see.

Our labeling configs show the inline images, with the number of their message. Some images stay text:

- links, because a labeler's browser must not call a host that a prompt names;
- formats that not every browser shows;
- SVG, because an SVG that is opened in a tab may run scripts with the rights of Label Studio's pages.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from label_studio_otel.generation import BlobPart, Gap, Generation, Part, ToolResponsePart, UnknownPart, UriPart
from label_studio_otel.tasks.size import json_size
from label_studio_otel.tasks.text import blob_bytes, media_note, part_text

#: A transparent pixel, for a call without an image: Label Studio needs a value for each variable.
NO_IMAGE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"

#: The first bytes of the formats that every browser shows, and their MIME subtypes.
_FORMATS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "avif"),
    (re.compile(rb"BM.{12}", re.DOTALL), "bmp"),
)
_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,", re.IGNORECASE)
_TO_STANDARD_BASE64 = str.maketrans("-_", "+/", " \t\r\n")


def first_image(generation: Generation, max_bytes: int) -> tuple[str, tuple[Gap, ...]]:
    """Return the URL of the first image for an <Image> tag, and a gap if the image is above `max_bytes`."""
    for part in (part for message in generation.messages for part in message.parts):
        if isinstance(part, (BlobPart, UriPart)) and part.modality == "image":
            if len(part.uri if isinstance(part, UriPart) else blob_bytes(part)) > max_bytes:
                return NO_IMAGE, (_too_large(part_text(part)),)
            if isinstance(part, UriPart):
                return part.uri, ()
            return f"data:{part.mime_type or 'image/png'};base64,{part.content}", ()
    return NO_IMAGE, ()


def inline_images(generation: Generation, max_bytes: int) -> tuple[list[dict[str, Any]], tuple[Gap, ...]]:
    """Return the inline images of a call in their order, and a gap for each one above `max_bytes`.

    Each image has a `title` (its message, type, size and hash) and `urls`, a list of one data URL.
    """
    shown, gaps = [], []
    for place, parts in _places(generation):
        images = [image for part in parts for image in _images_of(part)]
        for number, image in enumerate(images, 1):
            note = media_note(image)
            if len(content := _bytes(image.content)) > max_bytes:
                gaps.append(_too_large(note))
            elif subtype := next((subtype for head, subtype in _FORMATS if head.match(content)), None):
                which = f"Image {number} of {len(images)}" if len(images) > 1 else "Image"
                url = f"data:image/{subtype};base64,{base64.b64encode(content).decode()}"
                shown.append({"title": f"{which} in {place}: {note[1:-1].removeprefix('image: ')}", "urls": [url]})
    return shown, tuple(gaps)


def fitting(images: Iterable[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """Return the images that fit into a task with `room` bytes left."""
    room -= 200  # for the gap about images that do not fit
    shown = []
    for image in images:
        if (size := json_size(image)) < room:
            shown.append(image)
            room -= size
    return shown


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
    elif isinstance(part, (ToolResponsePart, UnknownPart)):
        yield from _within(part.raw if isinstance(part, UnknownPart) else part.response)


def _within(value: Any, depth: int = 8) -> Iterator[BlobPart]:
    """Yield the images in a provider's own format: data URLs, and objects with a MIME type and base64."""
    if isinstance(value, str):
        if header := _DATA_URL.match(value[:100]):
            yield BlobPart("image", header[1], value[header.end() :])
    elif isinstance(value, Mapping) and depth:
        mime_type = _first_text(value, "media_type", "mime_type", "mimeType", "mediaType")
        content = _first_text(value, "data", "base64", "content")
        if mime_type.startswith("image/") and content and not content.startswith("data:"):
            yield BlobPart("image", mime_type, content)
        else:
            for item in value.values():
                yield from _within(item, depth - 1)
    elif isinstance(value, (list, tuple)) and depth:
        for item in value:
            yield from _within(item, depth - 1)


def _first_text(value: Mapping[Any, Any], *keys: str) -> str:
    return next((value[key] for key in keys if isinstance(value.get(key), str)), "")


def _bytes(content: str) -> bytes:
    """Return the bytes of a base64 text of either alphabet; no bytes if it is no base64."""
    try:
        standard = content.translate(_TO_STANDARD_BASE64)
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
