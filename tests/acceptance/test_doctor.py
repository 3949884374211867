"""`label-studio-otel doctor` in real environments: what it says, and that what it says is so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.applications import APPS, COMMANDS, PATIENCE
from support.environments import environment
from support.openai_server import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from label_studio_otel.cli.demo.environment import VirtualEnvironment
    from support.applications import Deployment, Ended
    from support.servers import Api

OPENLLMETRY = "opentelemetry-instrumentation-langchain==0.62.4"
INTERACTIVE = ["--", sys.executable, str(APPS / "interactive.py")]
LANGCHAIN = "opentelemetry.instrumentation.langchain"


class Report:
    """What `doctor --json` printed."""

    def __init__(self, ended: Ended | subprocess.CompletedProcess[str]) -> None:
        self.code = ended.code if hasattr(ended, "code") else ended.returncode
        self.stderr = ended.stderr
        report = json.loads(ended.stdout)
        self.run: dict[str, Any] = report.get("run", {})
        self.findings: list[dict[str, str]] = report["findings"]

    def at(self, level: str) -> list[tuple[str, str]]:
        """Return subject and fix of the findings of a level."""
        return [(one["subject"], one["fix"]) for one in self.findings if one["level"] == level]


def examined(deployment: Deployment, *arguments: str, stdin: str = "", **variables: str) -> Report:
    """Run doctor where the deployment's application runs."""
    environ = {"PATH": f"{COMMANDS}:{os.environ['PATH']}", **variables}
    with deployment.start_command(
        [str(COMMANDS / "label-studio-otel"), "doctor", "--json", *arguments], **environ
    ) as one:
        return Report(one.ended(stdin))


def test_nothing_is_wrong_with_a_set_up_that_works(deployment: Deployment) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\nTwo\n")

    assert (report.code, report.at("error"), report.at("warning")) == (0, [], [])
    assert report.run["spans"] == report.run["calls"] == {LANGCHAIN: 2}
    assert report.run["operations"] == {"text_completion": 2}
    assert report.stderr == "finished One\nfinished Two\n"
    deployment.deliver()
    assert deployment.prompts() == {"One": 1, "Two": 1}  # the application ran as always


def test_people_read_lines_with_the_fix_below(deployment: Deployment) -> None:
    ended = deployment.command("doctor", *INTERACTIVE, OTEL_TRACES_EXPORTER="console,label-studio")

    assert ended.code == 1
    lines = ended.stdout.splitlines()
    assert lines[
        lines.index("✗ exporter: OTEL_TRACES_EXPORTER=console,label-studio does not name label_studio") + 1
    ] == ("  → export OTEL_TRACES_EXPORTER=console,label_studio")
    assert lines[-1].startswith("3 errors, ")
    assert "PATH" not in ended.stderr


def test_an_exporter_that_is_not_installed_ends_all_tracing(deployment: Deployment) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\n", OTEL_TRACES_EXPORTER="label_studio,zipkin")

    assert report.at("error") == [
        ("exporter", "pip install opentelemetry-exporter-zipkin"),
        ("run", "mend the errors named here and in the application's log ('Failed to auto initialize OpenTelemetry')"),
    ]
    assert (report.code, report.run["processes"]) == (1, 0)


@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, ("batch processor", "export OTEL_BSP_MAX_EXPORT_BATCH_SIZE=100")),
        ({"OTEL_SPAN_LINK_COUNT_LIMIT": "-1"}, ("limits", "unset OTEL_SPAN_LINK_COUNT_LIMIT")),
        ({"OTEL_CONFIG_FILE": "no.yaml"}, ("declarative file", "set OTEL_CONFIG_FILE to the path of the file")),
    ],
)
def test_what_the_sdk_refuses_ends_all_tracing(
    deployment: Deployment, variables: dict[str, str], fix: tuple[str, str]
) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\n", **variables)

    assert [subject for subject, _ in report.at("error")] == [fix[0], "run"]
    assert fix in report.at("error")
    assert report.run["processes"] == 0


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_SAMPLER": "always_off"}])
def test_a_switch_that_leaves_no_spans(deployment: Deployment, variables: dict[str, str]) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\n", **variables)

    (name,) = variables
    assert report.at("error")[0][1] == f"unset {name}"
    assert (report.run["processes"], report.run["spans"]) == (1, {})


def test_calls_without_content_and_why(deployment: Deployment) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\nTwo\n", TRACELOOP_TRACE_CONTENT="no")

    assert report.at("error") == [("content", "export TRACELOOP_TRACE_CONTENT=true")] * 2
    assert report.run["incomplete"] == {
        "The span holds no messages: content capture is off, set TRACELOOP_TRACE_CONTENT=true in the application.": 2
    }


def test_calls_that_a_length_limit_cut(deployment: Deployment) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\n", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="20")

    assert report.at("warning") == [("limits", "unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")]
    fix = "unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"
    assert set(report.at("error")) == {("content", fix)}


