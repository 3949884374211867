"""`label-studio-otel setup` against a real Label Studio: what it makes, repairs and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot

from label_studio_otel.cli import config_check, main
from label_studio_otel.settings import Destination
from label_studio_otel.tasks import labeling_config
from label_studio_otel.testing import FakeLabelStudio, span
from support.delivering import Bench
from support.handler_configs import HANDLER_CHAT
from support.servers import PROMPT_CONFIG

if TYPE_CHECKING:
    from support.servers import Api

CHAT_TAG = """<View>
  <Chat name="chat" value="$prompt"/>
  <TextArea name="response" toName="chat"/>
</View>"""
ON_COMMUNITY = (
    "<Chat> is for Label Studio Enterprise only, and this is the Community edition: labelers would see “Not expecting "
    'tag: chat” instead of the task. Show messages with <Paragraphs layout="dialogue" nameKey="role" textKey="content">'
)


class Console:
    """The command line, with the variables of an application."""

    def __init__(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        self.api = api
        self.title = f"Setup {uuid.uuid4().hex[:8]}"
        self._capsys = capsys

    def setup(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        code = main(["setup", *arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def wrong(self, *arguments: str) -> list[str]:
        """Return what the command says is wrong; it must fail, and change nothing."""
        before = self.api.projects()
        code, out, err = self.setup(*arguments)
        assert (code, out) == (1, "")
        assert self.api.projects() == before
        return [line.removeprefix("wrong: ") for line in err.splitlines()]


@pytest.fixture
def console(api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(api, capsys)
    monkeypatch.setenv("LABEL_STUDIO_URL", api.server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", api.server.token)
    monkeypatch.setenv("LABEL_STUDIO_OTEL_PROJECT_NAME", console.title)
    return console


@pytest.mark.parametrize("mode", ["prompt", "chat"])
def test_a_project_is_made_with_the_labeling_config_of_its_mode(console: Console, mode: str) -> None:
    code, out, err = console.setup("--mode", mode)

    project = console.api.project(console.title)
    shown = {"prompt": "<Text>", "chat": "<Paragraphs>"}[mode]
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"project '{console.title}' ({mode}) made: {console.api.server.url}/projects/{project['id']}",
        f'labeling config: shows $prompt in {shown}; the response is to be corrected in <TextArea name="response">',
    ]
    assert project["label_config"] == labeling_config.template(mode).strip()


def test_a_project_is_made_with_the_labeling_config_of_a_file(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "chat.xml"
    file.write_text(HANDLER_CHAT)

    assert console.setup("--project-config", str(file))[0] == 0
    assert console.api.project(console.title)["label_config"] == HANDLER_CHAT


def test_a_second_run_finds_the_project_and_changes_nothing(console: Console) -> None:
    console.setup()
    before = console.api.project(console.title)

    code, out, err = console.setup()

    assert (code, err) == (0, "")
    assert out.splitlines()[0] == (
        f"project {before['id']} “{console.title}” exists: {console.api.server.url}/projects/{before['id']}"
    )
    assert console.api.project(console.title) == before


def test_calls_go_to_the_project_that_was_made(console: Console, tmp_path: Path) -> None:
    console.setup()
    bench = Bench(tmp_path, console.api.server.url, console.api.server.token)
    bench.put(span("Where to?", "Here."), destination=Destination(console.title))
    bench.run()
    bench.outbox.close()

    (task,) = console.api.tasks(console.api.project(console.title)["id"])
    assert task["data"]["prompt"] == "User:\nWhere to?"


def test_a_dry_run_prints_a_task_that_label_studio_takes_and_changes_nothing(console: Console) -> None:
    before = console.api.projects()
    code, out, err = console.setup("--mode", "chat", "--dry-run")

    assert code == 0
    assert console.api.projects() == before
    assert err.splitlines()[0] == f"project '{console.title}' (chat) would be made"
    sample = json.loads(out)
    assert sample["data"]["prompt"] == snapshot(
        [
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": "How do I boil an egg?"},
        ]
    )
    project = console.api.create_project(console.title, labeling_config.template("chat"))
    answer = console.api.import_tasks(project["id"], [sample])
    assert (answer["task_count"], answer["prediction_count"]) == (1, 1)


def test_a_dry_run_shows_the_task_of_the_project_that_is_there(console: Console) -> None:
    own = (
        '<View><Text name="q" value="$question"/><Text name="m" value="$model"/><TextArea name="a" toName="q"/></View>'
    )
    project = console.api.create_project(console.title, own)

    code, out, _ = console.setup("--project-id", str(project["id"]), "--mode", "chat", "--dry-run")

    assert code == 0
    sample = json.loads(out)
    assert sample["data"]["question"] == "Tell me how to boil an egg."
    assert sample["predictions"][0]["result"][0]["from_name"] == "a"


def foreign_predictions(api: Api, title: str) -> dict[str, Any]:
    """Make a project whose label stream shows the predictions of another program."""
    project = api.create_project(title)
    result = [{"from_name": "response", "to_name": "prompt", "type": "textarea", "value": {"text": ["Theirs"]}}]
    task = {"data": {"prompt": "One"}, "predictions": [{"model_version": "gpt-4", "result": result}]}
    api.import_tasks(project["id"], [task])
    assert api.project(title)["model_version"] == "gpt-4"
    return project


def test_the_model_version_of_another_program_gives_way_to_ours(console: Console, tmp_path: Path) -> None:
    project = foreign_predictions(console.api, console.title)
    repaired = "model_version: is now label-studio-otel instead of gpt-4, whose predictions alone were shown"

    assert repaired in console.setup()[1].splitlines()

    # Label Studio takes no version without predictions: the first of ours sets it.
    assert console.api.project(console.title)["model_version"] == ""
    bench = Bench(tmp_path, console.api.server.url, console.api.server.token)
    bench.put(span(), destination=Destination(console.title))
    bench.run()
    bench.outbox.close()
    assert console.api.project(console.title)["model_version"] == "label-studio-otel"

    console.api.call("PATCH", f"/api/projects/{project['id']}/", {"model_version": "gpt-4"})
    assert repaired in console.setup()[1].splitlines()
    assert console.api.project(console.title)["model_version"] == "label-studio-otel"


def test_predictions_that_nobody_would_see_are_switched_on(console: Console) -> None:
    project = console.api.create_project(console.title)
    console.api.call("PATCH", f"/api/projects/{project['id']}/", {"show_collab_predictions": False})

    dry = console.setup("--dry-run")[2]
    assert "show_collab_predictions: would be switched on; labelers saw no predictions" in dry.splitlines()
    assert console.api.project(console.title)["show_collab_predictions"] is False

    code, out, _ = console.setup()
    assert code == 0
    assert "show_collab_predictions: is now switched on; labelers saw no predictions" in out.splitlines()
    assert console.api.project(console.title)["show_collab_predictions"] is True


def test_a_project_keeps_its_config_and_the_difference_is_said(console: Console) -> None:
    console.api.create_project(console.title, PROMPT_CONFIG)

    code, out, _ = console.setup("--project-config", PROMPT_CONFIG.replace("<Rating", '<Rating maxRating="9"'))

    assert code == 0
    assert out.splitlines()[1] == (
        "note: it keeps its labeling config, which differs from project_config: "
        '-<Rating name="rating" toName="prompt">, +<Rating maxRating="9" name="rating" toName="prompt">'
    )
    assert console.api.project(console.title)["label_config"] == PROMPT_CONFIG


TEXT, AREA = '<Text name="prompt" value="$prompt"/>', '<TextArea name="response" toName="prompt"/>'
WRONG_CONFIGS = {
    "a dangling toName": (
        f'<View>{TEXT}<TextArea name="response" toName="promt"/></View>',
        '<TextArea name="response"> has toName="promt", and no tag has that name; there are prompt, response',
    ),
    "a tag of Enterprise": (CHAT_TAG, ON_COMMUNITY),
    "another tag of Enterprise": (
        f'<View>{TEXT}{AREA}<ReactCode name="code" toName="prompt"/></View>',
        ON_COMMUNITY.replace("<Chat>", "<ReactCode>").replace("tag: chat", "tag: reactcode"),
    ),
    "no control": (
        f"<View>{TEXT}</View>",
        'it has no <TextArea> that could hold the response: add <TextArea name="response" toName="…" editable="true"/>'
        ", with the name of the tag that shows the prompt",
    ),
    "no object": (
        f'<View><Header name="prompt" value="Prompt"/>{AREA}</View>',
        'it shows nothing of a call: add <Text name="prompt" value="$prompt"/>',
    ),
    "no XML": ("<View><Text", "the labeling config is not valid XML: unclosed token: line 1, column 6"),
}


@pytest.mark.parametrize(("config", "said"), WRONG_CONFIGS.values(), ids=WRONG_CONFIGS)
def test_a_wrong_labeling_config_is_refused_with_what_to_do(console: Console, config: str, said: str) -> None:
    assert console.wrong("--project-config", config) == [f"the labeling config for a new project: {said}"]


def test_a_variable_that_no_call_fills_is_refused_by_its_name(console: Console) -> None:
    config = f'<View>{TEXT}{AREA}<Audio name="voice" value="$recording"/></View>'

    (said,) = console.wrong("--project-config", config)

    assert 'wants $recording for <Audio name="voice">, which no LLM call can fill' in said


def test_the_config_of_a_project_that_exists_is_checked_too(console: Console) -> None:
    project = console.api.create_project(console.title, CHAT_TAG)

    assert console.wrong() == [f"the labeling config of project {project['id']} “{console.title}”: {ON_COMMUNITY}"]


def test_what_label_studio_s_own_library_finds_is_said() -> None:
    no_choice = f"<View>{TEXT}{AREA}<Choices name='sentiment' toName='prompt'/></View>"

    assert config_check.problems(no_choice, "Community") == snapshot(
        ["Label Studio's library says: Validation failed on : 'View' is a required property"]
    )


def test_a_tag_that_nobody_knows_is_noted(console: Console) -> None:
    code, out, _ = console.setup("--project-config", f"<View>{TEXT}{AREA}<Hedaer value='Rate'/></View>")

    assert code == 0
    assert out.splitlines()[0] == ("note: Label Studio Community 1.23 has no tag <Hedaer>; labelers may see an error")


def test_without_label_studio_s_library_the_checks_are_ours_alone(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_check, "find_spec", lambda _name: None)
    for config, said in WRONG_CONFIGS.values():
        assert console.wrong("--project-config", config) == [f"the labeling config for a new project: {said}"]
    assert console.setup()[0] == 0


def test_enterprise_may_have_its_tags(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeLabelStudio() as fake:
        fake.store.edition = "Enterprise"
        variables = ("--url", fake.url, "--project-name", "Chats", "--project-config", CHAT_TAG)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LABEL_STUDIO_API_KEY", fake.token)
            assert main(["setup", *variables]) == 0

    assert capsys.readouterr().out.splitlines()[1] == (
        'labeling config: shows $prompt in <Chat>; the response is to be corrected in <TextArea name="response">'
    )


@pytest.mark.parametrize(("title", "length"), [("Ab", 2), ("x" * 51, 51)])
def test_a_title_that_label_studio_refuses_is_refused_before(console: Console, title: str, length: int) -> None:
    assert console.wrong("--project-name", title) == [
        f"the title '{title}' has {length} characters, and Label Studio wants 3 to 50: choose another "
        "LABEL_STUDIO_OTEL_PROJECT_NAME"
    ]


@pytest.mark.parametrize("title", ["Abc", "x" * 50])
def test_titles_of_3_to_50_characters_are_made(console: Console, title: str) -> None:
    assert console.setup("--project-name", title)[0] == 0
    assert console.api.project(title)["title"] == title


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--mode", "dialog", "mode='dialog' cannot be used: it must be prompt or chat; using 'prompt'"),
        ("--project-id", "seven", "project_id='seven' cannot be used: it must be the number in the project's address"),
        ("--project-config", "/no/such.xml", "project_config cannot be read: [Errno 2] No such file or directory"),
        ("--project-id", "99999999", "there is no such project, or the token's user may not see it"),
        ("--url", "http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_a_setting_that_leads_nowhere_is_said(console: Console, option: str, value: str, said: str) -> None:
    (sentence,) = console.wrong(option, value)
    assert said in sentence


def test_a_wrong_token_is_said(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    (sentence,) = console.wrong()
    assert sentence.endswith("Invalid token.; set LABEL_STUDIO_API_KEY to a valid token")


def test_the_command_itself(console: Console) -> None:
    command = [str(Path(sys.executable).with_name("label-studio-otel")), "setup", "--dry-run"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["data"]["prompt"] == "Tell me how to boil an egg."
