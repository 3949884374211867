"""`doctor` on what makes spans of LLM calls, and on what they hold."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot

from label_studio_otel.cli.doctor import content
from label_studio_otel.cli.doctor.installation import Package, installed
from label_studio_otel.cli.doctor.instrumentation import instrumentations
from support.examined import (
    DISTRO,
    INSTRUMENTOR,
    LANGCHAIN,
    LANGCHAIN_CORE,
    OPENINFERENCE,
    OPENLLMETRY,
    package,
    set_up,
    told,
)

if TYPE_CHECKING:
    from pathlib import Path

OPENAI = package("openai")
OPENAI_V2 = package(
    "opentelemetry-instrumentation-openai-v2",
    requires=("opentelemetry-util-genai>=0.4b0.dev", "openai>=1.26.0; extra == 'instruments'"),
    opentelemetry_instrumentor="openai",
)
GEN_AI = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def test_an_instrumentation_that_is_missing_is_named_by_the_library_that_is_there() -> None:
    assert told(instrumentations, set_up(DISTRO, LANGCHAIN_CORE, OPENAI)) == snapshot(
        [
            (
                "error: langchain-core is installed and nothing instruments it: there are no spans of "
                "its LLM calls → pip install opentelemetry-instrumentation-langchain"
            )
        ]
    )
    assert told(instrumentations, set_up(DISTRO, OPENAI)) == snapshot(
        [
            (
                "error: openai is installed and nothing instruments it: there are no spans of its LLM "
                "calls → pip install opentelemetry-instrumentation-openai"
            )
        ]
    )


def test_no_library_at_all_is_a_warning() -> None:
    assert told(instrumentations, set_up(DISTRO)) == snapshot(
        [
            (
                "warning: no library that calls LLMs was found here: spans of LLM calls can only come "
                "from the application's own code → run this with the application's Python, or install "
                "the instrumentation of the library that it uses"
            )
        ]
    )


def test_langchain_must_be_installed_beside_langchain_core() -> None:
    assert told(instrumentations, set_up(OPENLLMETRY, LANGCHAIN_CORE)) == snapshot(
        [
            (
                "error: opentelemetry-instrument skips opentelemetry-instrumentation-langchain, because "
                "langchain is not installed; langchain-core alone is not enough → pip install "
                '"langchain"'
            )
        ]
    )
    assert told(instrumentations, set_up(OPENLLMETRY, LANGCHAIN_CORE, LANGCHAIN)) == snapshot(
        ["ok: opentelemetry-instrumentation-langchain 1.0 instruments langchain-core"]
    )


def test_code_that_instruments_does_not_need_langchain_itself() -> None:
    assert [one.level for one in instrumentations(set_up(OPENLLMETRY, LANGCHAIN_CORE, in_code=True))] == ["ok"]


def test_a_library_that_is_too_old_for_its_instrumentation() -> None:
    assert told(instrumentations, set_up(OPENAI_V2, package("openai", "1.0"))) == snapshot(
        [
            (
                "error: opentelemetry-instrument skips opentelemetry-instrumentation-openai-v2, because "
                'openai>=1.26.0 is not installed → pip install "openai>=1.26.0"'
            )
        ]
    )


def test_an_instrumentation_that_cannot_be_imported_is_left_out() -> None:
    point = EntryPoint("openai", "no_such_module.inside:Instrumentor", INSTRUMENTOR)
    broken = Package("opentelemetry-instrumentation-openai", entry_points=(point,))
    assert told(instrumentations, set_up(broken, OPENAI)) == snapshot(
        [
            (
                "error: opentelemetry-instrumentation-openai cannot be imported (ModuleNotFoundError: No "
                "module named 'no_such_module'), so opentelemetry-instrument leaves it out → pip install "
                "no_such_module"
            )
        ]
    )


def test_one_of_several_libraries_suffices_where_the_instrumentation_says_so() -> None:
    either = package(
        "opentelemetry-instrumentation-cohere",
        requires=("cohere>=9; extra == 'instruments-any'", "cohere-aws; extra == 'instruments-any'"),
        opentelemetry_instrumentor="cohere",
    )
    assert [one.fix for one in instrumentations(set_up(either, package("cohere")))] == ['pip install "cohere>=9"']
    both = set_up(either, package("cohere"), package("cohere-aws"))
    assert [one.level for one in instrumentations(both)] == ["ok"]


def test_two_instrumentations_of_one_library() -> None:
    assert told(instrumentations, set_up(LANGCHAIN, LANGCHAIN_CORE, OPENLLMETRY, OPENINFERENCE)) == snapshot(
        [
            "ok: opentelemetry-instrumentation-langchain 1.0 instruments langchain-core",
            "ok: openinference-instrumentation-langchain 1.0 instruments langchain-core",
            (
                "error: langchain-core is instrumented 2 times (opentelemetry-instrumentation-langchain, "
                "openinference-instrumentation-langchain): each call has as many spans, in traces of "
                "their own, and may become as many tasks → pip uninstall "
                "openinference-instrumentation-langchain"
            ),
        ]
    )


@pytest.mark.parametrize("value", ["langchain", "requests, langchain", "*"])
def test_an_instrumentation_that_is_switched_off(value: str) -> None:
    environ = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": value}
    (finding,) = instrumentations(set_up(LANGCHAIN, LANGCHAIN_CORE, OPENLLMETRY, environ=environ))
    word = "*" if value == "*" else "langchain"
    assert (finding.level, finding.fix) == ("warning", f"take {word} out of OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")


@pytest.mark.parametrize("value", ["false", "1", "yes"])
def test_openllmetry_captures_content_for_the_value_true_only(value: str) -> None:
    (finding,) = content.traceloop(set_up(OPENLLMETRY, environ={"TRACELOOP_TRACE_CONTENT": value}))
    assert (finding.level, finding.fix) == ("error", "export TRACELOOP_TRACE_CONTENT=true")


@pytest.mark.parametrize("environ", [{}, {"TRACELOOP_TRACE_CONTENT": ""}, {"TRACELOOP_TRACE_CONTENT": "True"}])
def test_openllmetry_captures_content_by_default(environ: dict[str, str]) -> None:
    assert [one.level for one in content.traceloop(set_up(OPENLLMETRY, environ=environ))] == ["ok"]


def test_the_switch_of_an_instrumentation_that_is_not_there_does_not_matter() -> None:
    environ = {"TRACELOOP_TRACE_CONTENT": "false", GEN_AI: "no", "OPENINFERENCE_HIDE_INPUTS": "true"}
    examined = set_up(OPENAI, environ=environ)
    assert [told(check, examined) for check in (content.traceloop, content.gen_ai, content.openinference)] == [[]] * 3


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (
            "",
            snapshot(
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT is not set: spans of "
                "opentelemetry-instrumentation-openai-v2 hold no messages"
            ),
        ),
        (
            "no_content",
            snapshot(
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=no_content: spans of "
                "opentelemetry-instrumentation-openai-v2 hold no messages"
            ),
        ),
        (
            "true",
            snapshot(
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true is no word that "
                "opentelemetry-instrumentation-openai-v2 knows: it captures nothing"
            ),
        ),
        (
            "spans",
            snapshot(
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=spans is no word that "
                "opentelemetry-instrumentation-openai-v2 knows: it captures nothing"
            ),
        ),
    ],
)
def test_the_genai_instrumentations_capture_content_for_their_own_values_only(value: str, met: str) -> None:
    (finding,) = content.gen_ai(
        set_up(OPENAI_V2, package("opentelemetry-util-genai", "1.3b0"), environ={GEN_AI: value})
    )
    assert (finding.level, finding.met) == ("error", met)
    assert finding.fix == f"export {GEN_AI}=SPAN_ONLY"


@pytest.mark.parametrize(
    ("version", "environ"),
    [
        ("1.3b0", {GEN_AI: "event_only"}),
        ("0.4b0", {GEN_AI: "EVENT_ONLY", "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"}),
        ("0.4b0", {GEN_AI: "true"}),
    ],
)
def test_messages_in_log_events_are_taken_where_there_is_a_logger_provider(
    tmp_path: Path, version: str, environ: dict[str, str]
) -> None:
    def found(**more: Any) -> list[str]:
        return told(
            content.gen_ai,
            set_up(OPENAI_V2, package("opentelemetry-util-genai", version), **{"environ": environ, **more}),
        )

    assert found() == snapshot(
        ["ok: opentelemetry-instrumentation-openai-v2 writes the messages as log events, which are taken too"]
    )
    assert found(in_code=True) == snapshot(
        [
            (
                "warning: opentelemetry-instrumentation-openai-v2 writes the messages as log events, and "
                "only your code can let us have them → add LabelStudioLogRecordProcessor to the logger "
                "provider, see docs/set-ups.md"
            )
        ]
    )
    file = tmp_path / "otel.yaml"
    file.write_text("tracer_provider:\n")
    assert found(environ={**environ, "OTEL_CONFIG_FILE": str(file)}) == snapshot(
        [
            (
                "error: opentelemetry-instrumentation-openai-v2 writes the messages as log events, and "
                "OTEL_CONFIG_FILE has no logger_provider → add a logger_provider with the exporter of your "
                "choice to the file"
            )
        ]
    )
    file.write_text("tracer_provider:\nlogger_provider:\n")
    assert found(environ={**environ, "OTEL_CONFIG_FILE": str(file)}) == found()


def test_older_genai_instrumentations_want_the_latest_conventions_too() -> None:
    older = package("opentelemetry-util-genai", "0.4b0")
    assert told(content.gen_ai, set_up(OPENAI_V2, older, environ={GEN_AI: "span_only"})) == snapshot(
        [
            (
                "error: opentelemetry-instrumentation-openai-v2 heeds "
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only only with the latest "
                "conventions: its spans hold no messages → export "
                "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental"
            )
        ]
    )
    environ = {GEN_AI: "span_and_event", "OTEL_SEMCONV_STABILITY_OPT_IN": "http,gen_ai_latest_experimental"}
    assert [one.level for one in content.gen_ai(set_up(OPENAI_V2, older, environ=environ))] == ["ok"]


def test_a_switch_by_which_openinference_hides_content_is_an_error() -> None:
    environ = {"OPENINFERENCE_HIDE_INPUTS": "True", "OPENINFERENCE_HIDE_OUTPUTS": "false"}
    examined = set_up(OPENINFERENCE, package("openinference-instrumentation"), environ=environ)
    assert told(content.openinference, examined) == snapshot(
        ["error: OPENINFERENCE_HIDE_INPUTS=true: OpenInference hides the messages → unset OPENINFERENCE_HIDE_INPUTS"]
    )


def test_the_packages_of_this_interpreter_are_read() -> None:
    here = installed()
    assert [
        package.name for package, point in here.offers("opentelemetry_traces_exporter") if point.name == "label_studio"
    ] == ["label-studio-otel"]
    assert here.get("OpenTelemetry.SDK") is here.get("opentelemetry-sdk") is not None
    assert [one.name for one in here.requiring("opentelemetry-semantic-conventions-ai")] == [
        "opentelemetry-instrumentation-langchain"
    ]
