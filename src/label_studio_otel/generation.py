"""`Generation` is one LLM call in the terms of OpenTelemetry's GenAI conventions: messages, choices and usage.

The parts of messages follow the schemas of the semantic conventions for generative AI (gen-ai-input-messages.json and
gen-ai-output-messages.json, semconv 1.37). `reading` builds them from spans, `tasks` renders them.
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
    """Text of a message."""

    content: str


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """The model's reasoning before its answer."""

    content: str


@dataclass(frozen=True, slots=True)
class RefusalPart:
    """The text with which the model refused to answer."""

    content: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A tool call that the model requests."""

    name: str
    #: As decoded from JSON; a string if it is no JSON.
    arguments: Any = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResponsePart:
    """The response of a tool."""

    response: Any
    id: str | None = None


@dataclass(frozen=True, slots=True)
class BlobPart:
    """Inline media."""

    #: image, audio, video or file.
    modality: str
    mime_type: str
    #: Base64, without a `data:` prefix.
    content: str


@dataclass(frozen=True, slots=True)
class UriPart:
    """Media by their URI."""

    modality: str
    uri: str
    mime_type: str = ""


@dataclass(frozen=True, slots=True)
class FilePart:
    """Media that the provider stores under an id."""

    modality: str
    file_id: str
    mime_type: str = ""


@dataclass(frozen=True, slots=True)
class UnknownPart:
    """A part of an unknown kind, as the span has it."""

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
    """One message of the conversation."""

    #: system, user, assistant, tool, or any other role that the span has.
    role: str
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the model's answers."""

    message: Message
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Content of the call that the span does not hold."""

    #: A fixed name for programs; see `reading.gaps`.
    reason: str
    #: For the labeler; names the setting that makes the instrumentation record the content, where there is one.
    sentence: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One LLM call: what was asked, what was answered, and what is known about it."""

    #: chat, text_completion or generate_content (`gen_ai.operation.name`).
    operation: str
    messages: tuple[Message, ...]
    choices: tuple[Choice, ...]
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    #: The provider's id of the response; two spans that have the same one are one call.
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
    #: Tool definitions in the provider's format.
    tools: tuple[Mapping[str, Any], ...] = field(default=())
    incomplete: tuple[Gap, ...] = ()

    @property
    def model(self) -> str | None:
        """The response model; if it is unknown, the request model."""
        return self.response_model or self.request_model
