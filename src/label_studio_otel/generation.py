"""One LLM call in the terms of OpenTelemetry's GenAI conventions: messages of parts, choices, usage.

Values only. The parts follow the message schemas of the semantic conventions for generative AI
(gen-ai-input-messages.json and gen-ai-output-messages.json, semconv 1.37); dialects build them, `task` renders them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BlobPart",
    "Choice",
    "FilePart",
    "Gap",
    "Generation",
    "Message",
    "Part",
    "ReasoningPart",
    "RefusalPart",
    "TextPart",
    "ToolCallPart",
    "ToolResponsePart",
    "UnknownPart",
    "UriPart",
]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text that somebody said."""

    content: str


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What the model thought before it answered."""

    content: str


@dataclass(frozen=True, slots=True)
class RefusalPart:
    """What the model said instead of an answer."""

    content: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """The model asks for a tool."""

    name: str
    #: As decoded from JSON, or a string that is none.
    arguments: Any = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResponsePart:
    """What a tool answered."""

    response: Any
    id: str | None = None


@dataclass(frozen=True, slots=True)
class BlobPart:
    """Inline media, base64."""

    #: image, audio, video or file.
    modality: str
    mime_type: str
    #: Base64, without a `data:` prefix.
    content: str


@dataclass(frozen=True, slots=True)
class UriPart:
    """Media by reference."""

    modality: str
    uri: str
    mime_type: str = ""


@dataclass(frozen=True, slots=True)
class FilePart:
    """Media that the provider keeps under an id."""

    modality: str
    file_id: str
    mime_type: str = ""


@dataclass(frozen=True, slots=True)
class UnknownPart:
    """A part of a kind we do not know, kept as it came."""

    raw: Any


Part: TypeAlias = (
    TextPart
    | ReasoningPart
    | RefusalPart
    | ToolCallPart
    | ToolResponsePart
    | BlobPart
    | UriPart
    | FilePart
    | UnknownPart
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    #: system, user, assistant or tool; another role stays as it came.
    role: str
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of the model."""

    message: Message
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was said and that the span does not hold."""

    #: For programs; see `dialects._gaps`.
    reason: str
    #: For the labeler; names the setting that would have kept it.
    sentence: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One LLM call as it was said."""

    #: chat, text_completion or generate_content (`gen_ai.operation.name`).
    operation: str
    messages: tuple[Message, ...]
    choices: tuple[Choice, ...]
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    #: The provider's id of the answer; two spans that have the same one are one call.
    response_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    #: Type and message of a failed call.
    error: str | None = None
    error_type: str | None = None
    conversation_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    run_id: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    #: Tool definitions as they came.
    tools: tuple[Mapping[str, Any], ...] = field(default=())
    incomplete: tuple[Gap, ...] = ()

    @property
    def model(self) -> str | None:
        """The model that answered, else the one that was asked for."""
        return self.response_model or self.request_model
