"""A fingerprint of a call: all that is needed to tell whether two spans are the same one, without content.

It can be kept after the content is gone, and compared with spans that arrive later (`doubles.match`).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from label_studio_otel.generation import BlobPart, RefusalPart, TextPart, ToolCallPart, UnknownPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from label_studio_otel.generation import Generation, Message
    from label_studio_otel.spans import Span

__all__ = ["ECHO_PATIENCE", "Fingerprint", "fingerprint"]

#: LangChain and the AI SDK make ids of their own where the provider's is not known: these say nothing about it.
_OWN_IDS = re.compile(r"(run-|lc_|aitxt-|aiobj-)")
_ID_KIND = re.compile(r"[A-Za-z]+(?=[-_])")
# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/resource/README.md
_PROCESS = ("service.instance.id", "process.pid", "host.name", "host.id", "container.id", "k8s.pod.uid")
# https://github.com/pydantic/logfire/blob/v4.0.0/logfire/_internal/constants.py
_LOGFIRE_SPAN_TYPE = "logfire.span_type"
_LOGFIRE_SCOPE = "logfire"
#: Seconds that the second span of a streamed call of Logfire is waited for: it comes when the stream has ended.
ECHO_PATIENCE = 600


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells whether two spans are one call, without content."""

    #: `Span.key`.
    key: str
    scope: str
    start: int
    end: int
    #: Digests of what tells processes apart, each empty where it is not known.
    process: tuple[str, ...] = ()
    #: `trace_id:span_id` of the span above, empty where there is none.
    parent: str = ""
    #: Digest of the provider's id of the answer, and what such ids begin with (`chatcmpl`, `msg`, `resp`, …).
    response: str = ""
    response_kind: str = ""
    #: Digest of all that was asked, and of the last thing that the user said.
    request: str = ""
    asked: str = ""
    #: Digest of each choice: of its text, and of its tool calls.
    answers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    failed: bool = False
    #: The span of a streamed call of Logfire, which ends when the stream begins,
    begun: bool = False
    #: and the one that it writes when the stream has ended, with all that the first holds, and the answer.
    echo: bool = False
    #: How much it holds; the fuller one of two is kept.
    richness: tuple[int, ...] = ()

    @property
    def span(self) -> str:
        """`trace_id:span_id`, as `parent` of another says it."""
        return self.key.rpartition(":")[0]

    @property
    def order(self) -> tuple[int, int, str]:
        """The order in which fingerprints are looked at: by start, the longer first."""
        return self.start, -self.end, self.key

    @property
    def window(self) -> tuple[int, int]:
        """The time in which other spans of the same call go on."""
        patience = ECHO_PATIENCE * 1_000_000_000
        return self.start - patience * self.echo, self.end + patience * self.begun

    def encode(self) -> str:
        """Return it as JSON, to be kept."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Fingerprint:
        """Read what `encode` wrote; fields that it does not know are passed over.

        Raises:
            ValueError: it is none.
        """
        try:
            known = {field.name for field in fields(cls)}
            values: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in known}
            lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
            return cls(**{**values, **lists})
        except (AttributeError, TypeError) as error:
            raise ValueError(f"no fingerprint: {type(error).__name__}") from None


def fingerprint(span: Span, generation: Generation) -> Fingerprint:
    """Return what tells whether another span is the same call."""
    identifier = generation.response_id or ""
    if _OWN_IDS.match(identifier):
        identifier = ""
    kind = _ID_KIND.match(identifier)
    kind_of_span = span.attributes.get(_LOGFIRE_SPAN_TYPE)
    return Fingerprint(
        key=span.key,
        scope=span.scope_name,
        start=span.start_time_unix_nano,
        end=max(span.start_time_unix_nano, span.end_time_unix_nano),
        process=tuple(_known_digest(span.resource.get(name)) for name in _PROCESS),
        parent=f"{span.trace_id}:{span.parent_span_id}" if span.parent_span_id else "",
        response=_known_digest(identifier),
        response_kind=kind[0] if kind else "",
        request=_digest(*_request(generation)),
        asked=_asked(generation),
        answers=tuple(dict.fromkeys(_answers(generation))),
        models=tuple(dict.fromkeys(map(_model, filter(None, (generation.request_model, generation.response_model))))),
        failed=generation.error is not None,
        begun=span.scope_name.startswith(_LOGFIRE_SCOPE) and kind_of_span == "span" and _unanswered(generation),
        echo=kind_of_span == "log",
        richness=_richness(generation),
    )


def _unanswered(generation: Generation) -> bool:
    return bool(generation.messages) and not generation.choices and generation.error is None


def _known_digest(value: Any) -> str:
    return "" if value in (None, "") else _digest(str(value))


def _digest(*texts: str) -> str:
    state = hashlib.blake2b(digest_size=8)
    for text in texts:
        state.update(text.encode("utf-8", "surrogatepass"))
        state.update(b"\0")
    return state.hexdigest()


def _model(name: str) -> str:
    """Return a model's name without its provider, which only some write before it."""
    return name.rpartition("/")[2].lower()


def _text(message: Message) -> str:
    """Return what is said, without white space: instrumentations differ in how they join parts."""
    return "".join("".join(part.content.split()) for part in message.parts if isinstance(part, (TextPart, RefusalPart)))


def _request(generation: Generation) -> Iterator[str]:
    for message in generation.messages:
        yield message.role
        yield _text(message)


def _asked(generation: Generation) -> str:
    """Return the digest of the last text of the user, else of the last that is not the model's."""
    for roles in (("user",), ("system", "developer", "tool", "unknown", "human")):
        for message in reversed(generation.messages):
            if message.role in roles and (text := _text(message)):
                return _digest(text)
    return ""


def _answers(generation: Generation) -> Iterator[str]:
    for choice in generation.choices:
        if text := _text(choice.message):
            yield _digest("text", text)
        calls = [part for part in choice.message.parts if isinstance(part, ToolCallPart)]
        if calls:
            yield _digest("tools", *(f"{call.name} {_canonical(call.arguments)}" for call in calls))


def _canonical(arguments: Any) -> str:
    try:
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        return json.dumps(arguments or {}, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError):  # no JSON, keys of several types, deeper than the interpreter goes
        return arguments if isinstance(arguments, str) else ""


def _richness(generation: Generation) -> tuple[int, ...]:
    """Return how much a reading holds: what was said, what is known to lack, whose call it was, what else is known."""
    messages = [*generation.messages, *(choice.message for choice in generation.choices)]
    parts = [part for message in messages for part in message.parts]
    said = sum(not isinstance(part, UnknownPart) and bool(getattr(part, "content", True)) for part in parts)
    length = sum(len(part.content) for part in parts if isinstance(part, (TextPart, RefusalPart, BlobPart)))
    whose = (generation.session_id, generation.conversation_id, generation.user_id, generation.prompt_name)
    facts = (
        generation.response_id,
        generation.request_model,
        generation.response_model,
        # Who does not know which model answered repeats the one that was asked for.
        generation.response_model if generation.response_model != generation.request_model else None,
        generation.input_tokens,
        generation.output_tokens,
        *(choice.finish_reason for choice in generation.choices),
    )
    return said, -len(generation.incomplete), _known(whose), _known(facts) + len(generation.tools), length


def _known(values: Iterable[Any]) -> int:
    return sum(value is not None for value in values)
