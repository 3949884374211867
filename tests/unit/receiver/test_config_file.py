"""The settings of `serve`: options, then the environment, then a file; mistakes in it are reported with their place."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.cli import main
from label_studio_otel.errors import ConfigError
from label_studio_otel.receiver import config_file
from label_studio_otel.receiver.settings import SERVE_SETTINGS, Limits, ServeSettings, Tls, load
from label_studio_otel.settings import SETTINGS
from label_studio_otel.settings import load as load_settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.yaml"


@pytest.fixture
def _api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")


def read(file: Path, text: str, **environ: str) -> config_file.Configuration:
    file.write_text(text, "utf-8")
    return config_file.read(file, environ)


def wrong(file: Path, text: str, **environ: str) -> list[str]:
    """Return what is said about a file, without its name."""
    with pytest.raises(ConfigError) as caught:
        read(file, text, **environ)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines), lines
    return [line.removeprefix(f"{file}:") for line in lines]


def test_a_file_has_the_settings_of_an_application_and_those_of_the_bridge(file: Path) -> None:
    found = read(
        file,
        """
label_studio:
  url: https://labels.example.com
  project_id: 7
  operations: [chat, text_completion]
  include_errors: true
serve:
  host: 0.0.0.0
  grpc_port: none
  tls: {cert_file: /tls/cert.pem, key_file: /tls/key.pem}
  limits:
    connections: 10
""",
    )

    settings = load_settings(found.label_studio, {})
    assert (settings.url, settings.project_id) == ("https://labels.example.com", 7)
    assert (settings.operations, settings.include_errors) == ({"chat", "text_completion"}, True)
    assert settings.problems == ()
    assert load({}, {}, found.serve) == ServeSettings(
        host="0.0.0.0",
        grpc_port=None,
        tls=Tls(Path("/tls/cert.pem"), Path("/tls/key.pem")),
        limits=Limits(connections=10),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "label_studio:\nserve:\n", "---\nserve: ~\n"])
def test_a_setting_that_is_not_given_has_its_default(file: Path, text: str) -> None:
    found = read(file, text)

    assert (found.label_studio, found.serve) == ({}, {})
    assert load({}, {}, found.serve) == ServeSettings()


def test_all_mistakes_are_reported_at_once_with_line_and_column(file: Path) -> None:
    assert wrong(
        file,
        """
label_studio:
  mode: chatty
  project_nme: x
  project_id: 1.5
  include_errors: maybe
  max_age: [1]
  operations: {chat: true}
  url: !here x
serve:
  prot: 1
  port: 99999
  port: 4318
  tls: {cert: x}
  limits: 5
  settle: soon
