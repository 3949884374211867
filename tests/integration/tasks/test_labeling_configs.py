"""Projects with labeling configs of people's own, on a real Label Studio: what each asks for and gets."""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot

from label_studio_otel.settings import Destination
from label_studio_otel.testing import FakeClock, FakeLabelStudio, Fault, span
from support.delivering import Bench
from support.handler_configs import HANDLER_CUSTOM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Api

PLAIN = '<View><Text name="prompt" value="$prompt"/><TextArea name="response" toName="prompt"/></View>'


class Own:
    """One project on the real server that people made, and the delivery to it."""

    def __init__(self, api: Api, directory: Path) -> None:
        self.api = api
        self.id = 0
        self.config = ""
        self.title = f"Own {uuid.uuid4().hex[:8]}"
        self.bench = Bench(directory, api.server.url, api.server.token, clock=FakeClock(time.time()))
        self.sent = 0

    def made(self, config: str) -> Own:
        self.config = config
        self.id = self.api.create_project(self.title, config)["id"]
        return self

    def change(self, old: str, new: str) -> None:
        """Change the labeling config as its settings page does."""
        assert old in self.config
        self.config = self.config.replace(old, new)
        self.api.call("PATCH", f"/api/projects/{self.id}/", {"label_config": self.config})

    def send(self, *calls: Any, **destination: Any) -> None:
        """Deliver calls, a new one where none is given."""
        self.sent += 1
        calls = calls or (span(f"Question {self.sent}", f"Answer {self.sent}", number=self.sent),)
        self.bench.put(*calls, destination=Destination(self.title, **destination))
        self.bench.run()

    def tasks(self) -> list[dict[str, Any]]:
        return self.api.tasks(self.id)

    def shown(self) -> list[Any]:
        """Return what each task shows as its prompt, without the title of the speaker."""
        return [task["data"]["prompt"].removeprefix("User:\n") for task in self.tasks()]

    def predicted(self) -> list[tuple[str, str, list[str]]]:
        """Return control, object and text of each task's prediction."""
        results = [result for task in self.tasks() for one in task["predictions"] for result in one["result"]]
        return [(result["from_name"], result["to_name"], result["value"]["text"]) for result in results]


@pytest.fixture
def own(api: Api, tmp_path: Path) -> Iterator[Own]:
    own = Own(api, tmp_path)
    yield own
    own.bench.outbox.close()


def test_the_page_s_example_gets_its_prompt_and_predicts_its_response_only(own: Own) -> None:
    own.made(HANDLER_CUSTOM).send()

    assert own.shown() == ["Question 1"]
    assert own.predicted() == [("response", "prompt", ["Answer 1"])]


def test_without_a_textarea_named_response_the_first_one_is_predicted(own: Own) -> None:
    own.made(HANDLER_CUSTOM.replace('name="response"', 'name="correction"')).send()

    assert own.predicted() == [("correction", "prompt", ["Answer 1"])]


def test_every_tag_gets_what_it_can_show(own: Own) -> None:
    own.made(
        """<View>
          <Text name="text" value="$text"/>
          <HyperText name="html" value="$html"/>
          <Paragraphs name="said" value="$said" layout="dialogue" nameKey="who" textKey="what"/>
          <Image name="picture" value="$picture"/>
          <Chat name="chat" value="$chat"/>
          <Text name="llm" value="$model"/>
          <TextArea name="response" toName="said"/>
        </View>"""
    ).send(
        span(
            [
                {
                    "role": "user",
                    "parts": [
                        {"type": "text", "content": "<b>Look</b>"},
                        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
                    ],
                }
            ],
            "<i>Nice</i>",
        )
    )

    (task,) = own.tasks()
    assert {name: task["data"][name] for name in ("text", "html", "said", "picture", "chat", "model")} == snapshot(
        {
            "text": """\
User:
<b>Look</b>

[image: image/png, 2 bytes, sha256 8f434346648f…]\
""",
            "html": """\
<h4>User</h4>
<pre style="white-space: pre-wrap">&lt;b&gt;Look&lt;/b&gt;

[image: image/png, 2 bytes, sha256 8f434346648f…]</pre>\
""",
            "said": [
                {
                    "who": "user",
                    "what": """\
<b>Look</b>

[image: image/png, 2 bytes, sha256 8f434346648f…]\
""",
                }
            ],
            "picture": "data:image/png;base64,aGk=",
            "chat": [
                {
                    "role": "user",
                    "content": """\
<b>Look</b>

[image: image/png, 2 bytes, sha256 8f434346648f…]\
""",
                }
            ],
            "model": "gpt-4o-mini-2026-01-15",
        }
    )
    assert own.predicted() == [("response", "said", ["<i>Nice</i>"])]


