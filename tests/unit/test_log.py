"""What a user must know is said once, in one line."""

from __future__ import annotations

import logging

import pytest

from label_studio_otel import log


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(log, "_said", set())
    caplog.set_level(logging.INFO, "label_studio_otel")
    return caplog


def _lines(said: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    return [(entry.name, entry.levelname, entry.getMessage()) for entry in said.records]


def test_a_warning_is_said_once_per_topic(said: pytest.LogCaptureFixture) -> None:
    log.warn_once("disk", "the disk is full")
    log.warn_once("disk", "the disk is still full")
    log.warn_once("token", "the token is wrong")
    assert _lines(said) == [
        ("label_studio_otel", "WARNING", "label-studio-otel: the disk is full"),
        ("label_studio_otel", "WARNING", "label-studio-otel: the token is wrong"),
    ]


def test_what_was_mended_may_be_said_again(said: pytest.LogCaptureFixture) -> None:
    log.warn_once("disk", "full")
    log.resolved("disk", "the disk has room again")
    log.resolved("disk", "the disk has room again")
    log.warn_once("disk", "full")
    assert [line for *_, line in _lines(said)] == [
        "label-studio-otel: full",
        "label-studio-otel: the disk has room again",
        "label-studio-otel: full",
    ]


def test_nothing_is_mended_that_was_not_said_to_be_broken(said: pytest.LogCaptureFixture) -> None:
    log.resolved("disk", "the disk has room again")
    assert said.records == []


def test_what_happened_is_said_as_often_as_it_happens_and_not_remembered(said: pytest.LogCaptureFixture) -> None:
    for number in (3, 5):
        log.warning(f"{number} calls of %d were given up")
    assert _lines(said) == [
        ("label_studio_otel", "WARNING", "label-studio-otel: 3 calls of %d were given up"),
        ("label_studio_otel", "WARNING", "label-studio-otel: 5 calls of %d were given up"),
    ]
    assert log._said == set()


def test_so_many_warnings_are_remembered_and_no_more(
    said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_TOPICS", 3)
    for number in range(5):
        log.warn_once(f"scope {number}", f"{number} is incomplete")
        log.warn_once(f"scope {number}", f"{number} is incomplete")
    assert [line for *_, line in _lines(said)] == [f"label-studio-otel: {number} is incomplete" for number in range(5)]
    assert len(log._said) == 3


def test_a_message_is_no_format_string(said: pytest.LogCaptureFixture) -> None:
    log.warn_once("disk", "100 %s full")
    log.info("100 %d full")
    assert [line for *_, line in _lines(said)] == [
        "label-studio-otel: 100 %s full",
        "label-studio-otel: 100 %d full",
    ]


def test_an_unexpected_error_is_named_without_its_message() -> None:
    def fail() -> None:
        raise ValueError("secret")

    with pytest.raises(ValueError, match="secret") as raised:
        fail()
    kind = log.kind(raised.value)
    assert kind.startswith("ValueError in fail, line ")
    assert "secret" not in kind
    assert log.kind(KeyError("secret")) == "KeyError"


def test_a_message_is_one_line_whatever_it_names(said: pytest.LogCaptureFixture) -> None:
    log.warn_once("a\nb", "c\nd\x1b[31m\u202e")
    log.resolved("a\nb", "a\nb")
    log.info("e\r\nf")
    log.error("g\u2028h\ud800")
    assert [line for *_, line in _lines(said)] == [
        "label-studio-otel: c\\nd\\x1b[31m\\u202e",
        "label-studio-otel: a\\nb",
        "label-studio-otel: e\\r\\nf",
        "label-studio-otel: g\\u2028h\\ud800",
    ]


def test_a_message_has_at_most_2000_characters() -> None:
    assert log.one_line("é" * 2000) == "é" * 2000
    assert log.one_line("é" * 2001) == "é" * 2000 + "…"
