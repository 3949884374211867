"""Checks of a labeling config, for `setup`: they find errors before a labeler sees them or the first task fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from xml.etree.ElementTree import Element

from label_studio_otel import reading
from label_studio_otel.errors import ConfigError, DestinationBlocked
from label_studio_otel.tasks import labeling_config, task
from label_studio_otel.tasks.labeling_config import LabelConfig
from label_studio_otel.tasks.sample_span import span

COMMUNITY = "Community"

#: Label Studio's server accepts these in any edition; the page of the Community edition shows an error for the task.
_ENTERPRISE_TAGS = frozenset({"chat", "chatmessage", "reactcode"})

#: Tags that the front end of Label Studio Community 1.23.2 registers, and Repeater, which it expands before.
_COMMUNITY_TAGS = (
    "audio audioplus bitmask bitmasklabels brush brushlabels bucket channel choice choices collapse "
    "custominterface datetime dialog ellipse ellipselabels filter header hypertext hypertextlabels image keypoint "
    "keypointlabels label labels list magicwand markdown multichannel number pagedview pairwise panel "
    "paragraphlabels paragraphs pdf polygon polygonlabels ranker rating rectangle rectanglelabels relation "
    "relations repeater shortcut style table taxonomy text textarea timelinelabels timeseries timeserieslabels "
    "vector vectorlabels video videorectangle view "
)


def problems(xml: str, edition: str) -> list[str]:
    """Return a sentence for each error of a labeling config that must be corrected."""
    try:
        elements = list(labeling_config.root_of(xml).iter())
        config = labeling_config.parse(xml)
    except ConfigError as error:
        return [str(error)]
    found = [*_enterprise_only(elements, edition), *_dangling(elements)]
    if config.response is None:
        found.append(
            'it has no <TextArea> that could hold the response: add <TextArea name="response" toName="…" '
            'editable="true"/>, with the name of the tag that shows the prompt'
        )
    if not config.objects:
        found.append('it shows nothing of a call: add <Text name="prompt" value="$prompt"/>')
    if found:
        return found
    try:
        sample_task(config)
    except DestinationBlocked as error:
        return [str(error)]
    return _of_label_interface(xml, config)


def unknown_tags(xml: str, edition: str) -> list[str]:
    """Return the tags that Label Studio Community 1.23 does not know; none for another edition."""
    known = _ENTERPRISE_TAGS.union(_COMMUNITY_TAGS.split())
    tags = {element.tag for element in labeling_config.root_of(xml).iter() if element.tag.lower() not in known}
    return sorted(tags) if edition == COMMUNITY else []


def sample_task(config: LabelConfig, **options: Any) -> dict[str, Any]:
    """Return a sample call as a task of a project with this labeling config; `options` are those of `task.render`.

    Raises:
        DestinationBlocked: the config cannot be filled.
    """
    answer = "Seven minutes in boiling water."
    if config.dialogue:
        call = span("How do I boil an egg?", answer, system="Answer in one sentence.")
    else:
        call = span("Tell me how to boil an egg.", answer, operation="text_completion")
    return task.render(call, reading.read(call), config, **options)


def _enterprise_only(elements: list[Element], edition: str) -> Iterator[str]:
    if edition != COMMUNITY:
        return
    for tag in sorted({element.tag for element in elements if element.tag.lower() in _ENTERPRISE_TAGS}):
        yield (
            f"<{tag}> is for Label Studio Enterprise only, and this is the Community edition: labelers would see "
            f"“Not expecting tag: {tag.lower()}” instead of the task. "
            'Show messages with <Paragraphs layout="dialogue" nameKey="role" textKey="content">'
        )


def _dangling(elements: list[Element]) -> Iterator[str]:
    names = [element.attrib["name"] for element in elements if element.get("name")]
    for element in elements:
        for target in filter(None, map(str.strip, element.get("toName", "").split(","))):
            if target not in names:
                tag = f'<{element.tag} name="{element.get("name", "")}">'
                yield f'{tag} has toName="{target}", and no tag has that name; there are {", ".join(names)}'


def _of_label_interface(xml: str, config: LabelConfig) -> list[str]:
    """Return the errors that Label Studio's own library finds, where it is installed (`label-studio-otel[sdk]`)."""
    if find_spec("label_studio_sdk") is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from label_studio_sdk.label_interface.interface import LabelInterface

        try:
            interface: Any = LabelInterface(xml)
            interface.validate()
        except Exception as error:  # its errors have no common base
            return [f"Label Studio's library says: {error}"]
        predictions = sample_task(config)["predictions"]
        wrong = [text for one in predictions for text in interface.validate_prediction(one, return_errors=True)]
    return [f"Label Studio's library says of a prediction: {text}" for text in wrong]
