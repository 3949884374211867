"""Settings: which source wins; a value that cannot be used is reported, and reading never raises."""

from __future__ import annotations

import builtins
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.settings import (
    SETTINGS,
    Destination,
    SettingsArguments,
    directory_name,
    documents_settings,
    labeling_config,
    load,
)
from label_studio_otel.settings.readers import normalized_url

if TYPE_CHECKING:
    from collections.abc import Iterator

#: 2026-01-01T12:00:00Z
NOON = 1767268800_000_000_000


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_defaults_are_those_of_the_callback_handler() -> None:
    settings = load({}, {"HOME": "/home/me"})
    assert settings.url == "http://localhost:8080"
    assert settings.api_key is None
    assert (settings.project_id, settings.project_name, settings.project_config) == (None, None, None)
    assert settings.mode == "prompt"
    assert settings.state_dir == Path("/home/me/.local/state/label-studio-otel")
    assert settings.delivery == "thread"
    assert settings.shutdown_timeout == 2.0
    assert settings.include_errors is False
    assert settings.operations is None
    assert settings.trace_link is None
    assert settings.uncertain_wait == 900.0
    assert settings.flush == "durable"
    assert settings.max_state_bytes == 1073741824
    assert settings.max_age == 0.0
    assert settings.problems == ()


@pytest.mark.parametrize(
    ("variable", "value", "name", "read"),
    [
        ("LABEL_STUDIO_URL", "https://labels.example.com/", "url", "https://labels.example.com"),
        ("LABEL_STUDIO_API_KEY", " token\n", "api_key", "token"),
        ("LABEL_STUDIO_PROJECT_ID", "7", "project_id", 7),
        ("LABEL_STUDIO_OTEL_PROJECT_NAME", "Mine", "project_name", "Mine"),
        ("LABEL_STUDIO_OTEL_PROJECT_CONFIG", "/a.xml", "project_config", "/a.xml"),
        ("LABEL_STUDIO_OTEL_MODE", "Chat", "mode", "chat"),
        ("LABEL_STUDIO_OTEL_STATE_DIR", "/state", "state_dir", Path("/state")),
        ("LABEL_STUDIO_OTEL_DELIVERY", "off", "delivery", "off"),
        ("LABEL_STUDIO_OTEL_SHUTDOWN_TIMEOUT", "0.5", "shutdown_timeout", 0.5),
        ("LABEL_STUDIO_OTEL_INCLUDE_ERRORS", "True", "include_errors", True),
        (
            "LABEL_STUDIO_OTEL_OPERATIONS",
            "chat, text_completion,",
            "operations",
            frozenset({"chat", "text_completion"}),
        ),
        (
            "LABEL_STUDIO_OTEL_TRACE_LINK",
            "http://localhost:16686/trace/{trace_id}?uiFind={span_id}",
            "trace_link",
            "http://localhost:16686/trace/{trace_id}?uiFind={span_id}",
        ),
        ("LABEL_STUDIO_OTEL_UNCERTAIN_WAIT", "60", "uncertain_wait", 60.0),
        ("LABEL_STUDIO_OTEL_FLUSH", "Delivered", "flush", "delivered"),
        ("LABEL_STUDIO_OTEL_MAX_STATE_BYTES", "0", "max_state_bytes", 0),
        ("LABEL_STUDIO_OTEL_MAX_AGE", "86400", "max_age", 86400.0),
    ],
)
def test_every_setting_has_a_variable(variable: str, value: str, name: str, read: object) -> None:
    settings = load({}, {"HOME": "/home/me", variable: value})
    assert getattr(settings, name) == read
    assert settings.problems == ()


@pytest.mark.parametrize(
    "template",
    [
        "http://localhost:16686/trace/{trace_id}?uiFind={span_id}",
        "https://ui.honeycomb.io/acme/environments/prod/trace?trace_id={trace_id}&span={span_id}",
        "https://[::1]:3000/explore?left=%7B%22queryType%22:%22traceql%22%7D&t={trace_id}#{span_id}",
        "http://jaeger/{trace_id}",
        f"http://jaeger/{'a' * 975}/{{trace_id}}",
    ],
)
def test_a_trace_link_is_used_as_it_is_written(template: str) -> None:
    settings = load({"trace_link": f" {template}\n"}, {})
    assert (settings.trace_link, settings.problems) == (template, ())


