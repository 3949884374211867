"""`Fingerprint` holds what `matching.match` compares to find the spans of one LLM call: digests, ids and times.

It has no content, so it can be stored after the content is deleted and compared with spans that arrive later.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from label_studio_otel.generation import BlobPart, Generation, Message, RefusalPart, TextPart, ToolCallPart, UnknownPart
from label_studio_otel.spans import Span

#: LangChain and the AI SDK generate such ids where they do not know the provider's id.
_GENERATED_IDS = re.compile(r"(run-|lc_|aitxt-|aiobj-)")
_ID_PREFIX = re.compile(r"[A-Za-z]+(?=[-_])")
# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/resource/README.md
_PROCESS_ATTRIBUTES = ("service.instance.id", "process.pid", "host.name", "host.id", "container.id", "k8s.pod.uid")
#: How long after the first span of a stream the second span of Logfire may come; it comes when the stream has ended.
ECHO_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A span of an LLM call without its content. The outbox stores it, so the names of its fields stay."""

    #: `Span.key`.
    key: str
    scope: str
    start: int
    end: int
    #: Digests of the resource attributes that identify a process; empty where one is not known.
    process: tuple[str, ...] = ()
    #: `trace_id:span_id` of the parent span, empty where there is none.
    parent: str = ""
    #: Digest of the provider's response id, and the prefix of that id (`chatcmpl`, `msg`, `resp`, …).
    response: str = ""
    response_kind: str = ""
    #: Digest of all messages of the request, and of the last text of the user.
    request: str = ""
    asked: str = ""
    #: Digests of the choices: one of each text, one of the tool calls of each choice.
    answers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    failed: bool = False
    #: Whether this is the first span that Logfire writes of a streamed call. It ends when the stream begins.
    begun: bool = False
    #: Whether this is the second span that Logfire writes of a streamed call. It comes when the stream has ended, and
    #: repeats the first one with the answer.
    echo: bool = False
    #: How much the span holds (`_richness`); of the spans of one call, the richest is kept.
    richness: tuple[int, ...] = ()

    @property
    def span(self) -> str:
        """`trace_id:span_id`, as in the `parent` of another fingerprint."""
        return self.key.rpartition(":")[0]

    @property
    def order(self) -> tuple[int, int, str]:
        """The order in which fingerprints are compared: by start, the longer one first."""
        return self.start, -self.end, self.key

    @property
    def window(self) -> tuple[int, int]:
        """Start and end of the time in which other spans of the same call can lie, in Unix nanoseconds."""
        timeout = ECHO_TIMEOUT_S * 1_000_000_000
        return self.start - (timeout if self.echo else 0), self.end + (timeout if self.begun else 0)

    def encode(self) -> str:
        """Return the fingerprint as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Fingerprint:
        """Return the fingerprint of a JSON text that `encode` returned; unknown fields are ignored.

        Raises:
            ValueError: the text is not the JSON of a fingerprint.
        """
        try:
            known = {field.name for field in fields(cls)}
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in json.loads(text).items()
                if name in known
            }
            return cls(**values)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"no fingerprint: {type(error).__name__}") from None


def fingerprint(span: Span, generation: Generation) -> Fingerprint:
    """Return the fingerprint of a span of an LLM call."""
    identifier = generation.response_id or ""
    if _GENERATED_IDS.match(identifier):
        identifier = ""
    prefix = _ID_PREFIX.match(identifier)
    # https://github.com/pydantic/logfire/blob/v4.0.0/logfire/_internal/constants.py
    span_type = span.attributes.get("logfire.span_type")
    failed = generation.error is not None
    models = (generation.request_model, generation.response_model)
    return Fingerprint(
        key=span.key,
        scope=span.scope_name,
        start=span.start_time_unix_nano,
        end=max(span.start_time_unix_nano, span.end_time_unix_nano),
        process=tuple(_known_digest(span.resource.get(name)) for name in _PROCESS_ATTRIBUTES),
        parent=f"{span.trace_id}:{span.parent_span_id}" if span.parent_span_id else "",
        response=_known_digest(identifier),
        response_kind=prefix[0] if prefix else "",
        request=_digest(*(text for message in generation.messages for text in (message.role, _text(message)))),
        asked=_asked(generation),
        answers=tuple(dict.fromkeys(_answers(generation))),
        # Without the provider, which only some instrumentations write before a model's name.
        models=tuple(dict.fromkeys(name.rpartition("/")[2].lower() for name in models if name)),
        failed=failed,
        begun=span_type == "span"
        and span.scope_name.startswith("logfire")
        and bool(generation.messages)
        and not (generation.choices or failed),
        echo=span_type == "log",
        richness=_richness(generation),
    )


def _known_digest(value: Any) -> str:
    return "" if value in (None, "") else _digest(str(value))


def _digest(*texts: str) -> str:
    state = hashlib.blake2b(digest_size=8)
    for text in texts:
        state.update(text.encode("utf-8", "surrogatepass"))
        state.update(b"\0")
    return state.hexdigest()


def _text(message: Message) -> str:
    """Return a message's text without white space, because instrumentations join the parts in different ways."""
    return "".join("".join(part.content.split()) for part in message.parts if isinstance(part, (TextPart, RefusalPart)))


def _asked(generation: Generation) -> str:
    """Return the digest of the user's last text, else of the last text of another role than the model's."""
    for roles in (("user",), ("system", "developer", "tool", "unknown", "human")):
        for message in reversed(generation.messages):
            if message.role in roles and (text := _text(message)):
                return _digest(text)
    return ""


def _answers(generation: Generation) -> Iterator[str]:
    for choice in generation.choices:
        if text := _text(choice.message):
            yield _digest("text", text)
        if calls := [part for part in choice.message.parts if isinstance(part, ToolCallPart)]:
            yield _digest("tools", *(f"{call.name} {_canonical(call.arguments)}" for call in calls))


def _canonical(arguments: Any) -> str:
    try:
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        return json.dumps(arguments or {}, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError):  # no JSON, keys of several types, nested too deeply
        return arguments if isinstance(arguments, str) else ""


def _richness(generation: Generation) -> tuple[int, ...]:
    """Return how much a span holds, in order: parts, missing content, identities, other facts, length of the texts."""
    messages = [*generation.messages, *(choice.message for choice in generation.choices)]
    parts = [part for message in messages for part in message.parts]
    known_parts = sum(not isinstance(part, UnknownPart) and bool(getattr(part, "content", True)) for part in parts)
    length = sum(len(part.content) for part in parts if isinstance(part, (TextPart, RefusalPart, BlobPart)))
    identities = (generation.session_id, generation.conversation_id, generation.user_id, generation.prompt_name)
    facts = (
        generation.response_id,
        generation.request_model,
        generation.response_model,
        # An instrumentation that does not know the response model writes the request model there.
        generation.response_model if generation.response_model != generation.request_model else None,
        generation.input_tokens,
        generation.output_tokens,
        *(choice.finish_reason for choice in generation.choices),
    )
    known_facts = _count_known(facts) + len(generation.tools)
    return known_parts, -len(generation.incomplete), _count_known(identities), known_facts, length


def _count_known(values: Iterable[Any]) -> int:
    return sum(value is not None for value in values)