def test_the_mode_against_what_the_spans_are(deployment: Deployment) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\n", LABEL_STUDIO_OTEL_MODE="chat")

    assert ("mode", "export LABEL_STUDIO_OTEL_MODE=prompt") in report.at("warning")


def test_span_ids_that_repeat(deployment: Deployment) -> None:
    command = ["--", sys.executable, str(APPS / "seeded.py")]
    once = examined(deployment, *command)
    again = examined(deployment, *command)
    deployment.deliver()
    after = examined(deployment)

    subjects = [[subject for subject, _ in report.at("warning")] for report in (once, again, after)]
    assert [subject.count("span ids") for subject in subjects] == [0, 0, 1]


def test_a_provider_made_in_code_with_our_processor_and_without(deployment: Deployment) -> None:
    with_it = examined(deployment, "--in-code", "--", sys.executable, str(APPS / "in_code.py"), "processor")
    source = (APPS / "in_code.py").read_text().replace("provider.add_span_processor", "str")
    without = examined(deployment, "--in-code", "--", sys.executable, "-c", source, "processor")

    assert (with_it.code, with_it.run["missed"], with_it.run["llm_calls"]) == (0, 0, 2)
    assert (without.code, without.run["missed"], without.run["llm_calls"]) == (1, 2, 2)
    assert [subject for subject, _ in without.at("error")] == ["run"]


def test_what_the_run_shows_counts_more_than_the_variables(deployment: Deployment) -> None:
    command = ["opentelemetry-instrument", "--traces_exporter", "label_studio", *INTERACTIVE[1:]]
    report = examined(deployment, "--", *command, stdin="One\n", OTEL_TRACES_EXPORTER="")

    assert (report.code, report.at("error")) == (0, [])
    assert report.at("warning") == [("exporter", "export OTEL_TRACES_EXPORTER=label_studio")]
    assert report.run["missed"] == 0


