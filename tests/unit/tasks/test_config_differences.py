"""The differences of two labeling configs, as `setup` prints them."""

from __future__ import annotations

import pytest

from label_studio_otel.errors import ConfigError
from label_studio_otel.tasks.labeling_config import differences, template

CONFIG = """<View className="root">
  <Style> .a { color: red; }
          .b { color: blue; } </Style>
  <!-- what was asked -->
  <Text name="prompt" value="$prompt"/>
  <View><TextArea name="response" toName="prompt" rows="8"/></View>
</View>"""


@pytest.mark.parametrize(
    "same",
    [
        CONFIG,
        CONFIG.replace("\n", "\n\t "),
        CONFIG.replace("> <", "><").replace("/>", "></Text>", 1),
        CONFIG.replace('name="prompt" value="$prompt"', "value = '$prompt'\nname='prompt' "),
        CONFIG.replace("<!-- what was asked -->", ""),
        '<?xml version="1.0"?>' + CONFIG,
    ],
)
def test_white_space_order_quotes_and_comments_make_no_difference(same: str) -> None:
    assert differences(CONFIG, same) == []
    assert differences(same, CONFIG) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("$prompt", "$question", ['-<Text name="prompt" value="$prompt">', '+<Text name="prompt" value="$question">']),
        (
            "</View>\n</View>",
            '</View><Rating name="r" toName="prompt"/></View>',
            ['+<Rating name="r" toName="prompt">'],
        ),
        (
            "color: blue",
            "color: green",
            ["-.a { color: red; } .b { color: blue; }", "+.a { color: red; } .b { color: green; }"],
        ),
        (
            '<View><TextArea name="response" toName="prompt" rows="8"/></View>',
            "",
            [
                "-<View>",
                '-<TextArea name="response" rows="8" toName="prompt">',
            ],
        ),
    ],
)
def test_differences_are_one_line_for_each_tag(old: str, new: str, said: list[str]) -> None:
    assert differences(CONFIG, CONFIG.replace(old, new)) == said


def test_a_tag_that_moved_into_another_view_differs() -> None:
    flat = '<View><Text name="a" value="$a"/><View/></View>'
    nested = '<View><View><Text name="a" value="$a"/></View></View>'
    assert differences(flat, nested) == ['-<Text name="a" value="$a">', '+<Text name="a" value="$a">']


def test_our_templates_differ_from_each_other_and_not_from_themselves() -> None:
    assert differences(template("chat"), template("chat")) == []
    assert '-<Text name="prompt" value="$prompt">' in differences(template("prompt"), template("chat"))


def test_invalid_xml_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="not valid XML"):
        differences(CONFIG, "<View>")
