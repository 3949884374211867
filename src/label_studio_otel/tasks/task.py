"""A `Generation` as a Label Studio task for the labeling config of its project.

The rules:

- each variable that the config shows gets what its tag can show (`_FILLERS`); a variable with the name of a metadata
  key gets that metadata wherever a text is shown; a variable that nobody can fill blocks the project, by name;
- the metadata stands flat beside them, so that the Data Manager has columns and filters; where a variable of the config
  has the name of a metadata key, the config wins;
- the content of a dialogue is always a string and never an empty list, anything else makes the labeling page go blank;
- all predictions carry one `model_version`: the label stream shows only the predictions of the project's own, which is
  set by the first import. The model's name is in `data.model`. Of several predictions it shows the newest, so the first
  choice comes last; the others stand in `other_responses` (title and text), which our templates show below;
- a config that repeats something for `images`, as our templates do, gets the inline ones (title and URLs, images.py);
- what does not fit is cut with a visible note, and `incomplete` says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import DestinationBlocked
from label_studio_otel.generation import Gap, Message, ReasoningPart, TextPart
from label_studio_otel.tasks.images import NO_IMAGE, first_image, fitting, inline_images, left_out
from label_studio_otel.tasks.metadata import METADATA, link_to, metadata_of, sentences
from label_studio_otel.tasks.size import clean, cut, fit
from label_studio_otel.tasks.text import anchor, message_html, message_text, parts_text, preformatted, transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from label_studio_otel.generation import Choice, Generation
    from label_studio_otel.spans import Span
    from label_studio_otel.tasks.labeling_config import LabelConfig, ObjectTag

__all__ = ["FILLABLE", "MAX_BYTES", "MAX_IMAGE_BYTES", "MODEL_VERSION", "encode", "render"]

MODEL_VERSION = "label-studio-otel"

#: A rendered task's JSON in UTF-8.
MAX_BYTES = 1024 * 1024
#: An inline image.
MAX_IMAGE_BYTES = 256 * 1024

#: What a labeling config may ask for.
FILLABLE = (
    "<Text>, <HyperText>, <Paragraphs>, <Chat>, <Image>, <List> and <Table> show a call under any variable, and other "
    f"tags {', '.join('$' + key for key in METADATA)}."
)

_FURTHER_RESPONSE = re.compile(r"response_\d+")


@dataclass(frozen=True, slots=True)
class _Call:
    """What the tags of a config can show of a call."""

    generation: Generation
    metadata: dict[str, Any]
    image: str


def render(span: Span, generation: Generation, config: LabelConfig, **options: Any) -> dict[str, Any]:
    """Return the task alone; see `encode`."""
    return encode(span, generation, config, **options)[0]


def encode(
    span: Span,
    generation: Generation,
    config: LabelConfig,
    *,
    max_bytes: int = MAX_BYTES,
    max_image_bytes: int = MAX_IMAGE_BYTES,
    trace_link: str | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Return the task and its JSON.

    It has `data` for every variable of the config and the metadata, and one prediction per choice, the first last. The
    JSON has at most `max_bytes` in UTF-8 (not below some 16 KiB, which the metadata need); of an inline image above
    `max_image_bytes` only type, size and hash are given. `trace_link` is the setting, the template of a URL.

    Raises:
        DestinationBlocked: the config has a variable that no LLM call can fill.
    """
    image, gaps = first_image(generation, max_image_bytes) if config.image else (NO_IMAGE, ())
    images, large = inline_images(generation, max_image_bytes) if config.images else ((), ())
    generation = _noted(generation, *gaps, *large)
    link = link_to(span, trace_link) or ""
    task_of = partial(_task, span, config, image, link)
    task, body = _encoded(task_of(generation))
    if len(body) > max_bytes:
        return _encoded(_cut(task_of, generation, max_bytes, {image: NO_IMAGE, link: "", anchor(link): ""}))
    if not images:
        return task, body
    shown = fitting(images, max_bytes - len(body))
    if len(shown) < len(images):
        task = task_of(_noted(generation, left_out(len(images) - len(shown))))
    if shown:
        task["data"].setdefault("images", shown)
    return _encoded(task)


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode


def _encoded(task: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return a task as Label Studio can hold it, and its JSON: most are clean, and cleaning costs as much again."""
    try:
        body = _to_json(task).encode()
        if b"\\u0000" not in body:
            return task, body
    except ValueError:  # a lone surrogate, NaN, an integer of thousands of digits
        pass
    cleaned = clean(task)
    return cleaned, _to_json(cleaned).encode()


def _cut(
    task_of: Callable[[Generation], dict[str, Any]], generation: Generation, max_bytes: int, instead: Mapping[str, str]
) -> dict[str, Any]:
    """Return the task of a call too large for one, without the messages' images; `instead` has what cannot be cut."""
    too_large = f"The call is too large for a task ({max_bytes:,} bytes): parts of it are cut."
    generation = _noted(generation, Gap("task_too_large", too_large))

    def shorten(text: str, limit: int) -> str:
        return instead[text] if text in instead else cut(text, limit)

    for smaller in _smaller(generation):
        task = clean(task_of(smaller))
        fitted: dict[str, Any] | None = fit(task, max_bytes, shorten)
        if fitted is not None:
            return fitted
    return dict(fit(task, max_bytes, shorten, min_string=0))


def _noted(generation: Generation, *gaps: Gap) -> Generation:
    return replace(generation, incomplete=generation.incomplete + gaps) if gaps else generation


def _smaller(generation: Generation) -> Iterator[Generation]:
    """Yield the call, then with ever fewer messages (the first and the last stay) and choices."""
    yield generation
    messages, keep = generation.messages, max(len(generation.messages), len(generation.choices))
    while keep > 1:
        keep //= 2
        head, tail = keep // 2, keep - keep // 2
        if len(messages) > keep:
            note = Message("note", (TextPart(f"[… {len(messages) - keep:,} messages cut …]"),))
            shown = (*messages[:head], note, *messages[-tail:])
        else:
            shown = messages
        yield replace(generation, messages=shown, choices=generation.choices[:keep])


#: Reasons of `dialects._gaps` for an answer that is not there.
_UNHEARD = frozenset({"content_not_captured", "log_events_missing"})


def _task(span: Span, config: LabelConfig, image: str, link: str, generation: Generation) -> dict[str, Any]:
    # An empty answer is what the model said only where answers were captured.
    unheard = any(gap.reason in _UNHEARD for gap in generation.incomplete)
    responses = [_response(choice) for choice in generation.choices if choice.message.parts or not unheard]
    metadata = metadata_of(span, generation, responses, link or None)
    data = _data(_Call(generation, metadata, image), config)
    if len(responses) > 1:
        data.setdefault("other_responses", _other_responses(responses))
    return {"data": data, "predictions": _predictions(span, responses, config)}


def _predictions(span: Span, responses: list[str], config: LabelConfig) -> list[dict[str, Any]]:
    if config.response is None:
        return []
    return [
        {
            "model_version": MODEL_VERSION,
            "result": [
                {
                    "id": hashlib.sha256(f"{span.key}:{index}".encode("utf-8", "replace")).hexdigest()[:10],
                    "from_name": config.response.name,
                    "to_name": config.response.to_name,
                    "type": "textarea",
                    "value": {"text": [response]},
                }
            ],
        }
        for index, response in reversed(tuple(enumerate(responses)))
    ]


def _other_responses(responses: list[str]) -> list[dict[str, str]]:
    return [
        {"title": f"Answer {number} of {len(responses)}", "text": text} for number, text in enumerate(responses[1:], 2)
    ]


def _response(choice: Choice) -> str:
    """Return what the labeler edits: the answer, without the thoughts before it where there is more than them."""
    parts = choice.message.parts
    return parts_text([part for part in parts if not isinstance(part, ReasoningPart)] or parts)


def _data(call: _Call, config: LabelConfig) -> dict[str, Any]:
    data: dict[str, Any] = {}
    # A variable can have several tags: what shows messages cannot show a text, but not the other way round.
    for tag in sorted(config.objects, key=lambda tag: tag.tag.lower() in _STRUCTURED):
        _place(data, tag, _value(call, tag))
    for tag in config.dynamic_controls:
        raise _blocked(tag)
    for key, value in call.metadata.items():
        data.setdefault(key, value)
    return data


def _place(data: dict[str, Any], tag: ObjectTag, value: Any) -> None:
    """Set a variable's value, also one inside it: Label Studio looks `$prompt.text` up as data["prompt"]["text"]."""
    *parents, last = (tag.variable + tag.path).split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise _blocked(tag)
    data[last] = value


def _value(call: _Call, tag: ObjectTag) -> Any:
    filler = _FILLERS.get(tag.tag.lower())
    if "[" in tag.path or tag.attributes.get("valueType") == "url":
        raise _blocked(tag)
    if filler is not None:
        return filler(call, tag)
    if _is_metadata(tag):
        return str(call.metadata.get(tag.variable, ""))
    raise _blocked(tag)


def _is_metadata(tag: ObjectTag) -> bool:
    return not tag.path and (tag.variable in METADATA or bool(_FURTHER_RESPONSE.fullmatch(tag.variable)))


def _blocked(tag: ObjectTag) -> DestinationBlocked:
    return DestinationBlocked(
        f'the labeling config of the project wants ${tag.variable}{tag.path} for <{tag.tag} name="{tag.name}">, which '
        f"no LLM call can fill. {FILLABLE}"
    )


def _text(call: _Call, tag: ObjectTag) -> Any:
    if _is_metadata(tag):
        return call.metadata.get(tag.variable, "")
    messages = _shown(call.generation)
    if call.generation.operation == "text_completion" and [message.role for message in messages] == ["user"]:
        return message_text(messages[0])
    return transcript(messages)


def _hypertext(call: _Call, tag: ObjectTag) -> str:
    if _is_metadata(tag):
        value = str(call.metadata.get(tag.variable, ""))
        return anchor(value) if tag.variable == "trace_link" else preformatted(value)
    return message_html(_shown(call.generation))


def _paragraphs(call: _Call, tag: ObjectTag) -> list[dict[str, str]]:
    return _dialogue(call, tag.attributes.get("nameKey") or "author", tag.attributes.get("textKey") or "text")


def _dialogue(call: _Call, role: str, content: str) -> list[dict[str, str]]:
    return [{role: message.role, content: message_text(message)} for message in _shown(call.generation)]


def _shown(generation: Generation) -> tuple[Message, ...]:
    """Return the messages, and instead of none a note that says why."""
    if generation.messages:
        return generation.messages
    return (Message("note", (TextPart(f"[{sentences(generation) or 'The call has no messages.'}]"),)),)


def _list(call: _Call, _tag: ObjectTag) -> list[dict[str, str]]:
    return [
        {"id": str(number), "title": f"Choice {number}", "body": _response(choice)}
        for number, choice in enumerate(call.generation.choices, 1)
    ]


#: What each tag shows, by its name in lower case.
_FILLERS: dict[str, Callable[[_Call, ObjectTag], Any]] = {
    "text": _text,
    "header": _text,
    "hypertext": _hypertext,
    "paragraphs": _paragraphs,
    "chat": lambda call, _tag: _dialogue(call, "role", "content"),
    "image": lambda call, _tag: call.image,
    "list": _list,
    "table": lambda call, _tag: dict(call.metadata),
}

_STRUCTURED = frozenset({"paragraphs", "chat", "list", "table"})