NO_URL = "it must be a URL such as http://localhost:16686/trace/{trace_id}"
NO_FORM = "it must have {trace_id}, may have {span_id}, and anything else as it stands in a URL"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("javascript:alert('{trace_id}')", NO_URL),
        ("ftp://jaeger/{trace_id}", NO_URL),
        ("jaeger/trace/{trace_id}", NO_URL),
        ("http:///trace/{trace_id}", NO_URL),
        ("http://{trace_id}.example.com/", NO_URL),
        ("http://jaeger/trace/{span_id}", NO_FORM),
        ("http://jaeger/trace/", NO_FORM),
        ("http://jaeger/{trace_id}/{session_id}", NO_FORM),
        ("http://jaeger/{{trace_id}}", NO_FORM),
        ("http://jaeger/{trace_id}?{", NO_FORM),
        ('http://jaeger/{trace_id}"onclick="alert(1)', NO_FORM),
        ("http://jaeger/{trace_id}<b>", NO_FORM),
        ("http://jaeger/{trace_id} x", NO_FORM),
        ("http://jaeger/{trace_id}/ä", NO_FORM),
        ("http://jaeger:seven/{trace_id}", "Port could not be cast to integer value as 'seven'"),
        (f"http://jaeger/{'a' * 976}/{{trace_id}}", "it must be 1000 characters long at most"),
    ],
)
def test_a_trace_link_that_is_no_url_with_a_trace_id_is_refused(template: str, problem: str) -> None:
    settings = load({}, {"LABEL_STUDIO_OTEL_TRACE_LINK": template})
    assert settings.trace_link is None
    assert settings.problems == (
        f"LABEL_STUDIO_OTEL_TRACE_LINK={template[:80]!r} cannot be used: {problem}; using None",
    )


def test_a_trace_link_with_a_password_is_refused_and_the_password_is_not_logged() -> None:
    settings = load({"trace_link": "https://ann:s3cret@jaeger/trace/{trace_id}"}, {})
    assert settings.trace_link is None
    assert settings.problems == (
        "trace_link='https://jaeger/trace/{trace_id}' cannot be used: "
        "it must be without user and password, as every labeler sees it; using None",
    )


def test_an_argument_wins_over_a_variable_and_a_variable_over_the_default() -> None:
    environ = {"LABEL_STUDIO_URL": "http://variable", "LABEL_STUDIO_OTEL_MODE": "chat"}
    settings = load({"url": "http://argument", "mode": None}, environ)
    assert (settings.url, settings.mode) == ("http://argument", "chat")


def test_an_empty_variable_is_not_set() -> None:
    settings = load({"project_name": ""}, {"LABEL_STUDIO_URL": "", "LABEL_STUDIO_PROJECT_ID": ""})
    assert (settings.url, settings.project_id, settings.project_name) == ("http://localhost:8080", None, None)
    assert settings.problems == ()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            {"url": "ftp://x"},
            "url='ftp://x' cannot be used: it must be a URL such as http://localhost:8080; "
            "using 'http://localhost:8080'",
        ),
        (
            {"url": "http://"},
            "url='http://' cannot be used: it must be a URL such as http://localhost:8080; "
            "using 'http://localhost:8080'",
        ),
        ({"url": 7}, "url='7' cannot be used: it must be text; using 'http://localhost:8080'"),
        (
            {"project_id": "seven"},
            "project_id='seven' cannot be used: it must be the number in the project's address, such as 7; using None",
        ),
        (
            {"project_id": 0},
            "project_id='0' cannot be used: it must be the number in the project's address, such as 7; using None",
        ),
        (
            {"project_id": True},
            "project_id='True' cannot be used: it must be the number in the project's address, such as 7; using None",
        ),
        ({"mode": "essay"}, "mode='essay' cannot be used: it must be prompt or chat; using 'prompt'"),
        ({"delivery": "maybe"}, "delivery='maybe' cannot be used: it must be thread or off; using 'thread'"),
        ({"flush": "sent"}, "flush='sent' cannot be used: it must be durable or delivered; using 'durable'"),
        (
            {"max_state_bytes": "1 GiB"},
            "max_state_bytes='1 GiB' cannot be used: it must be a number of bytes, 0 or more; using 1073741824",
        ),
        ({"max_age": -1}, "max_age='-1' cannot be used: it must be a number of seconds, 0 or more; using 0.0"),
        (
            {"shutdown_timeout": "-1"},
            "shutdown_timeout='-1' cannot be used: it must be a number of seconds, 0 or more; using 2.0",
        ),
        (
            {"shutdown_timeout": "nan"},
            "shutdown_timeout='nan' cannot be used: it must be a number of seconds, 0 or more; using 2.0",
        ),
        (
            {"include_errors": "perhaps"},
            "include_errors='perhaps' cannot be used: it must be true or false; using False",
        ),
        (
            {"operations": [1]},
            "operations='[1]' cannot be used: it must be names such as chat, text_completion; using None",
        ),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_used_is_reported_and_replaced_by_the_default(
    arguments: dict[str, Any], problem: str
) -> None:
    assert load(arguments, {}).problems == (problem,)


