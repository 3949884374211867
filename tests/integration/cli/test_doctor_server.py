"""`doctor` on Label Studio: where it is, whether it knows the token, whether the project fits."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from label_studio_otel.cli.doctor import server
from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.tasks import labeling_config
from label_studio_otel.testing import FakeLabelStudio, Fault
from support.examined import set_up, told
from support.servers import PROMPT_CONFIG

if TYPE_CHECKING:
    from pathlib import Path

LEGACY_DISABLED = (
    "Authentication token no longer valid: legacy token authentication has been disabled for this organization"
)


def asked(fake: FakeLabelStudio, **settings: object) -> list[str]:
    """Return what is said about a fake server, its port left out."""
    examined = set_up(**{"url": fake.url, "api_key": fake.token, "project_name": "Mine", **settings})
    return [re.sub(r"127\.0\.0\.1:\d+", "HOST", line) for line in told(server.label_studio, examined)]


def make(fake: FakeLabelStudio, config: str, title: str = "Mine") -> int:
    return LabelStudio(fake.url, fake.token).create_project(title, config).id


def jwt(**claims: object) -> str:
    parts = (json.dumps({"typ": "JWT"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def test_a_server_a_token_and_a_project_that_will_be_made(fake: FakeLabelStudio) -> None:
    assert asked(fake) == snapshot(
        [
            "ok: http://HOST knows the token",
            "ok: 'Mine' does not exist yet; the first call makes it (prompt mode)",
        ]
    )
    assert asked(fake, api_key=fake.personal_access_token)[0] == snapshot("ok: http://HOST knows the token")


def test_a_server_that_is_not_there() -> None:
    with FakeLabelStudio() as gone:
        pass
    (line,) = asked(gone)
    assert line.startswith("error: ")
    assert line.endswith(
        "→ start Label Studio, or export LABEL_STUDIO_URL=where it is (now http://HOST); calls wait until then"
    )


def test_an_address_of_something_else(fake: FakeLabelStudio) -> None:
    fake.fail(Fault("GET", "/api/projects", status=404, body=b"<html>nothing here</html>"))
    assert asked(fake) == snapshot(
        [
            (
                "error: http://HOST answered 404 to GET /api/projects/, but not as Label Studio does → "
                "export LABEL_STUDIO_URL=the address of Label Studio (now http://HOST)"
            )
        ]
    )
    fake.fail(Fault("GET", "/api/projects", status=301))
    assert asked(fake) == snapshot(
        [
            (
                "error: http://HOST answered 301 to GET /api/projects/: it redirects → set "
                "LABEL_STUDIO_URL to where it redirects to"
            )
        ]
    )


def test_no_token(fake: FakeLabelStudio) -> None:
    assert asked(fake, api_key=None) == snapshot(
        [
            (
                "error: there is no token → make a personal access token in Label Studio (Account & "
                "Settings → Personal Access Token) and export LABEL_STUDIO_API_KEY=it"
            )
        ]
    )


def test_a_token_that_the_server_does_not_know(fake: FakeLabelStudio) -> None:
    assert asked(fake, api_key="0" * 40) == snapshot(
        [
            (
                "error: Label Studio does not know the token (http://HOST answered 401 to GET "
                "/api/projects/: Invalid token.) → make a personal access token in Label Studio (Account "
                "& Settings → Personal Access Token) and export LABEL_STUDIO_API_KEY=it"
            )
        ]
    )


def test_legacy_tokens_that_are_disabled(fake: FakeLabelStudio) -> None:
    fake.fail(Fault("GET", "/api/projects", status=401, body=json.dumps({"detail": LEGACY_DISABLED}).encode()))
    assert asked(fake) == snapshot(
        [
            (
                "error: legacy token authentication has been disabled in this Label Studio → make a "
                "personal access token (Account & Settings → Personal Access Token) and export "
                "LABEL_STUDIO_API_KEY=it, or allow legacy tokens (Organization → Access Token Settings; "
                "for a new server LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true)"
            )
        ]
    )


def test_a_personal_access_token_that_expired(fake: FakeLabelStudio) -> None:
    assert asked(fake, api_key=jwt(token_type="refresh", exp=1_700_000_000)) == snapshot(
        [
            (
                "error: the personal access token expired on 2023-11-14 → make a personal access token "
                "in Label Studio (Account & Settings → Personal Access Token) and export "
                "LABEL_STUDIO_API_KEY=it"
            )
        ]
    )


def test_a_personal_access_token_that_was_revoked(fake: FakeLabelStudio) -> None:
    assert asked(fake, api_key=jwt(token_type="refresh", exp=4_102_444_800)) == snapshot(
        [
            (
                "error: the personal access token is not valid: revoked, or another server's "
                "(http://HOST answered 401 to POST /api/token/refresh/: Token is invalid) → make a "
                "personal access token in Label Studio (Account & Settings → Personal Access Token) and "
                "export LABEL_STUDIO_API_KEY=it"
            )
        ]
    )


def test_a_project_that_is_not_there(fake: FakeLabelStudio) -> None:
    assert asked(fake, project_id=77) == snapshot(
        [
            (
                "error: Label Studio has no project 77 that this token may see → export "
                "LABEL_STUDIO_PROJECT_ID=the number in the project's address, or unset it"
            )
        ]
    )


def test_a_title_that_label_studio_refuses(fake: FakeLabelStudio) -> None:
    assert asked(fake, project_name="QA")[1:] == snapshot(
        [
            (
                "error: Label Studio takes no title under 3 characters, such as 'QA' → export "
                "LABEL_STUDIO_OTEL_PROJECT_NAME='a longer one'"
            )
        ]
    )


def test_a_title_that_several_projects_have(fake: FakeLabelStudio) -> None:
    make(fake, PROMPT_CONFIG)
    make(fake, PROMPT_CONFIG)
    assert asked(fake)[1:] == snapshot(
        [
            "warning: 2 projects are titled 'Mine'; the oldest (1) gets the tasks → export LABEL_STUDIO_PROJECT_ID=1",
            "ok: project 1 (Mine) can be filled; responses go to the TextArea 'response'",
        ]
    )


@pytest.mark.parametrize("mode", ["prompt", "chat"])
def test_our_own_labeling_configs_fit_their_modes(fake: FakeLabelStudio, mode: str) -> None:
    make(fake, labeling_config.template(mode))
    assert [line.partition(":")[0] for line in asked(fake, mode=mode)] == ["ok", "ok"]


def test_a_mode_that_is_not_the_projects(fake: FakeLabelStudio) -> None:
    make(fake, labeling_config.template("chat"))
    assert asked(fake, mode="prompt")[2:] == snapshot(
        ["warning: the mode is prompt, and project 1 (Mine) shows a dialogue → export LABEL_STUDIO_OTEL_MODE=chat"]
    )


def test_a_variable_that_no_call_fills(fake: FakeLabelStudio) -> None:
    config = PROMPT_CONFIG.replace("<View>", '<View><Audio name="sound" value="$sound"/>')
    number = make(fake, config)
    assert asked(fake, project_id=number)[1:] == snapshot(
        [
            (
                "error: project 1 (Mine): the labeling config of the project wants $sound for <Audio "
                'name="sound">, which no LLM call can fill. <Text>, <HyperText>, <Paragraphs>, <Chat>, '
                "<Image>, <List> and <Table> show a call under any variable, and other tags $model, "
                "$provider, $operation, $input_tokens, $output_tokens, $finish_reason, $latency_ms, "
                "$start_time, $service, $key, $trace_id, $span_id, $trace_link, $session_id, $user_id, "
                "$conversation_id, $run_id, $prompt_name, $prompt_version, $tools, $error, $incomplete, "
                "$reasoning, $response. → rename or remove that variable at "
                "http://HOST/projects/1/settings/labeling"
            )
        ]
    )


def test_a_project_without_a_labeling_config(fake: FakeLabelStudio) -> None:
    make(fake, "<View></View>")
    assert asked(fake)[1:] == snapshot(
        [
            (
                "error: project 1 (Mine) shows nothing yet → choose a labeling config at "
                "http://HOST/projects/1/settings/labeling"
            )
        ]
    )


def test_a_labeling_config_without_a_text_area(fake: FakeLabelStudio) -> None:
    make(fake, '<View><Text name="prompt" value="$prompt"/><Rating name="stars" toName="prompt"/></View>')
    assert asked(fake)[1:] == snapshot(
        [
            (
                "warning: project 1 (Mine) has no TextArea, so its tasks show no response to correct → "
                'add <TextArea name="response" toName="prompt"/> at '
                "http://HOST/projects/1/settings/labeling"
            )
        ]
    )


def test_the_labeling_config_of_a_project_to_be_made(fake: FakeLabelStudio, tmp_path: Path) -> None:
    assert asked(fake, project_config="<View>")[2:] == snapshot(
        [
            (
                "error: LABEL_STUDIO_OTEL_PROJECT_CONFIG cannot be used: the labeling config is not "
                "valid XML: no element found: line 1, column 6 → correct it, or unset "
                "LABEL_STUDIO_OTEL_PROJECT_CONFIG to take the config of the mode"
            )
        ]
    )
    assert asked(fake, project_config=PROMPT_CONFIG)[2:] == snapshot(
        [
            (
                "ok: the labeling config of LABEL_STUDIO_OTEL_PROJECT_CONFIG can be filled; responses go "
                "to the TextArea 'response'"
            )
        ]
    )
    (missing,) = asked(fake, project_config=str(tmp_path / "none.xml"))[2:]
    assert missing.startswith("error: LABEL_STUDIO_OTEL_PROJECT_CONFIG cannot be used: [Errno 2]")


def test_settings_that_cannot_be_used() -> None:
    examined = set_up(environ={"LABEL_STUDIO_OTEL_MODE": "dialog", "LABEL_STUDIO_PROJECT_ID": "first"})
    assert told(server.settings, examined) == snapshot(
        [
            (
                "error: LABEL_STUDIO_PROJECT_ID='first' cannot be used: it must be the number in the "
                "project's address, such as 7; using None → correct or unset LABEL_STUDIO_PROJECT_ID"
            ),
            (
                "error: LABEL_STUDIO_OTEL_MODE='dialog' cannot be used: it must be prompt or chat; using "
                "'prompt' → correct or unset LABEL_STUDIO_OTEL_MODE"
            ),
        ]
    )