def test_a_variable_added_while_calls_come_is_filled_at_once_and_nothing_is_parked(own: Own) -> None:
    own.made(PLAIN).send()
    own.change(
        "</View>", '<Header value="Model"/><Text name="llm" value="$model"/><Text name="x" value="$chat"/></View>'
    )

    own.send()

    assert own.shown() == ["Question 1", "Question 2"]
    assert own.tasks()[1]["data"]["chat"] == "User:\nQuestion 2"
    assert own.bench.states == {"delivered": 2}
    assert own.bench.said == []


def test_controls_changed_while_calls_come_are_honoured_within_a_minute(own: Own) -> None:
    own.made(PLAIN).send()
    own.change(
        '<TextArea name="response" toName="prompt"/>',
        '<Rating name="rating" toName="prompt"/><TextArea name="better" toName="prompt"/>',
    )
    own.bench.clock.sleep(59)

    own.send()

    assert own.predicted() == [("response", "prompt", ["Answer 1"]), ("better", "prompt", ["Answer 2"])]


def test_an_object_that_becomes_a_dialogue_is_honoured_within_a_minute(own: Own) -> None:
    own.made(PLAIN).send()
    own.change(
        '<Text name="prompt" value="$prompt"/>',
        '<Paragraphs name="prompt" value="$prompt" layout="dialogue" nameKey="role" textKey="content"/>',
    )
    own.bench.clock.sleep(59)

    own.send()

    assert [task["data"]["prompt"] for task in own.tasks()] == [
        "User:\nQuestion 1",
        [{"role": "user", "content": "Question 2"}],
    ]


