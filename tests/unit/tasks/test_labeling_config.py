"""Labeling configs: what is found in them, and that our own can be filled."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from label_studio_otel.errors import ConfigError
from label_studio_otel.tasks.labeling_config import LabelConfig, ObjectTag, TextArea, parse, template


def variables(xml: str) -> list[tuple[str, str, str]]:
    return [(tag.tag, tag.variable, tag.path) for tag in parse(xml).objects]


class TestTemplates:
    def test_the_prompt_template_shows_a_text(self) -> None:
        config = parse(template("prompt"))

        assert config == LabelConfig(
            objects=(ObjectTag("Text", "prompt", "prompt", {"name": "prompt", "value": "$prompt"}),),
            dynamic_controls=(),
            response=TextArea("response", "prompt"),
            dialogue=False,
            images=True,
        )

    def test_the_chat_template_shows_a_dialogue(self) -> None:
        config = parse(template("chat"))

        assert config == LabelConfig(
            objects=(
                ObjectTag(
                    "Paragraphs",
                    "dialogue",
                    "prompt",
                    {
                        "name": "dialogue",
                        "value": "$prompt",
                        "layout": "dialogue",
                        "nameKey": "role",
                        "textKey": "content",
                    },
                ),
            ),
            dynamic_controls=(),
            response=TextArea("response", "dialogue"),
            dialogue=True,
            images=True,
        )

    @pytest.mark.parametrize("mode", ["prompt", "chat"])
    def test_line_breaks_of_code_are_kept_when_shown_and_when_edited(self, mode: str) -> None:
        xml = template(mode)

        assert "white-space: pre-wrap" in xml
        # A TextArea of one row is edited in an <input>, which drops every line break.
        assert 'rows="8"' in xml

    @pytest.mark.parametrize("mode", ["prompt", "chat"])
    def test_the_templates_require_only_the_prompt(self, mode: str) -> None:
        """The server and its SDK require the variables of tags that have a name and a value, and no others."""
        named = [tag for tag in ET.fromstring(template(mode)).iter() if tag.get("name")]

        assert {tag.get("value") or tag.get("valueList") for tag in named} == {"$prompt", None}

    @pytest.mark.parametrize("mode", ["prompt", "chat"])
    def test_no_mark_of_the_common_template_is_left(self, mode: str) -> None:
        assert "@" not in template(mode)

    @pytest.mark.parametrize("mode", ["prompt", "chat"])
    def test_the_link_to_the_trace_opens_in_a_tab_of_its_own(self, mode: str) -> None:
        [shown] = list(ET.fromstring(template(mode)).iter("Markdown"))

        assert shown.attrib == {
            "value": '<a href="$trace_link" target="_blank" rel="noopener noreferrer">Open the trace</a>'
        }

    def test_another_mode_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="mode is 'poem', it should be one of prompt, chat"):
            template("poem")


class TestParse:
    @pytest.mark.parametrize(
        ("xml", "expected"),
        [
            ('<View><Text name="t" value="$prompt"/></View>', [("Text", "prompt", "")]),
            ('<Text name="t" value="$prompt"/>', [("Text", "prompt", "")]),
            ('<View><Text name="t" value="$prompt.text"/></View>', [("Text", "prompt", ".text")]),
            ('<View><Text name="t" value="$prompt[0].text"/></View>', [("Text", "prompt", "[0].text")]),
            ('<View><Text name="t" value="$a[{{idx}}].text"/></View>', [("Text", "a", "[{{idx}}].text")]),
            ('<View><Text name="t" value="By $model."/></View>', [("Text", "model", "")]),
            ('<View><Text name="t" value="$a and $b"/></View>', [("Text", "a", ""), ("Text", "b", "")]),
            ('<View><Text name="t" value="no variable"/></View>', []),
            ('<View><Text name="t"/></View>', []),
            ('<View><Header value="$title"/></View>', []),
            ('<View><Hologram name="h" value="$x"/></View>', [("Hologram", "x", "")]),
            (
                '<View><View><Image name="i" value="$a"/></View><Table name="t" value="$b"/></View>',
                [("Image", "a", ""), ("Table", "b", "")],
            ),
            ('<View><!-- <Text name="t" value="$prompt"/> --></View>', []),
            ('<View><Rating name="r" toName="t"/></View>', []),
        ],
    )
    def test_tags_that_show_a_variable_are_objects(self, xml: str, expected: list[tuple[str, str, str]]) -> None:
        assert variables(xml) == expected

    def test_choices_from_a_variable_are_dynamic_controls(self) -> None:
        config = parse(
            '<View><Text name="t" value="$prompt"/><Choices name="c" toName="t" value="$options"/>'
            '<Choices name="d" toName="t"><Choice value="$5"/></Choices></View>'
        )

        assert [(tag.name, tag.variable) for tag in config.dynamic_controls] == [("c", "options")]

    @pytest.mark.parametrize(
        ("xml", "expected"),
        [
            ('<TextArea name="a" toName="t"/><TextArea name="response" toName="t"/>', TextArea("response", "t")),
            ('<TextArea name="a" toName="t"/><TextArea name="b" toName="t"/>', TextArea("a", "t")),
            ('<TextArea name="a" toName="t, u"/>', TextArea("a", "t")),
            ('<TextArea name="a" toName="t" perRegion="true"/><TextArea name="b" toName="t"/>', TextArea("b", "t")),
            ('<TextArea name="a"/><TextArea toName="t"/>', None),
            ('<Rating name="response" toName="t"/>', None),
        ],
    )
    def test_the_response_goes_into_the_text_area_of_that_name_or_the_first(
        self, xml: str, expected: TextArea | None
    ) -> None:
        assert parse(f'<View><Text name="t" value="$prompt"/>{xml}</View>').response == expected

    @pytest.mark.parametrize(
        ("xml", "dialogue"),
        [
            ('<Paragraphs name="p" value="$m" layout="dialogue"/>', True),
            ('<Paragraphs name="p" value="$m"/>', False),
            ('<Chat name="c" value="$m"/>', True),
            ('<Text name="t" value="$m"/>', False),
        ],
    )
    def test_a_config_that_shows_a_dialogue_is_recognized(self, xml: str, dialogue: bool) -> None:
        assert parse(f"<View>{xml}</View>").dialogue is dialogue

    @pytest.mark.parametrize(
        ("xml", "image", "images"),
        [
            ('<Image name="i" value="$x"/>', True, False),
            ('<Repeater on="$images"><Image name="i" valueList="$images[{{idx}}].urls"/></Repeater>', False, True),
            ('<Repeater on="$pictures"><Header value="$pictures[{{idx}}].title"/></Repeater>', False, False),
            ('<Header value="$images"/>', False, False),
        ],
    )
    def test_a_config_that_shows_images_is_recognized(self, xml: str, image: bool, images: bool) -> None:
        config = parse(f"<View>{xml}</View>")

        assert (config.image, config.images) == (image, images)

    @pytest.mark.parametrize("xml", ["", "labels.xml", "<View>", "<View></Text>", "<View>&nbsp;</View>"])
    def test_a_text_that_is_no_xml_is_refused(self, xml: str) -> None:
        with pytest.raises(ConfigError, match=r"the labeling config is not valid XML: .*line 1, column"):
            parse(xml)