def test_the_problem_names_the_variable_that_holds_the_value() -> None:
    (problem,) = load({}, {"LABEL_STUDIO_OTEL_MODE": "essay"}).problems
    assert problem.startswith("LABEL_STUDIO_OTEL_MODE='essay' cannot be used")


def test_where_an_argument_cannot_be_used_the_variable_is_used() -> None:
    assert load({"mode": "essay"}, {"LABEL_STUDIO_OTEL_MODE": "chat"}).mode == "chat"


def test_a_project_id_is_at_most_the_largest_integer_of_a_database() -> None:
    assert load({"project_id": "9223372036854775807"}, {}).project_id == 9223372036854775807
    assert load({"project_id": "9223372036854775808"}, {}).project_id is None


def test_infinity_a_boolean_and_a_number_above_the_largest_are_refused() -> None:
    settings = load({"project_id": float("inf"), "max_task_bytes": True, "max_age": "1e10"}, {})
    assert (settings.project_id, settings.max_task_bytes, settings.max_age) == (None, 1048576, 0.0)
    assert len(settings.problems) == 3


def test_an_object_that_raises_any_error_is_reported_and_replaced_by_the_default() -> None:
    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise RuntimeError("broken")

        def __eq__(self, _: object) -> bool:
            raise RuntimeError("broken")

        __hash__ = None  # type: ignore[assignment]

        def __repr__(self) -> str:
            return "Broken"

    assert load({"operations": Broken()}, {}).problems == ("operations='Broken' cannot be used: broken; using None",)


def test_an_object_without_a_text_is_named_by_its_type() -> None:
    class Broken:
        def __str__(self) -> str:
            raise BrokenError

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert load({"url": Broken(), "mode": Broken()}, {}).problems == (
        "url='Broken' cannot be used: it must be text; using 'http://localhost:8080'",
        "mode='Broken' cannot be used: BrokenError; using 'prompt'",
    )


def test_a_text_whose_length_cannot_be_asked_is_replaced_by_the_default() -> None:
    class Broken(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise RuntimeError("broken")

    assert load({"mode": Broken("essay")}, {}).problems == ("mode='essay' cannot be used: broken; using 'prompt'",)


@pytest.mark.parametrize("directory", ["/state\0", "/state\ud800"])
def test_a_state_directory_that_no_file_system_can_hold_is_refused(directory: str) -> None:
    settings = load({"state_dir": directory}, {"HOME": "/home/user"})
    assert settings.state_dir == Path("/home/user/.local/state/label-studio-otel")
    assert len(settings.problems) == 1


def test_a_long_text_that_cannot_be_used_takes_no_longer_than_a_short_one() -> None:
    (problem,) = load({"mode": "user:password@" + "x" * 1_000_000}, {}).problems  # it took minutes
    assert problem == f"mode='{'x' * 80}' cannot be used: it must be prompt or chat; using 'prompt'"


def test_a_variable_wins_over_a_file() -> None:
    settings = load({}, {"LABEL_STUDIO_OTEL_MODE": "chat"}, {"mode": "prompt", "delivery": "off"})
    assert (settings.mode, settings.delivery) == ("chat", "off")


def test_the_arguments_have_the_names_of_the_settings() -> None:
    assert list(SettingsArguments.__annotations__) == [one.key for one in SETTINGS]


def test_the_help_of_a_class_lists_each_setting_with_its_variable_and_default() -> None:
    @documents_settings
    class Documented:
        """Takes settings."""

    lines = (Documented.__doc__ or "").splitlines()
    assert [line.strip().partition(":")[0] for line in lines[3:-1:2]] == [one.key for one in SETTINGS]
    assert lines[3:5] == [
        "        url: base URL of Label Studio, with a path where it has one",
        "            (`LABEL_STUDIO_URL`, default: `http://localhost:8080`)",
    ]
    assert "            (`LABEL_STUDIO_OTEL_MAX_AGE`, default: `0`, shared)" in lines


def test_a_class_without_a_docstring_has_none_afterwards() -> None:
    assert documents_settings(type("Bare", (), {})).__doc__ is None


def test_unknown_settings_are_reported_and_ignored() -> None:
    (problem,) = load({"labels": 1, "colour": 2}, {}).problems
    assert problem.startswith("unknown settings colour, labels ignored; known are api_key, delivery, ")


def test_a_secret_is_never_shown() -> None:
    settings = load({"api_key": ["s3cret"]}, {"LABEL_STUDIO_API_KEY": "s3cret"})
    assert settings.api_key == "s3cret"
    assert "s3cret" not in repr(settings)
    assert settings.problems == ("api_key cannot be used: it must be text; using None",)


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@labels.example.com", "me:s3cret@labels.example.com", "http://me:s3cret@x:y"]
)
def test_user_and_password_are_removed_from_the_url(url: str) -> None:
    settings = load({"url": url}, {})
    assert "s3cret" not in repr(settings)
    assert settings.url in ("http://labels.example.com", "http://localhost:8080")


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "url",
                "api_key",
                "project_id",
                "project_name",
                "mode",
                "state_dir",
                "delivery",
                "operations",
                "shutdown_timeout",
                "include_errors",
                "uncertain_wait",
                "flush",
                "max_state_bytes",
                "max_age",
                "project_config",
                "other",
            ]
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.integers()),
    )
)
def test_reading_settings_never_raises(arguments: dict[str, Any]) -> None:
    settings = load(arguments, {})
    settings.destination(NOON)
    assert settings.directory.is_absolute()