def test_control_c_ends_the_run_of_a_server_and_not_the_report(deployment: Deployment) -> None:
    doctor = subprocess.Popen(
        [
            str(COMMANDS / "label-studio-otel"),
            "doctor",
            "--json",
            "--",
            sys.executable,
            str(APPS / "endless.py"),
            "Endless",
        ],
        env=deployment.environ(PATH=f"{COMMANDS}:{os.environ['PATH']}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C goes to the whole group
    )
    with doctor:
        assert next(line for line in doctor.stderr if line.startswith("finished "))
        os.killpg(doctor.pid, signal.SIGINT)
        stdout, _ = doctor.communicate(timeout=PATIENCE)

    report = json.loads(stdout)
    assert report["run"]["llm_calls"] >= 1
    assert [one for one in report["findings"] if one["level"] == "error"] == []


def test_a_sitecustomize_of_the_applications_own_is_imported_all_the_same(
    deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.stderr.write('the own one\\n')")
    command = ["--in-code", "--", sys.executable, str(APPS / "in_code.py"), "processor"]
    report = examined(deployment, *command, PYTHONPATH=str(tmp_path))

    assert (report.run["processes"], report.run["llm_calls"]) == (1, 2)
    # doctor's own process imports it too.
    assert report.stderr.count("the own one") == 2


def test_a_command_that_is_not_there(deployment: Deployment) -> None:
    report = examined(deployment, "--in-code", "--", "no-such-program")

    assert report.at("error") == [
        ("run", "correct the command behind --, or install what brings no-such-program"),
    ]


def test_the_applications_exit_code_is_said(deployment: Deployment) -> None:
    report = examined(deployment, *INTERACTIVE, stdin="One\n_exit\n")

    assert (report.code, report.run["code"], report.run["llm_calls"]) == (0, 7, 1)


def test_a_token_that_the_real_server_does_not_know(deployment: Deployment) -> None:
    report = examined(deployment, LABEL_STUDIO_API_KEY="0" * 40)

    assert [subject for subject, _ in report.at("error")] == ["token"]


def test_a_personal_access_token_that_was_revoked(deployment: Deployment, api: Api) -> None:
    revoked = api.personal_access_token()
    api.call("POST", "/api/token/blacklist/", {"refresh": revoked})

    report = examined(deployment, LABEL_STUDIO_API_KEY=revoked)

    (finding,) = (one for one in report.findings if one["level"] == "error")
    assert finding["met"].startswith("the personal access token is not valid: revoked, or another server's")


def test_legacy_tokens_that_are_disabled(deployment: Deployment, api: Api) -> None:
    access = api.call("POST", "/api/token/refresh/", {"refresh": api.personal_access_token()})["access"]
    settings = {"legacy_api_tokens_enabled": False}
    api.call("POST", "/api/jwt/settings", settings)
    try:
        report = examined(deployment)
    finally:
        bearer(deployment.url, access, {"legacy_api_tokens_enabled": True})

    (finding,) = (one for one in report.findings if one["level"] == "error")
    assert finding["met"] == "legacy token authentication has been disabled in this Label Studio"


def bearer(url: str, access: str, body: dict[str, Any]) -> None:
    """Change the token settings with an access token, when legacy tokens are not taken."""
    import urllib.request

    headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/jwt/settings", json.dumps(body).encode(), headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def in_environment(made: VirtualEnvironment, tmp_path: Path, *arguments: str, **variables: str) -> Report:
    """Run doctor in an environment of its own, where Label Studio is not there."""
    foreign = ("OTEL_", "LABEL_STUDIO_", "OPENAI_", "TRACELOOP_", "PYTHON", "PYTEST", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environ |= {
        "PATH": f"{made.program('python').parent}:{environ['PATH']}",
        "OTEL_TRACES_EXPORTER": "label_studio",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "LABEL_STUDIO_URL": "http://127.0.0.1:9",
        "LABEL_STUDIO_OTEL_STATE_DIR": str(tmp_path / "state"),
        "LABEL_STUDIO_OTEL_DELIVERY": "off",
        **variables,
    }
    command = [str(made.program("label-studio-otel")), "doctor", "--json", *arguments]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    report = Report(ended)
    report.findings = [one for one in report.findings if one["subject"] != "token"]  # there is none
    return report


def test_an_environment_without_a_distro_and_without_langchain_itself(tmp_path: Path) -> None:
    made = environment("bare", "langchain-core", OPENLLMETRY, extra="")
    report = in_environment(made, tmp_path, OTEL_TRACES_EXPORTER="otlp,label_studio")

    assert report.at("error") == [
        ("distro", 'pip install "label-studio-otel[auto]"'),
        ("exporter", "pip install opentelemetry-exporter-otlp-proto-grpc"),
        ("instrumentation", 'pip install "langchain"'),
    ]


ASK = "from langchain_core.language_models import FakeListLLM; FakeListLLM(responses=['An answer']).invoke('One')"


def test_an_instrumentation_that_is_skipped_makes_no_spans(tmp_path: Path) -> None:
    made = environment("core", "langchain-core", OPENLLMETRY)
    report = in_environment(made, tmp_path, "--", "python", "-c", ASK)

    assert [subject for subject, _ in report.at("error")] == ["instrumentation", "run"]
    assert ("instrumentation", 'pip install "langchain"') in report.at("error")
    assert (report.run["processes"], report.run["spans"]) == (1, {})


def test_two_instrumentations_of_langchain_make_two_spans_of_each_call(tmp_path: Path) -> None:
    made = environment("twice", "langchain", OPENLLMETRY, "openinference-instrumentation-langchain")
    report = in_environment(made, tmp_path, "--", "python", "-c", ASK)

    (fix,) = (fix for subject, fix in report.at("error") if subject == "instrumentation")
    assert fix in (
        f"pip uninstall {OPENLLMETRY.partition('=')[0]}",
        "pip uninstall openinference-instrumentation-langchain",
    )
    assert report.run["spans"] == {LANGCHAIN: 1, "openinference.instrumentation.langchain": 1}


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


ASK_OPENAI = (
    "import openai; question = {'role': 'user', 'content': 'One'}; "
    "openai.OpenAI().chat.completions.create(model='small', messages=[question])"
)


GEN_AI = ("openai==3.54.0", "opentelemetry-instrumentation-openai-v2==2.4b0")  # not made for each other


def test_an_instrumentation_that_misses_a_module_makes_no_spans(tmp_path: Path, openai: OpenAIServer) -> None:
    # It imports httpx, which this version of openai does not bring any more.
    variables = {"OPENAI_BASE_URL": openai.url, "OPENAI_API_KEY": "key"}
    report = in_environment(environment("genai", *GEN_AI), tmp_path, "--", "python", "-c", ASK_OPENAI, **variables)

    assert ("instrumentation", "pip install httpx") in report.at("error")
    assert report.run["spans"] == {}


CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
LATEST = "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental"
NO_MESSAGES = ("content", f"export {CAPTURE}=SPAN_ONLY {LATEST}")


@pytest.mark.parametrize(
    ("value", "latest", "errors"),
    [
        ("", True, [("content", f"export {CAPTURE}=SPAN_ONLY"), NO_MESSAGES]),
        ("true", True, [("content", f"export {CAPTURE}=SPAN_ONLY"), NO_MESSAGES]),
        ("span_only", False, [("content", f"export {LATEST}"), NO_MESSAGES]),
        ("span_only", True, []),
    ],
)
def test_the_switches_of_the_genai_instrumentations(
    tmp_path: Path, openai: OpenAIServer, value: str, latest: bool, errors: list[tuple[str, str]]
) -> None:
    made = environment("genai-older", *GEN_AI, "opentelemetry-util-genai==0.4b0", "httpx")
    variables = {"OPENAI_BASE_URL": openai.url, "OPENAI_API_KEY": "key", "LABEL_STUDIO_OTEL_MODE": "chat"}
    variables |= {CAPTURE: value} | (dict([LATEST.split("=")]) if latest else {})
    report = in_environment(made, tmp_path, "--", "python", "-c", ASK_OPENAI, **variables)

    assert report.run["llm_calls"] == 1
    assert report.at("error") == errors