def test_without_a_textarea_tasks_come_without_prediction_and_that_is_said_once(
    own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    own.made('<View><Text name="prompt" value="$prompt"/><Rating name="rating" toName="prompt"/></View>').send()
    own.bench.clock.sleep(59)
    own.send()

    assert own.shown() == ["Question 1", "Question 2"]
    assert [task["predictions"] for task in own.tasks()] == [[], []]
    assert caplog.messages == [
        f"label-studio-otel: the labeling config of project {own.id} of {own.api.server.url} has no <TextArea> for the "
        "response: its tasks come without prediction"
    ]


def test_a_textarea_added_later_gets_predictions(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    own.made('<View><Text name="prompt" value="$prompt"/><Rating name="rating" toName="prompt"/></View>').send()
    own.change("</View>", '<TextArea name="response" toName="prompt"/></View>')
    own.bench.clock.sleep(59)
    with caplog.at_level(logging.INFO):
        own.send()

    assert own.predicted() == [("response", "prompt", ["Answer 2"])]
    assert caplog.messages[-1].endswith("has a <TextArea> for the response now")


@pytest.mark.parametrize("added_later", [False, True])
def test_a_variable_nobody_can_fill_blocks_by_its_name_and_resumes_when_the_config_is_mended(
    own: Own, *, added_later: bool
) -> None:
    audio = '<Audio name="recording" value="$voice"/></View>'
    own.made(PLAIN)
    if added_later:
        own.send()
    own.change("</View>", audio)

    own.send()
    own.send()

    sent_before = 1 if added_later else 0
    assert len(own.tasks()) == sent_before
    assert own.bench.states["pending"] == 2
    reason = own.bench.target.blocked or ""
    assert reason.startswith(
        'the labeling config of the project wants $voice for <Audio name="recording">, which no LLM call can fill. '
    )
    assert "show a call under any variable, and other tags $model, $provider, $operation" in reason

    own.change(audio, "</View>")
    own.bench.run_later(120)

    assert len(own.tasks()) == sent_before + 2
    assert set(own.bench.states) == {"delivered"}
    assert own.bench.target.blocked is None


def test_a_variable_that_only_label_studio_finds_blocks_instead_of_parking_each_call(
    bench: Bench, fake: FakeLabelStudio
) -> None:
    wanted = b'"Error at item 0: \\"secret\\" key is expected in task data [assume: ...] :: {}"'
    answer = b'{"status_code":400,"detail":"Validation error","validation_errors":{"non_field_errors":[%s]}}' % wanted
    fake.fail(Fault(status=400, body=answer, headers={"Content-Type": "application/json"}))
    bench.put(span(number=1), span(number=2))
    bench.run()

    assert bench.states == {"pending": 2}
    assert (bench.target.blocked or "")[:95] == snapshot(
        "Label Studio wants $secret in each task of the project, which no LLM call can fill; look for it"
    )

    bench.run_later(120)
    assert bench.states == {"delivered": 2}


def test_a_config_that_is_no_xml_any_more_blocks_and_keeps_everything(bench: Bench, fake: FakeLabelStudio) -> None:
    bench.put(span(number=1))
    bench.run()
    (project,) = fake.store.projects.values()
    good, project["label_config"] = project["label_config"], "<View><Text"
    bench.clock.sleep(59)
    bench.put(span(number=2))
    bench.run()

    assert bench.states == {"delivered": 1, "pending": 1}
    assert (bench.target.blocked or "").startswith("project 1: the labeling config is not valid XML")

    project["label_config"] = good
    bench.run_later(120)
    assert bench.states == {"delivered": 2}


def test_an_existing_project_keeps_its_config_and_the_difference_is_said_once(
    own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    own.made(PLAIN)
    wanted = (
        '<View><Text value="$question" name="prompt" /><TextArea name="response" toName="prompt"/>'
        '<Rating name="rating" toName="prompt"/></View>'
    )
    own.send(project_config=wanted)
    own.bench.clock.sleep(59)
    own.send(project_config=wanted)

    assert own.shown() == ["Question 1", "Question 2"]
    assert own.api.project(own.title)["label_config"] == PLAIN
    assert caplog.messages == [
        f"label-studio-otel: project {own.id} of {own.api.server.url} exists with another labeling config than "
        'project_config, and keeps it: -<Text name="prompt" value="$prompt">, +<Text name="prompt" value="$question">, '
        '+<Rating name="rating" toName="prompt">'
    ]


def test_a_config_that_differs_in_white_space_and_order_only_is_the_same(
    own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    own.made(HANDLER_CUSTOM)
    same = "<!-- mine -->" + HANDLER_CUSTOM.replace("\n", "\n\n\t").replace(
        'name="rating" toName="prompt"', 'toName="prompt"\n name="rating"'
    )
    own.send(project_config=same)

    assert own.shown() == ["Question 1"]
    assert caplog.messages == []


def test_a_project_made_of_project_config_says_nothing(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    own.send(project_config=HANDLER_CUSTOM)
    own.bench.clock.sleep(59)
    own.send(project_config=HANDLER_CUSTOM)

    assert len(own.api.tasks(own.api.project(own.title)["id"])) == 2
    assert caplog.messages == []


PICTURED = """<View>
  <Paragraphs name="dialogue" value="$prompt" layout="dialogue" nameKey="role" textKey="content"/>
  <Image name="picture" value="$picture"/>
  <TextArea name="response" toName="dialogue"/>
</View>"""


@pytest.mark.parametrize("form", ["blob", "uri"])
def test_a_5_mb_image_in_a_chat_is_named_by_type_size_and_hash(own: Own, form: str) -> None:
    image = base64.b64encode(bytes(5_000_000)).decode()
    part = {
        "blob": {"type": "blob", "modality": "image", "mime_type": "image/png", "content": image},
        "uri": {"type": "uri", "modality": "image", "uri": f"data:image/png;base64,{image}"},
    }[form]
    messages = [{"role": "user", "parts": [{"type": "text", "content": "What is this?"}, part]}]

    own.made(PICTURED).send(span(messages, "Darkness."))

    (task,) = own.tasks()
    assert task["data"]["prompt"] == snapshot(
        [
            {
                "role": "user",
                "content": """\
What is this?

[image: image/png, 5.0 MB, sha256 b39781589c44…]\
""",
            }
        ]
    )
    assert task["data"]["picture"] == "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    assert task["data"]["incomplete"] == snapshot(
        "An image is too large to be shown: [image: image/png, 5.0 MB, sha256 b39781589c44…]"
    )
    assert own.predicted() == [("response", "dialogue", ["Darkness."])]


def test_a_larger_image_is_shown_where_the_setting_allows_it(api: Api, tmp_path: Path) -> None:
    image = base64.b64encode(bytes(300_000)).decode()
    part = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": image}
    own = Own(api, tmp_path)
    own.bench = Bench(tmp_path, api.server.url, api.server.token, clock=own.bench.clock, max_image_bytes=300_000)

    own.made(PICTURED).send(span([{"role": "user", "parts": [part]}]))

    (task,) = own.tasks()
    assert task["data"]["picture"] == f"data:image/png;base64,{image}"
    assert "incomplete" not in task["data"]


def test_a_3_mb_prompt_is_cut_to_a_task_of_1_mib_and_says_so(own: Own) -> None:
    prompt = "".join(f"Line {number:>9}\n" for number in range(200_000))

    own.made(PLAIN).send(span(prompt, "Long."))

    (task,) = own.tasks()
    size = len(json.dumps({"data": task["data"], "predictions": task["predictions"]}).encode())
    assert 900_000 < size <= 1_048_576
    assert task["data"]["prompt"].startswith("User:\nLine         0\nLine         1\n")
    assert task["data"]["prompt"].endswith("Line    199999\n")
    assert "characters cut" in task["data"]["prompt"]
    assert task["data"]["incomplete"] == ("The call is too large for a task (1,048,576 bytes): parts of it are cut.")
    assert own.predicted() == [("response", "prompt", ["Long."])]


def test_a_3_mb_prompt_is_whole_where_the_setting_allows_it(api: Api, tmp_path: Path) -> None:
    prompt = "".join(f"Line {number:>9}\n" for number in range(200_000))
    own = Own(api, tmp_path)
    own.bench = Bench(tmp_path, api.server.url, api.server.token, clock=own.bench.clock, max_task_bytes=4_000_000)

    own.made(PLAIN).send(span(prompt, "Long."))

    assert own.shown() == [prompt]
    assert "incomplete" not in own.tasks()[0]["data"]
