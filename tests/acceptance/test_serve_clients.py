"""Real clients of `label-studio-otel serve`: what they send, their retries, and answers that they never get."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot
from test_serve import arrived, served

from label_studio_otel.cli import main
from label_studio_otel.testing import FakeLabelStudio
from support.delivering import all_tasks
from support.lost_answers import LostAnswers
from support.otlp_clients import JavaScript, Rotel, clients
from support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from test_serve import Served

    from support.otlp_clients import Client

NAMES = ("python-json", "js-json", "python-proto", "js-proto", "python-grpc", "js-grpc", "rotel-http", "rotel-grpc")
#: Those that send again what was refused; OpenTelemetry JS gives it up over gRPC.
RETRYING = tuple(name for name in NAMES if name != "js-grpc")
#: Those that send again when the connection breaks before the answer.
REPEATING = ("python-json", "js-json", "python-proto", "js-proto", "python-grpc")
#: What differs from run to run.
VOLATILE = ("key", "trace_id", "span_id", "start_time", "latency_ms")


@pytest.fixture
def everybody() -> Iterator[dict[str, Client]]:
    made = {client.name: client for client in clients()}
    assert tuple(made) == NAMES
    yield made
    for client in made.values():
        if isinstance(client, Rotel):
            client.close()


def port_of(bridge: Served, client: Client) -> int:
    return int(bridge.grpc.rpartition(":")[2]) if client.grpc else bridge.port


def shown(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task["data"].items() if name not in VOLATILE}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("js")])
def test_every_form_of_a_value_that_javascript_writes_is_read(
    tmp_path: Path, server: FakeLabelStudio, name: str
) -> None:
    """Whole numbers are JSON numbers there; lists, maps and bytes stand in lists and maps."""
    client = JavaScript(name.partition("-")[2])
    with served(tmp_path, server) as bridge:
        assert client.send(port_of(bridge, client)).results == ["done"]

        [task] = arrived(server, 1)
    assert shown(task) == snapshot(
        {
            "prompt": """\
System:
Be brief.

User:
What is this? ✓

[image: image/png, 4 bytes, sha256 0f4636c78f65…]

Assistant:
[tool call: look, id c1]
{
  "at": 3,
  "deep": [
    1.5,
    true,
    null
  ]
}

Tool:
[tool response, id c1]
{
  "seen": "a bell"
}\
""",
            "model": "gpt-4o-mini",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 9007199254740991,
            "output_tokens": 3,
            "finish_reason": "stop",
            "service": "shop",
            "conversation_id": "c-1",
            "response": "A bell.",
        }
    )


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("js")])
def test_what_a_client_sends_becomes_a_task(
    tmp_path: Path, server: FakeLabelStudio, everybody: dict[str, Client], name: str
) -> None:
    with served(tmp_path, server) as bridge:
        client = everybody[name]
        assert client.send(port_of(bridge, client)).results == ["done"]

        [task] = arrived(server, 1)
    assert shown(task) == snapshot(
        {
            "prompt": """\
User:
What is this? ✓\
""",
            "model": "gpt-4o-mini",
            "provider": "openai",
            "operation": "chat",
            "input_tokens": 9007199254740991,
            "output_tokens": 3,
            "finish_reason": "stop",
            "service": "shop",
            "conversation_id": "c-1",
            "response": "A bell.",
        }
    )


@pytest.mark.parametrize("name", NAMES)
def test_messages_that_are_log_events_come_into_their_task(
    tmp_path: Path, server: FakeLabelStudio, everybody: dict[str, Client], name: str
) -> None:
    with served(tmp_path, server, "--settle", "2") as bridge:
        client = everybody[name]
        assert client.send(port_of(bridge, client), "logs").results == ["done", "done"]

        [task] = arrived(server, 1)
    said = (task["data"]["prompt"], task["data"]["response"], task["data"].get("incomplete"))
    assert said == ("System:\nBe brief.\n\nUser:\nWhat is this? ✓", "A bell.", None)


def test_the_retries_of_each_client_end_in_one_task(
    tmp_path: Path, server: FakeLabelStudio, everybody: dict[str, Client]
) -> None:
    """At first all are refused, as another process holds the state."""
    with ExitStack() as stack, ThreadPoolExecutor(len(NAMES)) as pool:
        holder = stack.enter_context(served(tmp_path, server))
        bridge = stack.enter_context(served(tmp_path, server))
        between = {name: stack.enter_context(connection(bridge, client, 0)) for name, client in everybody.items()}
        sending = {name: pool.submit(client.send, between[name].port) for name, client in everybody.items()}
        wait_for(lambda: all(one.begun for one in between.values()), timeout=30, what="refusal of each")
        holder.process.kill()

        sent = {name: future.result(60) for name, future in sending.items()}
        assert [name for name, one in sent.items() if one.results != ["done"]] == ["js-grpc"]
        arrived(server, len(RETRYING))
        assert {name: one.begun >= 2 for name, one in between.items()} == {name: name in RETRYING for name in NAMES}
        assert bridge.end()[0] == 0
    assert main(["deliver"]) == 0
    assert copies(server, sent) == dict.fromkeys(RETRYING, 1)


def test_an_answer_that_is_lost_makes_no_double(
    tmp_path: Path, server: FakeLabelStudio, everybody: dict[str, Client]
) -> None:
    """The bridge has taken the call and says so, and its client sends it once more."""
    with ExitStack() as stack, ThreadPoolExecutor(len(NAMES)) as pool:
        bridge = stack.enter_context(served(tmp_path, server))
        between = {name: stack.enter_context(connection(bridge, client, 1)) for name, client in everybody.items()}
        sending = {name: pool.submit(client.send, between[name].port) for name, client in everybody.items()}

        sent = {name: future.result(60) for name, future in sending.items()}
        assert [name for name, one in sent.items() if one.results != ["done"]] == ["js-grpc"]
        arrived(server, len(NAMES))
        assert {name: one.begun >= 2 for name, one in between.items()} == {name: name in REPEATING for name in NAMES}
        assert {name: one.lost for name, one in between.items()} == dict.fromkeys(NAMES, 1)
        assert bridge.end()[0] == 0
    assert main(["deliver"]) == 0
    assert copies(server, sent) == dict.fromkeys(NAMES, 1)


def connection(bridge: Served, client: Client, times: int) -> LostAnswers:
    return LostAnswers(port_of(bridge, client), times, http2=client.grpc)


def copies(server: FakeLabelStudio, sent: dict[str, Any]) -> dict[str, int]:
    """Return the number of tasks of each client's call; what nobody sent is counted as `?`."""
    names = {one.span_id: name for name, one in sent.items()}
    return dict(Counter(names.get(task["data"]["span_id"], "?") for task in all_tasks(server)))
