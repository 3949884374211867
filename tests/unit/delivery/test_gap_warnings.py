"""The log gets each kind of gap once for each instrumentation, with the setting that mends it."""

from __future__ import annotations

import pytest

from label_studio_otel import log
from label_studio_otel.delivery.gap_warnings import GapWarnings
from label_studio_otel.generation import Gap
from label_studio_otel.reading import gaps


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_said", set())


def test_each_kind_of_gap_is_logged_once_for_each_instrumentation(caplog: pytest.LogCaptureFixture) -> None:
    warnings = GapWarnings()
    warnings.warn("openinference", (gaps.attributes_dropped(12), gaps.truncated("input.value")))
    warnings.warn("openinference", (gaps.attributes_dropped(13),))
    warnings.warn("", (gaps.attributes_dropped(14),))

    assert [record.getMessage() for record in caplog.records] == [
        "label-studio-otel: LLM calls recorded by 'openinference' are incomplete: 12 attributes of the span were "
        "dropped by the application's OpenTelemetry SDK (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
        "label-studio-otel: LLM calls recorded by 'openinference' are incomplete: input.value ends in the middle of "
        "its JSON: a length limit of the application's OpenTelemetry SDK cut it (OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT or "
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT).",
        "label-studio-otel: LLM calls recorded by an instrumentation without a name are incomplete: 14 attributes of "
        "the span were dropped by the application's OpenTelemetry SDK (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT).",
    ]


@pytest.mark.parametrize(
    "gap",
    [
        gaps.content_not_captured("set TRACELOOP_TRACE_CONTENT=true"),
        gaps.events_dropped(3),
        gaps.LOG_EVENTS_MISSING,
        gaps.redacted("A message", "OPENINFERENCE_HIDE_INPUTS"),
    ],
)
def test_a_gap_that_a_setting_can_mend_is_logged(caplog: pytest.LogCaptureFixture, gap: Gap) -> None:
    warnings = GapWarnings()
    warnings.warn("openai", (gap,))

    assert [record.getMessage().endswith(gap.sentence) for record in caplog.records] == [True]


@pytest.mark.parametrize("gap", [gaps.NO_OUTPUT, gaps.choices_missing(2, 1), Gap("of_a_plugin", "secret")])
def test_a_gap_that_no_setting_can_mend_is_not_logged(caplog: pytest.LogCaptureFixture, gap: Gap) -> None:
    warnings = GapWarnings()
    warnings.warn("openai", (gap,))

    assert caplog.records == []


def test_the_name_of_an_instrumentation_is_quoted_and_cut(caplog: pytest.LogCaptureFixture) -> None:
    warnings = GapWarnings()
    warnings.warn("x\nlabel-studio-otel: all LLM calls were delivered", (gaps.events_dropped(3),))
    warnings.warn("y", (gaps.redacted("z\x1b[2J\u2028w", "OPENINFERENCE_HIDE_INPUTS"),))
    warnings.warn("n" * 5000, (gaps.events_dropped(3),))

    messages = [record.getMessage() for record in caplog.records]
    assert "recorded by 'x\\nlabel-studio-otel: all LLM calls were delivered' are incomplete: " in messages[0]
    assert "incomplete: z\\x1b[2J\\u2028w was replaced" in messages[1]
    assert f"recorded by '{'n' * 100}'… are incomplete" in messages[2]


def test_twenty_instrumentations_are_named_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    warnings = GapWarnings()
    for number in range(1000):
        warnings.warn(f"s{number}", (gaps.events_dropped(3),))
    warnings.warn("s7", (gaps.events_dropped(3), gaps.LOG_EVENTS_MISSING))

    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 22
    assert messages[20].startswith(
        "label-studio-otel: LLM calls recorded by more than 20 instrumentations are incomplete, and no more are named: "
    )
    assert "'s7'" in messages[21]
    assert len(log._said) == 22
