"""ChatOpenAI and OpenAI of langchain-openai: what their calls look like as tasks, in both modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot

from support.applications import Deployment
from support.openai_server import OpenAIServer
from support.otlp_sink import OtlpSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.servers import Api

#: Different in every run.
VOLATILE = ("key", "trace_id", "span_id", "start_time", "latency_ms")


@pytest.fixture(scope="module")
def run(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """Run the program in one mode and return its tasks and the names of all spans."""

    def run_in(mode: str, **variables: str) -> tuple[list[dict[str, Any]], set[str]]:
        state: Path = tmp_path_factory.mktemp(mode)
        deployment = Deployment(api, f"openai {state}", state, api.server.url)
        with OpenAIServer() as server, OtlpSink() as sink:
            openai = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.url, "HEALTH_URL": sink.url}
            exporters = {"OTEL_TRACES_EXPORTER": "otlp,label_studio", **sink.variables}
            ours = {"LABEL_STUDIO_OTEL_MODE": mode, "OTEL_SERVICE_NAME": "bikes", **variables}
            ended = deployment.run("openai_calls.py", **openai, **exporters, **ours)
        assert (ended.code, ended.stderr) == (0, "")
        deployment.deliver()
        return deployment.tasks(), {span.name for span in sink.spans}

    return run_in


@pytest.fixture(scope="module")
def chat_mode(run: Callable[..., Any]) -> tuple[list[dict[str, Any]], set[str]]:
    return run("chat")


@pytest.fixture(scope="module")
def chats(chat_mode: tuple[list[dict[str, Any]], set[str]]) -> dict[str, dict[str, Any]]:
    """The tasks of chat mode, by the last thing that was said to the model; without what differs in every run."""
    return {task["data"]["prompt"][-1]["content"]: stable(task) for task in chat_mode[0]}


@pytest.fixture(scope="module")
def prompts(run: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """The tasks of prompt mode with errors asked for, by the end of the prompt."""
    tasks, _ = run("prompt", LABEL_STUDIO_OTEL_INCLUDE_ERRORS="true")
    return {task["data"]["prompt"].rpartition("\n")[2]: stable(task) for task in tasks}


def stable(task: dict[str, Any]) -> dict[str, Any]:
    assert all(task["data"][name] for name in VOLATILE if name != "latency_ms")
    assert 0 <= task["data"]["latency_ms"] < 60_000
    assert {prediction["model_version"] for prediction in task["predictions"]} <= {"label-studio-otel"}
    predictions = sorted(task["predictions"], key=lambda prediction: prediction["id"])
    texts = [prediction["result"][0]["value"]["text"] for prediction in predictions]
    return {**{name: value for name, value in task["data"].items() if name not in VOLATILE}, "predicted": texts}


def test_the_llm_calls_of_a_trace_and_nothing_else_are_tasks(
    chat_mode: tuple[list[dict[str, Any]], set[str]], chats: dict[str, dict[str, Any]]
) -> None:
    tasks, spans = chat_mode
    assert {name[:40] for name in spans} == snapshot(
        {
            "ChatOpenAI.chat",
            "GET",
            "OpenAI.completion",
            "RunnableSequence.workflow",
            "SELECT",
            "embeddings text-embedding-3-small",
            "execute_task ChatPromptTemplate",
            "execute_task StrOutputParser",
            "execute_tool weather",
            "one trace",
            "vector_db_retrieve Library",
        }
    )
    assert len(tasks) == len(chats)
    assert [question[:20] for question in chats] == snapshot(
        [
            "Plain chat",
            "Streamed chat",
            "Two choices",
            "Oslo",
            "[tool response, id c",
            "Completion",
            "Streamed completion",
            "Two completions",
            "long long long long ",
            "In a chain: wheels",
        ]
    )


def test_roles_stay_in_order(chats: dict[str, dict[str, Any]]) -> None:
    assert chats["Plain chat"] == snapshot(
        {
            "prompt": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi!"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Plain chat"},
            ],
            "model": "gpt-4o-mini-2026-01-15",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 6,
            "output_tokens": 4,
            "finish_reason": "stop",
            "service": "bikes",
            "response": "You said: Plain chat",
            "predicted": [["You said: Plain chat"]],
        }
    )


def test_a_stream_is_read_like_a_whole_answer(chats: dict[str, dict[str, Any]]) -> None:
    assert chats["Streamed chat"] == snapshot(
        {
            "prompt": [{"role": "user", "content": "Streamed chat"}],
            "model": "gpt-4o-mini",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 2,
            "output_tokens": 4,
            "finish_reason": "stop",
            "service": "bikes",
            "response": "You said: Streamed chat",
            "predicted": [["You said: Streamed chat"]],
        }
    )
    assert chats["Streamed completion"] == snapshot(
        {
            "prompt": [{"role": "user", "content": "Streamed completion"}],
            "model": "gpt-3.5-turbo-instruct",
            "provider": "openai",
            "operation": "text_completion",
            "finish_reason": "stop",
            "service": "bikes",
            "response": "You said: Streamed completion",
            "predicted": [["You said: Streamed completion"]],
        }
    )


def test_each_choice_is_a_prediction_the_first_one_newest(chats: dict[str, dict[str, Any]]) -> None:
    assert chats["Two choices"] == snapshot(
        {
            "prompt": [{"role": "user", "content": "Two choices"}],
            "model": "gpt-4o-2026-01-15",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 4,
            "output_tokens": 20,
            "finish_reason": "stop",
            "service": "bikes",
            "response": "You said: Two choices",
            "response_2": "Answer 2: You said: Two choices",
            "other_responses": [{"title": "Answer 2 of 2", "text": "Answer 2: You said: Two choices"}],
            "predicted": [["Answer 2: You said: Two choices"], ["You said: Two choices"]],
        }
    )
    assert chats["Two completions"] == snapshot(
        {
            "prompt": [{"role": "user", "content": "Two completions"}],
            "model": "gpt-3.5-turbo-instruct",
            "provider": "openai",
            "operation": "text_completion",
            "input_tokens": 2,
            "output_tokens": 10,
            "finish_reason": "stop",
            "service": "bikes",
            "response": "You said: Two completions",
            "response_2": "Answer 2: You said: Two completions",
            "other_responses": [{"title": "Answer 2 of 2", "text": "Answer 2: You said: Two completions"}],
            "predicted": [
                ["Answer 2: You said: Two completions"],
                ["You said: Two completions"],
            ],
        }
    )


def test_a_tool_call_and_its_result_can_be_read(chats: dict[str, dict[str, Any]]) -> None:
    assert chats["Oslo"] == snapshot(
        {
            "prompt": [{"role": "user", "content": "Oslo"}],
            "model": "gpt-4o-mini-2026-01-15",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 1,
            "output_tokens": 2,
            "finish_reason": "tool_call",
            "service": "bikes",
            "tools": "weather",
            "response": """\