def test_reading_settings_uses_neither_disk_nor_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("touched")

    for owner, name in ((builtins, "open"), (os, "open"), (os, "mkdir"), (os, "stat"), (socket, "socket")):
        monkeypatch.setattr(owner, name, refuse)
    settings = load({"project_config": "config.xml", "url": "http://labels.example.com"}, {"HOME": "/home/me"})
    _ = settings.directory
    monkeypatch.undo()
    assert settings.problems == ()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("labels.example.com", "http://labels.example.com"),
        ("HTTPS://Labels.Example.com/Label-Studio/", "https://labels.example.com/Label-Studio"),
        ("http://host:8080//", "http://host:8080"),
        (" http://host ", "http://host"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_two_spellings_of_a_url_become_one(given: str, url: str) -> None:
    assert normalized_url(given) == url


def test_each_server_has_a_directory_of_its_own() -> None:
    urls = ["http://host:8080", "http://host:8081", "https://host:8080", "http://host:8080/a", "http://host-8080"]
    names = [directory_name(url) for url in urls]
    assert len(set(names)) == 5
    assert names[0] == "host-8080-52687e4c"
    assert all(name.replace("-", "").replace(".", "").isalnum() for name in names)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/label-studio-otel"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/xdg"}, "/xdg/label-studio-otel"),
        ({"HOME": "/home/me", "LABEL_STUDIO_OTEL_STATE_DIR": "/mine"}, "/mine"),
    ],
)
def test_the_state_directory_is_the_setting_or_below_xdg_or_home(environ: dict[str, str], directory: str) -> None:
    assert load({}, environ).state_dir == Path(directory)


@pytest.mark.parametrize("environ", [{}, {"HOME": "relative"}, {"XDG_STATE_HOME": "relative"}])
def test_without_a_home_the_state_directory_is_in_the_temporary_one(environ: dict[str, str]) -> None:
    assert load({}, environ).state_dir.name == f"label-studio-otel-{os.getuid()}"


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("name", "title"),
    [
        (None, "LangChain-2026-01-01"),
        ("Mine", "Mine"),
        ("Week %V of %Y", "Week 01 of 2026"),
        ("100 %", "100 %"),
    ],
)
def test_directives_in_a_project_name_are_the_date_of_the_call(name: str | None, title: str) -> None:
    destination = load({"project_name": name}, {}).destination(NOON)
    assert destination == Destination(title, default_name=name is None)


def test_a_destination_holds_no_secret() -> None:
    assert "s3cret" not in repr(load({"api_key": "s3cret"}, {}).destination(NOON))


def test_a_labeling_config_is_xml_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text("<View>\u00fc</View>", "utf-8")
    assert labeling_config(str(tmp_path / "config.xml")) == "<View>\u00fc</View>"
    assert labeling_config(" <View/>") == " <View/>"
    assert labeling_config(None) is None
    with pytest.raises(FileNotFoundError):
        labeling_config("missing.xml")