host: 0.0.0.0
token: x
1: 2
? [a]
: b
""",
    ) == [
        "3:9: label_studio.mode: it must be prompt or chat, not 'chatty'",
        "4:3: label_studio.project_nme is not known; did you mean label_studio.project_name?",
        "5:15: label_studio.project_id: it must be the number in the project's address, such as 7, not '1.5'",
        "6:19: label_studio.include_errors: it must be true or false, not 'maybe'",
        "7:12: label_studio.max_age: it must be one value, not a list or a section",
        "8:15: label_studio.operations: it must be one value, not a list or a section",
        "9:8: label_studio.url: the tag !here is not known",
        "11:3: serve.prot is not known; did you mean serve.port?",
        "12:9: serve.port: it must be a port, 0 to 65535, not '99999'",
        "13:3: serve.port stands in line 12 already",
        "14:9: serve.tls.cert is not known; did you mean serve.tls.cert_file?",
        "15:11: serve.limits must be a section with keys; known are connections, requests, body, bodies, handshake, "
        "idle, head, sending, lingering",
        "16:11: serve.settle: it must be a number of seconds, 0 or more, not 'soon'",
        "17:1: host is not known; known are label_studio, serve",
        "18:1: token is not known; known are label_studio, serve",
        "19:1: 1 is not known; known are label_studio, serve",
        "20:3: this is not known; known are label_studio, serve",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("serve: {port: 1", ["1:16: no YAML: expected ',' or '}', but got '<stream end>'"]),
        ("serve:\n  port: 1\n host: x", ["3:2: no YAML: expected <block end>, but found '<block mapping start>'"]),
        ("serve:\n\tport: 1", ["2:1: no YAML: found character '\\t' that cannot start any token"]),
        ("serve: *nobody", ["1:8: no YAML: found undefined alias 'nobody'"]),
        ("serve: {}\n---\nserve: {}", ["2:1: no YAML: but found another document"]),
        ("serve: {}\n# \x00", ["2: no YAML: special characters are not allowed"]),
        ("[" * 5000, [" it is nested too deeply"]),
        ("- serve", ["1:1: the file must be a section with keys; known are label_studio, serve"]),
        ("serve: 4318", None),
    ],
)
def test_text_that_is_no_such_yaml_is_reported_with_its_place(file: Path, text: str, said: list[str] | None) -> None:
    found = wrong(file, text)

    assert found == said or (said is None and found[0].startswith("1:8: serve must be a section with keys; known are "))


def test_a_file_that_is_missing_or_no_text_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"bridge\.yaml cannot be read: No such file"):
        config_file.read(file, {})
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bridge\.yaml cannot be read: it is no UTF-8"):
        config_file.read(file, {})


VARIABLES = {
    "STRING": "value",
    "BOOL": "true",
    "INT": "1",
    "STRUCTURE": "value\nkey: [1]",
    "REFERENCE": "${STRING}",
    "EMPTY": "",
    "NULL": "null",
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${STRING}", "value"),
        ("${env:STRING}", "value"),
        ('"${STRING}"', "value"),
        ("foo ${STRING} ${INT}", "foo value 1"),
        ("${BOOL}", "true"),
        ("${STRUCTURE}", "value\nkey: [1]"),
        ("${REFERENCE}", "${STRING}"),
        ("${MISSING:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${MISSING:-${STRING}}", "${STRING}"),
        ("${STRING:-fallback}", "value"),
        ("$${STRING}", "${STRING}"),
        ("$$${STRING}", "$value"),
        ("$$$${STRING}", "$${STRING}"),
        ("a $$ b", "a $ b"),
        ("a $ b", "a $ b"),
        ("$STRING", "$STRING"),
        ("${MISSING:-}", None),
        ("${EMPTY}", None),
        ("${NULL}", None),
        ('"${NULL}"', "null"),
        ("null", None),
        ("~", None),
        ("'null'", "null"),
        ("|\n    ${STRING}\n    <View>", "value\n<View>\n"),
    ],
)
def test_references_to_variables_are_those_of_declarative_configuration(
    file: Path, written: str, expected: str | None
) -> None:
    """The table of the specification, and what it leaves open."""
    found = read(file, f"label_studio:\n  project_name: {written}\n", **VARIABLES).label_studio

    assert found.get("project_name") == expected


def test_keys_are_no_references(file: Path) -> None:
    assert wrong(file, "${STRING}: 1", **VARIABLES) == ["1:1: ${STRING} is not known; known are label_studio, serve"]


@pytest.mark.parametrize("written", ["${1NAME}", "${A-B}", "${A B}", "${}", "${sys:A}", "${A:?no}", "${OPEN"])
def test_a_malformed_reference_is_refused(file: Path, written: str) -> None:
    assert wrong(file, f"label_studio:\n  project_name: '{written}'") == [
        "2:17: label_studio.project_name: after ${ a variable's name and } must follow; $$ stands for a dollar sign"
    ]


def test_a_variable_that_is_not_set_is_named(file: Path) -> None:
    assert wrong(file, "serve:\n  port: 1\n  host: ${HOST_OF_BRIDGE}") == [
        "3:9: serve.host: the variable HOST_OF_BRIDGE is not set; ${HOST_OF_BRIDGE:-} may be missing"
    ]


def test_no_message_shows_the_value_of_a_variable(file: Path) -> None:
    assert wrong(file, "serve:\n  port: ${SECRET}", SECRET="hunter2") == [
        "2:9: serve.port: it must be a port, 0 to 65535, not '${SECRET}'"
    ]


@pytest.mark.parametrize("written", ["abc123", "${T:-abc123}", "Bearer ${T}", "'abc123'", "$$", "{a: b}"])
@pytest.mark.parametrize("key", ["label_studio.api_key", "serve.token"])
def test_a_secret_in_the_file_is_refused_and_not_shown(file: Path, key: str, written: str) -> None:
    section, _, name = key.partition(".")
    (said,) = wrong(file, f"{section}:\n  {name}: {written}", T="x")

    assert "abc123" not in said
    assert said.endswith(
        f"use {name}_file" if written != "{a: b}" else "it must be one value, not a list or a section"
    ), said


def test_secrets_come_from_variables_or_files_and_are_not_shown(file: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    found = read(
        file,
        f"label_studio:\n  api_key: ${{KEY}}\n  api_key_file:\nserve:\n  token_file: {tmp_path}/token\n",
        KEY="from-variable",
    )

    assert found.label_studio == {"api_key": "from-variable"}
    assert found.serve == {"token": "from-file"}
    assert "from-" not in repr(found) + repr(load({}, {}, found.serve))


def test_the_file_of_a_secret_is_one_word_and_given_once(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "words").write_text("two words")
    text = (
        f"label_studio:\n  api_key: ${{K}}\n  api_key_file: {tmp_path}/words\nserve:\n  token_file: {tmp_path}/empty\n"
    )

    assert wrong(file, text, K="k") == [
        "3:17: label_studio.api_key is given twice: by itself and by label_studio.api_key_file",
        f"3:17: label_studio.api_key: {tmp_path}/words must hold one word in ASCII",
        f"5:15: serve.token: {tmp_path}/empty must hold one word in ASCII",
    ]
    assert wrong(file, f"serve:\n  token_file: {tmp_path}/none") == [
        f"2:15: serve.token: {tmp_path}/none cannot be read: No such file or directory"
    ]


@given(st.text(alphabet=st.sampled_from("abc: {}[]-&*!|>'\"%@`#,?\n\t$~0."), max_size=60))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    """It has a result, or lines that begin with the file."""
    reader = config_file._FileReader(Path("f"), {})
    reader.read(text)
    assert all(problem.startswith("f:") for problem in reader.problems)


def test_an_option_wins_over_the_environment_and_that_over_the_file() -> None:
    file = {"port": "1", "host": "file", "settle": "1"}
    environ = {"LABEL_STUDIO_OTEL_SERVE_PORT": "2", "LABEL_STUDIO_OTEL_SERVE_HOST": "environ", "PORT": "9"}

    told = load({"port": "3", "grpc_port": None}, {**environ, "LABEL_STUDIO_OTEL_SERVE_SETTLE": ""}, file)

    assert (told.port, told.host, told.settle, told.grpc_port) == (3, "environ", 1.0, 4317)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TOKEN": "a"}, "a"),
        ({"TOKEN_FILE": "FILE"}, "from-file"),
        ({"TOKEN": "a", "TOKEN_FILE": "FILE"}, "from-file"),
        ({}, "of-the-configuration"),
    ],
)
def test_the_token_of_the_environment_wins_over_that_of_the_file(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    (tmp_path / "token").write_text("from-file")
    named = {f"LABEL_STUDIO_OTEL_SERVE_{name}": value for name, value in environ.items()}
    named = {name: str(tmp_path / "token") if value == "FILE" else value for name, value in named.items()}

    assert load({}, named, {"token": "of-the-configuration"}).token == expected


def test_options_and_variables_that_cannot_be_used_are_reported_at_once() -> None:
    environ = {
        "LABEL_STUDIO_OTEL_SERVE_LIMITS_IDLE": "0",
        "LABEL_STUDIO_OTEL_SERVE_LIMITS_BODY": "-1",
        "LABEL_STUDIO_OTEL_SERVE_METRICS": "perhaps",
        "LABEL_STUDIO_OTEL_SERVE_TOKEN": "schlüssel",
    }
    with pytest.raises(ConfigError) as caught:
        load({"port": "http", "tls_key_file": "key.pem"}, environ)

    assert str(caught.value).splitlines() == [
        "--port='http' cannot be used: it must be a port, 0 to 65535",
        "LABEL_STUDIO_OTEL_SERVE_TOKEN cannot be used: it must be ASCII",
        "LABEL_STUDIO_OTEL_SERVE_METRICS='perhaps' cannot be used: it must be on, off or open",
        "LABEL_STUDIO_OTEL_SERVE_LIMITS_BODY='-1' cannot be used: it must be a whole number, 1 or more",
        "LABEL_STUDIO_OTEL_SERVE_LIMITS_IDLE='0' cannot be used: it must be a number of seconds, more than 0",
        "TLS needs a certificate and its key: --tls-cert and --tls-key",
    ]


@pytest.mark.parametrize(
    "name",
    ["connections", "requests", "body", "bodies", "handshake", "idle", "head", "sending", "lingering"],
)
def test_every_limit_has_a_variable(name: str) -> None:
    limits = load({}, {f"LABEL_STUDIO_OTEL_SERVE_LIMITS_{name.upper()}": "7"}).limits

    assert asdict(limits) == {**asdict(Limits()), name: 7}


def test_no_secret_is_an_option() -> None:
    assert [one.key for one in SERVE_SETTINGS if one.option and "token" in one.key] == ["without_token"]
    assert {f"label_studio.{name}" for name in ("api_key", "api_key_file")} < config_file.KEYS.keys()


def test_the_example_has_every_key_with_its_default() -> None:
    path = ROOT / "deploy/bridge.yaml"
    found = config_file.read(path, {})

    written = [line.strip().partition(":")[0] for line in path.read_text().splitlines()]
    assert [key for key in config_file.KEYS if key.rpartition(".")[2] not in written] == []
    plain = load_settings({}, {"HOME": "/home/me"})
    told = load_settings(found.label_studio, {"HOME": "/home/me"})
    differing = [one.key for one in SETTINGS if getattr(told, one.key) != getattr(plain, one.key)]
    assert differing == ["project_name"]
    assert told.project_name == "LangChain-%Y-%m-%d"
    assert load({}, {}, found.serve) == ServeSettings()


def check(file: Path, text: str, *options: str) -> int:
    file.write_text(text)
    return main(["serve", "--config", str(file), "--check", *options])


def test_a_check_reports_that_everything_can_be_used(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_otel.log._said", set())
    assert check(file, "serve: {port: 0}") == 0
    assert "LABEL_STUDIO_API_KEY is not set" in capsys.readouterr().err

    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    assert check(file, "serve: {port: 0}") == 0

    assert capsys.readouterr() == ("all that is set can be used\n", "")


@pytest.mark.usefixtures("_api_key")
@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("serve: {port: x}", [], "FILE:1:15: serve.port: it must be a port, 0 to 65535, not 'x'"),
        ("serve: {host: 0.0.0.0}", [], "other machines can reach 0.0.0.0"),
        ("serve: {port: 0}", ["--mode", "poem"], "mode='poem' cannot be used: it must be prompt or chat"),
        ("serve: {tls: {cert_file: /no, key_file: /no}}", [], "/no cannot be read: No such file or directory"),
    ],
)
def test_a_check_fails_and_reports_the_mistake(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, options: list[str], said: str
) -> None:
    assert check(file, text, *options) == 1

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"label-studio-otel: {said.replace('FILE', str(file))}")


def test_mistakes_are_logged_as_json_where_that_is_set(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(file, "serve: {port: x}", "--log-format", "json") == 1

    said: dict[str, Any] = json.loads(capsys.readouterr().err)
    timestamp = said.pop("timestamp")
    assert (len(timestamp), timestamp[-1]) == (27, "Z")
    assert said == {
        "severity_text": "ERROR",
        "severity_number": 17,
        "body": f"{file}:1:15: serve.port: it must be a port, 0 to 65535, not 'x'",
        "logger": "label_studio_otel",
    }
