"""`template` returns our labeling config of a mode; `parse` reads the tags of a labeling config and their variables.

A project's labeling config is read in the application's process, so this module uses only the standard library.
`LabelInterface` of the label-studio-sdk validates labeling configs in the commands; its import takes 5 s.
"""

from __future__ import annotations

import difflib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from label_studio_otel.errors import ConfigError

_TEXT_STYLE = '.lso [data-testid="htx-textbox-content"] p { white-space: pre-wrap; overflow-wrap: anywhere; }'
#: For each mode, what stands in its labeling config in place of the marks of template.xml.
_PARTS_OF_MODE = {
    "prompt": {
        "@style@": """.lso-card { padding: 12px 16px; border: 1px solid rgba(128, 128, 128, 0.35); border-radius: 8px; }
    .lso .lsf-richtext__line, """
        + _TEXT_STYLE,
        "@messages@": """<Header value="Prompt" size="5"/>
  <View className="lso-card">
    <Text name="prompt" value="$prompt"/>
  </View>""",
        "@name@": "prompt",
    },
    "chat": {
        "@style@": '.lso [class*="dialoguetext"], '
        + _TEXT_STYLE
        + """
    .lso [class*="time--"], .lso [class*="selectAllBtn"], .lso [class*="authorFilter"] { display: none; }""",
        "@messages@": """<Header value="Conversation" size="5"/>
  <Paragraphs name="dialogue" value="$prompt" layout="dialogue" nameKey="role" textKey="content"/>""",
        "@name@": "dialogue",
    },
}

# Variables stand anywhere in a value, as for extract_data_types in Label Studio's core/label_config.py (1.23.2).
_VARIABLE = re.compile(r"\$(\w+)((?:\.\w+|\[[^\]]*\])*)")


@dataclass(frozen=True, slots=True)
class ObjectTag:
    """A tag that shows a variable of the task."""

    #: As the config writes it: Text, Paragraphs, Image, …
    tag: str
    name: str
    #: The key of `data` that the task must have.
    variable: str
    attributes: Mapping[str, str]
    #: What follows the variable, as in `$prompt.text` or `$prompt[0]`.
    path: str = ""


@dataclass(frozen=True, slots=True)
class TextArea:
    """The <TextArea> in which the labeler edits the response."""

    name: str
    to_name: str


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """The tags of a labeling config, by what a task must hold for them."""

    #: Object tags, in the order of the config.
    objects: tuple[ObjectTag, ...]
    #: Controls that take their choices from a variable (`<Choices value="$options">`): the task must have that, too.
    dynamic_controls: tuple[ObjectTag, ...]
    #: The <TextArea> named `response`, else the first one.
    response: TextArea | None
    #: Whether a tag shows the messages one by one.
    dialogue: bool
    #: Whether an <Image> shows a variable.
    image: bool = False
    #: Whether something is repeated for each of `$images`.
    images: bool = False


def template(mode: str) -> str:
    """Return our labeling config for a mode.

    Raises:
        ConfigError: the mode is neither prompt nor chat.
    """
    if mode not in _PARTS_OF_MODE:
        raise ConfigError(f"mode is {mode!r}, it should be one of {', '.join(_PARTS_OF_MODE)}")
    xml = (resources.files("label_studio_otel.tasks") / "template.xml").read_text("utf-8")
    for mark, text in _PARTS_OF_MODE[mode].items():
        xml = xml.replace(mark, text)
    return xml


def parse(xml: str) -> LabelConfig:
    """Return the tags of a labeling config, with the variables that a task must have.

    Raises:
        ConfigError: it is no XML.
    """
    root = root_of(xml)
    elements = [element for element in root.iter() if isinstance(element.tag, str)]
    objects = tuple(tag for element in elements if "toName" not in element.attrib for tag in _tags(element))
    return LabelConfig(
        objects=objects,
        dynamic_controls=tuple(tag for element in elements if "toName" in element.attrib for tag in _tags(element)),
        response=_response(elements),
        dialogue=any(map(_is_dialogue, objects)),
        image=any(tag.tag.lower() == "image" for tag in objects),
        images=any(element.tag.lower() == "repeater" and element.get("on") == "$images" for element in elements),
    )


def root_of(xml: str) -> ET.Element:
    """Return the outermost element of a labeling config.

    Raises:
        ConfigError: it is no XML.
    """
    try:
        return ET.fromstring(xml)  # noqa: S314 - its owner wrote it, and expat limits entities
    except (ET.ParseError, ValueError) as error:
        raise ConfigError(f"the labeling config is not valid XML: {error}") from None


def differences(current: str, wanted: str) -> list[str]:
    """Return the tags in which two labeling configs differ: `-` for a tag that is there, `+` for a wanted one.

    White space, comments and the order of attributes are ignored.

    Raises:
        ConfigError: one of them is no XML.
    """
    before, after = (list(_lines(root_of(xml))) for xml in (current, wanted))
    compared = difflib.unified_diff(before, after, n=0, lineterm="")
    return [line[0] + line[1:].strip() for line in list(compared)[2:] if not line.startswith("@@")]


def _lines(element: ET.Element, depth: int = 0) -> Iterator[str]:
    """Yield a line for each tag and for each text, indented by its depth: a tag that moved in or out differs, too."""
    attributes = "".join(f' {name}="{value}"' for name, value in sorted(element.attrib.items()))
    yield f"{' ' * depth}<{element.tag}{attributes}>"
    for text in (element.text, *(child.tail for child in element)):
        if text and not text.isspace():
            yield f"{' ' * depth} {' '.join(text.split())}"
    for child in element:
        yield from _lines(child, depth + 1)


def _tags(element: ET.Element) -> Iterator[ObjectTag]:
    """Yield a tag for each variable in an element's `value`; none for an element without a name."""
    if name := element.get("name"):
        for variable, path in _VARIABLE.findall(element.get("value", "")):
            yield ObjectTag(element.tag, name, variable, dict(element.attrib), path)


def _response(elements: list[ET.Element]) -> TextArea | None:
    """Return the <TextArea> for the response of the whole task, not one that is shown for each region."""
    areas = [
        TextArea(element.attrib["name"], element.attrib["toName"].split(",")[0].strip())
        for element in elements
        if element.tag.lower() == "textarea"
        and element.get("name")
        and element.get("toName")
        and element.get("perRegion", "").lower() != "true"
    ]
    return next((area for area in areas if area.name == "response"), areas[0] if areas else None)


def _is_dialogue(tag: ObjectTag) -> bool:
    kind = tag.tag.lower()
    return kind == "chat" or (kind == "paragraphs" and tag.attributes.get("layout") == "dialogue")
