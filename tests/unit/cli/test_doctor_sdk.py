"""`doctor` on the variables of OpenTelemetry's SDK; what ends all tracing is what the SDK really refuses."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from label_studio_otel.cli.doctor import sdk
from support.examined import OPENINFERENCE, set_up, told


def test_a_disabled_sdk() -> None:
    assert told(sdk.disabled, set_up(environ={"OTEL_SDK_DISABLED": "True"})) == snapshot(
        ["error: OTEL_SDK_DISABLED=true: there are no spans at all → unset OTEL_SDK_DISABLED"]
    )
    assert told(sdk.disabled, set_up()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "unset"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "1.5"),
    ],
)
def test_a_limit_that_the_sdk_refuses_ends_all_tracing(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = sdk.limits(set_up(environ={variable: value}))
    assert (finding.level, finding.fix) == ("error", f"unset {variable}")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=variable):
        SpanLimits()


@pytest.mark.parametrize(
    ("environ", "attributes"),
    [
        ({}, 128),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": ""}, 128),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "200"}, 200),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "300"}, 300),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ""}, None),
    ],
)
def test_the_default_limit_suffices_where_messages_are_one_attribute(
    environ: dict[str, str], attributes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = "any number of" if attributes is None else attributes
    assert told(sdk.limits, set_up(environ=environ)) == [f"ok: a span keeps {number} attributes"]
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert SpanLimits().max_span_attributes == attributes


def test_a_low_count_limit_drops_the_first_messages() -> None:
    assert told(sdk.limits, set_up(environ={"OTEL_ATTRIBUTE_COUNT_LIMIT": "32"})) == snapshot(
        [
            (
                "warning: a span keeps 32 attributes; the SDK drops the first ones, the system message "
                "before all → export OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1000"
            )
        ]
    )


def test_flat_attributes_need_more_than_the_default() -> None:
    assert told(sdk.limits, set_up(OPENINFERENCE)) == snapshot(
        [
            (
                "warning: a span keeps 128 attributes (openinference-instrumentation-langchain writes "
                "several for each message); the SDK drops the first ones, the system message before all "
                "→ export OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1000"
            )
        ]
    )
    enough = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1000", "OTEL_ATTRIBUTE_COUNT_LIMIT": "5"}
    assert told(sdk.limits, set_up(OPENINFERENCE, environ=enough)) == snapshot(["ok: a span keeps 1000 attributes"])


def test_a_length_limit_cuts_messages() -> None:
    (_, finding) = sdk.limits(set_up(environ={"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4096"}))
    assert (finding.level, finding.fix) == ("warning", "unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")


@pytest.mark.parametrize(
    ("name", "argument", "lines"),
    [
        ("", "", []),
        ("parentbased_always_on", "", []),
        ("traceidratio", "1.0", []),
        ("traceidratio", "a tenth", []),
        (
            "always_off",
            "",
            ["error: OTEL_TRACES_SAMPLER=always_off: no call is recorded → unset OTEL_TRACES_SAMPLER"],
        ),
    ],
)
def test_samplers_that_take_all_or_nothing(name: str, argument: str, lines: list[str]) -> None:
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert told(sdk.sampler, set_up(environ=environ)) == lines


def test_a_sampler_below_all() -> None:
    environ = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    assert told(sdk.sampler, set_up(environ=environ)) == snapshot(
        [
            (
                "warning: OTEL_TRACES_SAMPLER=parentbased_traceidratio records 10.00% of the traces; the "
                "other calls never become tasks → unset OTEL_TRACES_SAMPLER, and sample behind the "
                "application (tail sampling) where traces are too many"
            )
        ]
    )


def test_samplers_that_the_sdk_replaces() -> None:
    assert told(sdk.sampler, set_up(environ={"OTEL_TRACES_SAMPLER": "often"})) == snapshot(
        [
            (
                "warning: OTEL_TRACES_SAMPLER=often is not known here; the SDK takes every call instead "
                "→ unset OTEL_TRACES_SAMPLER"
            )
        ]
    )
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10"}
    assert told(sdk.sampler, set_up(environ=environ)) == snapshot(
        [
            (
                "warning: OTEL_TRACES_SAMPLER_ARG=10 is not between 0 and 1; the SDK takes every call "
                "instead → unset OTEL_TRACES_SAMPLER"
            )
        ]
    )


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        ({}, []),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "512"}, []),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "few"}, []),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "500"},
            [
                "error: the batch (512) is larger than the queue (500): the SDK raises, which ends all tracing → "
                "export OTEL_BSP_MAX_EXPORT_BATCH_SIZE=500"
            ],
        ),
        (
            {"OTEL_BSP_SCHEDULE_DELAY": "0"},
            [
                "error: an OTEL_BSP_ variable is 0 or less: the SDK raises, which ends all tracing → "
                "unset OTEL_BSP_MAX_QUEUE_SIZE OTEL_BSP_MAX_EXPORT_BATCH_SIZE OTEL_BSP_SCHEDULE_DELAY"
            ],
        ),
    ],
)
def test_batch_sizes_are_an_error_where_the_sdk_raises(
    environ: dict[str, str], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(sdk.batch_processor, set_up(environ=environ)) == lines
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if lines:
        with pytest.raises(ValueError, match="must be"):
            BatchSpanProcessor(InMemorySpanExporter())
    else:
        BatchSpanProcessor(InMemorySpanExporter()).shutdown()
