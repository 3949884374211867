"""Makes parts of images, sound and files from a link, a data URL, base64 or the id of a file."""

from __future__ import annotations

import re
from typing import Any

from label_studio_otel.generation import BlobPart, FilePart, UriPart

__all__ = ["by_id", "by_reference", "inline"]

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)
_FAMILIES = frozenset({"image", "audio", "video"})


def by_reference(uri: Any, modality: str, mime_type: Any = "") -> BlobPart | UriPart | None:
    """Return the part for a link; a data URL in base64 becomes inline media. None if it is no text."""
    if not isinstance(uri, str) or not uri:
        return None
    header = _DATA_URL.match(uri[:200])
    mime_type = mime_type if isinstance(mime_type, str) else ""
    if header is None:
        return UriPart(modality, uri, mime_type)
    mime_type = header[1] or mime_type
    return BlobPart(_family(mime_type, modality), mime_type, uri[header.end() :])


def inline(content: Any, mime_type: Any, modality: str) -> BlobPart | UriPart | None:
    """Return the part for base64 or for a data URL, which some write in its place. None if it is no text."""
    if not isinstance(content, str) or not content:
        return None
    if content.startswith("data:"):
        return by_reference(content, modality, mime_type)
    mime_type = mime_type if isinstance(mime_type, str) else ""
    return BlobPart(_family(mime_type, modality), mime_type, content)


def by_id(file_id: Any, modality: str) -> FilePart | None:
    """Return the part for media that the provider keeps under an id. None if there is no id."""
    return FilePart(modality, file_id) if isinstance(file_id, str) and file_id else None


def _family(mime_type: str, modality: str) -> str:
    family = mime_type.partition("/")[0]
    return family if family in _FAMILIES else modality