[tool call: weather, id call_1]
{
  "city": "Oslo"
}\
""",
            "predicted": [
                [
                    """\
[tool call: weather, id call_1]
{
  "city": "Oslo"
}\
"""
                ]
            ],
        }
    )
    assert chats["[tool response, id call_1]\nRain in Oslo"] == snapshot(
        {
            "prompt": [
                {"role": "user", "content": "Oslo"},
                {
                    "role": "assistant",
                    "content": """\
[tool call: weather, id call_1]
{
  "city": "Oslo"
}\
""",
                },
                {
                    "role": "tool",
                    "content": """\
[tool response, id call_1]
Rain in Oslo\
""",
                },
            ],
            "model": "gpt-4o-mini-2026-01-15",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 4,
            "output_tokens": 6,
            "finish_reason": "stop",
            "service": "bikes",
            "tools": "weather",
            "response": "The tool said: Rain in Oslo",
            "predicted": [["The tool said: Rain in Oslo"]],
        }
    )


def test_a_completion_is_one_user_message_in_a_chat_project(chats: dict[str, dict[str, Any]]) -> None:
    assert chats["Completion"] == snapshot(
        {
            "prompt": [{"role": "user", "content": "Completion"}],
            "model": "gpt-3.5-turbo-instruct",
            "provider": "openai",
            "operation": "text_completion",
            "input_tokens": 1,
            "output_tokens": 3,
            "finish_reason": "stop",
            "service": "bikes",
            "response": "You said: Completion",
            "predicted": [["You said: Completion"]],
        }
    )


def test_a_hundred_kilobytes_arrive_whole(chats: dict[str, dict[str, Any]]) -> None:
    task = chats["long " * 20_000]
    assert task["predicted"] == [["You said: " + "long " * 20_000]]
    assert "incomplete" not in task


def test_a_failed_call_is_a_task_where_errors_are_asked_for(
    chats: dict[str, dict[str, Any]], prompts: dict[str, dict[str, Any]]
) -> None:
    assert "Failing chat" not in chats
    assert prompts["Failing chat"] == snapshot(
        {
            "prompt": """\
User:
Failing chat\
""",
            "model": "status-429",
            "provider": "openai",
            "operation": "chat",
            "service": "bikes",
            "error": "langchain_openai.chat_models.base.OpenAIRateLimitError: Error code: 429 - scripted failure",
            "predicted": [],
        }
    )


def test_a_chat_is_a_transcript_in_a_prompt_project(prompts: dict[str, dict[str, Any]]) -> None:
    assert prompts["Plain chat"]["prompt"] == snapshot("""\
System:
Be brief.

User:
Hi!

Assistant:
Hello.

User:
Plain chat\
""")
    assert prompts["Rain in Oslo"]["prompt"] == snapshot("""\
User:
Oslo

Assistant:
[tool call: weather, id call_1]
{
  "city": "Oslo"
}

Tool:
[tool response, id call_1]
Rain in Oslo\
""")
    assert prompts["Completion"]["prompt"] == "Completion"
