"""`data_of` fills the variables of a labeling config with what their tags can show of an LLM call.

- Each tag has a function that makes the value it can show (`_FILLERS`).
- A variable with the name of a metadata key gets that metadata where the tag shows a text.
- The metadata that no tag shows is added flat, for columns and filters in the Data Manager. Where a variable has the
  name of a metadata key, the tag's value stays.
- The content of a dialogue is a string and the dialogue is never empty: Label Studio's page goes blank otherwise.
- A variable that nothing can fill blocks the project (`DestinationBlocked`), with the variable's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from label_studio_otel.errors import DestinationBlocked
from label_studio_otel.generation import Generation, Message, TextPart
from label_studio_otel.tasks.labeling_config import LabelConfig, ObjectTag
from label_studio_otel.tasks.metadata import METADATA, sentences
from label_studio_otel.tasks.text import anchor, message_html, message_text, preformatted, response_text, transcript

#: What a labeling config may ask for, as a sentence for error messages.
FILLABLE = (
    "<Text>, <HyperText>, <Paragraphs>, <Chat>, <Image>, <List> and <Table> show a call under any variable, and other "
    f"tags {', '.join('$' + key for key in METADATA)}."
)


@dataclass(frozen=True, slots=True)
class ShownCall:
    """What the tags of a labeling config can show of a call."""

    generation: Generation
    metadata: dict[str, Any]
    #: URL of the first image.
    image: str


def data_of(call: ShownCall, config: LabelConfig) -> dict[str, Any]:
    """Return a task's `data`: each variable of the labeling config, and the metadata.

    Raises:
        DestinationBlocked: the labeling config has a variable that no LLM call can fill.
    """
    data: dict[str, Any] = {}
    # A variable can have several tags. Tags of messages come last and win: a text tag can show messages, too.
    for tag in sorted(config.objects, key=lambda tag: tag.tag.lower() in ("paragraphs", "chat", "list", "table")):
        _place(data, tag, _value(call, tag))
    for tag in config.dynamic_controls:
        raise _blocked(tag)
    for key, value in call.metadata.items():
        data.setdefault(key, value)
    return data


def _place(data: dict[str, Any], tag: ObjectTag, value: Any) -> None:
    """Set the value of a variable; Label Studio reads `$prompt.text` from data["prompt"]["text"]."""
    *parents, last = (tag.variable + tag.path).split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise _blocked(tag)
    data[last] = value


def _value(call: ShownCall, tag: ObjectTag) -> Any:
    filler = _FILLERS.get(tag.tag.lower())
    if "[" in tag.path or tag.attributes.get("valueType") == "url" or not (filler or _is_metadata(tag)):
        raise _blocked(tag)
    return filler(call, tag) if filler else str(call.metadata.get(tag.variable, ""))


def _is_metadata(tag: ObjectTag) -> bool:
    return not tag.path and (tag.variable in METADATA or re.fullmatch(r"response_\d+", tag.variable) is not None)


def _blocked(tag: ObjectTag) -> DestinationBlocked:
    return DestinationBlocked(
        f'the labeling config of the project wants ${tag.variable}{tag.path} for <{tag.tag} name="{tag.name}">, which '
        f"no LLM call can fill. {FILLABLE}"
    )


def _text(call: ShownCall, tag: ObjectTag) -> Any:
    if _is_metadata(tag):
        return call.metadata.get(tag.variable, "")
    messages = _shown(call.generation)
    if call.generation.operation == "text_completion" and [message.role for message in messages] == ["user"]:
        return message_text(messages[0])
    return transcript(messages)


def _hypertext(call: ShownCall, tag: ObjectTag) -> str:
    if _is_metadata(tag):
        value = str(call.metadata.get(tag.variable, ""))
        return anchor(value) if tag.variable == "trace_link" else preformatted(value)
    return message_html(_shown(call.generation))


def _dialogue(call: ShownCall, tag: ObjectTag) -> list[dict[str, str]]:
    role, content = tag.attributes.get("nameKey") or "author", tag.attributes.get("textKey") or "text"
    if tag.tag.lower() == "chat":
        role, content = "role", "content"
    return [{role: message.role, content: message_text(message)} for message in _shown(call.generation)]


def _shown(generation: Generation) -> tuple[Message, ...]:
    """Return the messages, or a note that says why there are none."""
    if generation.messages:
        return generation.messages
    return (Message("note", (TextPart(f"[{sentences(generation) or 'The call has no messages.'}]"),)),)


def _list(call: ShownCall, _tag: ObjectTag) -> list[dict[str, str]]:
    return [
        {"id": str(number), "title": f"Choice {number}", "body": response_text(choice)}
        for number, choice in enumerate(call.generation.choices, 1)
    ]


#: For each tag, by its name in lower case, the function that returns what it shows.
_FILLERS: dict[str, Callable[[ShownCall, ObjectTag], Any]] = {
    "text": _text,
    "header": _text,
    "hypertext": _hypertext,
    "paragraphs": _dialogue,
    "chat": _dialogue,
    "image": lambda call, _tag: call.image,
    "list": _list,
    "table": lambda call, _tag: dict(call.metadata),
}
