"""Our reading of labeling configs agrees with Label Studio's own, and our predictions pass its validation."""

from __future__ import annotations

import warnings

import pytest

from label_studio_otel import reading
from label_studio_otel.tasks import labeling_config, task
from label_studio_otel.testing import span
from support.handler_configs import HANDLER_CHAT, HANDLER_CUSTOM, HANDLER_PROMPT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from label_studio_sdk.label_interface import LabelInterface

TWO_AREAS = """<View>
  <Text name="prompt" value="$prompt"/>
  <TextArea name="user_feedback" toName="prompt"/>
  <TextArea name="response" toName="prompt"/>
  <Rating name="rating" toName="prompt"/>
  <Choices name="sentiment" toName="prompt"><Choice value="Positive"/><Choice value="Negative"/></Choices>
</View>"""
EVERY_TAG = """<View>
  <HyperText name="page" value="$page"/>
  <Image name="picture" value="$picture"/>
  <Chat name="chat" value="$chat"/>
  <Text name="llm" value="$model"/>
  <View><Paragraphs name="said" value="$said" layout="dialogue" nameKey="role" textKey="content"/></View>
  <Choices name="fine" toName="llm"><Choice value="Yes"/></Choices>
  <TextArea name="passage" toName="said" perRegion="true"/>
  <TextArea name="response" toName="said"/>
</View>"""
CONFIGS = {
    "prompt": labeling_config.template("prompt"),
    "chat": labeling_config.template("chat"),
    "handler, prompt": HANDLER_PROMPT,
    "handler, chat": HANDLER_CHAT,
    "handler, a config of one's own": HANDLER_CUSTOM,
    "two TextAreas": TWO_AREAS,
    "every tag": EVERY_TAG,
}


@pytest.mark.parametrize("xml", CONFIGS.values(), ids=CONFIGS)
def test_object_tags_and_the_response_are_those_of_label_interface(xml: str) -> None:
    theirs, ours = LabelInterface(xml), labeling_config.parse(xml)

    assert [(one.tag, one.name, one.variable) for one in ours.objects] == [
        (one.tag, one.name, one.value_name) for one in theirs.objects
    ]
    assert ours.response is not None
    response = theirs.get_control("response")
    assert (ours.response.name, [ours.response.to_name]) == (response.name, response.to_name)


@pytest.mark.parametrize("xml", CONFIGS.values(), ids=CONFIGS)
def test_a_rendered_task_and_its_predictions_are_valid(xml: str) -> None:
    interface, call = LabelInterface(xml), span()

    rendered = task.render(call, reading.read(call), labeling_config.parse(xml))

    assert [interface.validate_prediction(one, return_errors=True) for one in rendered["predictions"]] == [[]]
    assert interface.validate_task({"data": rendered["data"]})
