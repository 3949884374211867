"""One stream of spans to Jaeger, Honeycomb and Label Studio, for real, while parts of it are away.

Nothing here sends anything again but what does so by itself: the SDK's exporters for ten seconds, the Collector
for ever.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.bridge import Bridge
from support.collector import Collector, Jaeger, fan_out_variables
from support.openai_server import OpenAIServer
from support.servers import wait_for
from support.telemetry_sink import TelemetrySink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from typing_extensions import Self

    from label_studio_otel.cli.demo.label_studio_server import LabelStudioServer
    from support.applications import Deployment, Running
    from support.collector import Daemon
    from support.otlp_sink import OtlpSink

#: The spans of one turn of the application.
TURN = (
    "GET",
    "RunnableSequence.workflow",
    "execute_task ChatPromptTemplate",
    "ChatOpenAI.chat",
    "execute_task StrOutputParser",
)
#: Seconds from a span's end until Jaeger shows it: the SDK waits half a second, and so does who looks.
SOON = 4.0


class Watch:
    """Looks at Jaeger all the time, and notes when a span was there for the first time."""

    def __init__(self, jaeger: Jaeger) -> None:
        self._jaeger = jaeger
        #: When it ended, and seconds from then until it was seen, of each span.
        self._seen: dict[str, tuple[float, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            spans = self._jaeger.spans("bikes", lookback=20)
            now = time.time()
            for span in spans:
                end = (span["startTime"] + span["duration"]) / 1e6
                self._seen.setdefault(span["spanID"], (end, now - end))

    def slowest(self, since: float, until: float) -> float:
        """Return the longest time of the spans that ended within a period in which there was traffic."""
        times = [seconds for end, seconds in self._seen.values() if since <= end < until]
        assert len(times) > 50
        return max(times)


class Applications(NamedTuple):
    """What runs while Label Studio and the like are away."""

    deployment: Deployment
    openai: OpenAIServer
    #: For their HTTP requests.
    http: OtlpSink

    @contextmanager
    def started(self, name: str, **variables: str) -> Iterator[Running]:
        """Start one, and wait until it is in full swing."""
        own = {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": self.openai.url,
            "HEALTH_URL": self.http.url,
            "OTEL_SERVICE_NAME": "bikes",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }
        with self.deployment.start("traffic.py", name, **own, **variables) as running:
            running.wait_until_finished(5)
            yield running


@pytest.fixture
def applications(deployment: Deployment, sink: OtlpSink) -> Iterator[Applications]:
    with OpenAIServer() as openai:
        yield Applications(deployment, openai, sink)


@pytest.fixture
def jaeger(tmp_path: Path) -> Iterator[Jaeger]:
    with Jaeger(tmp_path / "jaeger") as jaeger:
        yield jaeger


@pytest.fixture
def server(label_studio: LabelStudioServer) -> Iterator[LabelStudioServer]:
    """Label Studio, which is there again for other tests, whatever becomes of this one."""
    yield label_studio
    if not label_studio.is_running:
        label_studio.start()


class FanOut(NamedTuple):
    """A Collector with collector/fan-out.yaml, and where it sends to beside Jaeger."""

    collector: Collector
    honeycomb: TelemetrySink
    bridge: Bridge


@pytest.fixture
def fan_out(deployment: Deployment, jaeger: Jaeger, tmp_path: Path) -> Iterator[FanOut]:
    with_token = deployment.environ(LABEL_STUDIO_OTEL_SERVE_TOKEN="token-1")
    with TelemetrySink(x_honeycomb_team="key-1") as honeycomb, Bridge(tmp_path / "bridge", with_token) as bridge:
        variables = fan_out_variables(jaeger, honeycomb, bridge)
        with Collector(tmp_path / "collector", **variables) as collector:
            yield FanOut(collector, honeycomb, bridge)


@contextmanager
def away(server: LabelStudioServer | Daemon, seconds: float) -> Iterator[None]:
    """Kill a server as `kill -9` does, let some traffic pass, and start it again at the end."""
    server.kill()
    time.sleep(seconds)
    yield
    server.start()


def names(spans: Iterable[tuple[str, str]]) -> Counter[str]:
    """Return how many spans there are of each name; one that came twice, as OTLP allows, counts once.

    Args:
        spans: id and name of each.
    """
    return Counter(dict(spans).values())


def in_jaeger(jaeger: Jaeger) -> Counter[str]:
    return names((span["spanID"], span["operationName"]) for span in jaeger.spans("bikes"))


def questions_in_jaeger(jaeger: Jaeger) -> set[str]:
    """Return what was asked, as Jaeger's users read it."""
    tags = [tag for span in jaeger.spans("bikes") for tag in span["tags"] if tag["key"] == "gen_ai.input.messages"]
    messages = [json.loads(tag["value"])[-1] for tag in tags]
    return {message["parts"][0]["content"] for message in messages if message["role"] == "user"}


def test_nothing_is_lost_or_doubled_and_jaeger_never_waits(
    applications: Applications, server: LabelStudioServer, jaeger: Jaeger, fan_out: FanOut
) -> None:
    collector, honeycomb, bridge = fan_out
    http = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    grpc = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.grpc}"}
    with (
        applications.started("One", OTEL_TRACES_EXPORTER="otlp", **http) as one,
        applications.started("Two", OTEL_TRACES_EXPORTER="otlp", **grpc) as two,
        Watch(jaeger) as watch,
    ):
        began = time.time()
        with away(server, seconds=5), away(bridge, seconds=5):  # each with what it has not passed on
            until = time.time()
            time.sleep(2)  # what ended until now was sent
            # Shorter than what the SDK tries for: what it gives up never comes to a Collector.
            with away(collector, seconds=3):
                pass
            time.sleep(2)
        time.sleep(2)
        ended = [one.ended(), two.ended()]
        wait_for(lambda: collector.metric("otelcol_exporter_queue_size") == 0, what="end of the Collector's queues")
        passed = collector.metric("otelcol_processor_outgoing_items", processor="filter/llm_calls")
        seen = collector.metric("otelcol_processor_incoming_items", processor="filter/llm_calls")
    questions = [question for app in ended for question in app.finished]
    everything = dict.fromkeys(TURN, len(questions))

    assert [app.code for app in ended] == [0, 0]
    assert in_jaeger(jaeger) == everything
    assert questions_in_jaeger(jaeger) == set(questions)
    assert names((span.fields["spanId"], span.fields["name"]) for span in honeycomb.spans) == everything
    assert honeycomb.refused == 0
    assert watch.slowest(began, until) < SOON
    assert passed == pytest.approx(seen / len(TURN), rel=0.1)  # where it was restarted a turn can be cut in two
    assert tasks(applications.deployment, len(questions)) == asked(questions, mail="****")


def test_the_same_without_a_collector(applications: Applications, server: LabelStudioServer, jaeger: Jaeger) -> None:
    """Two exporters in the process; each has a queue and a thread of its own."""
    http = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    with applications.started("One", OTEL_TRACES_EXPORTER="otlp,label_studio", **http) as one, Watch(jaeger) as watch:
        began = time.time()
        with away(server, seconds=6):
            pass
        until = time.time()
        time.sleep(2)
        ended = one.ended()
    everything = dict.fromkeys(TURN, len(ended.finished))

    assert ended.code == 0
    assert in_jaeger(jaeger) == everything
    assert watch.slowest(began, until) < SOON
    applications.deployment.deliver()
    assert tasks(applications.deployment, len(ended.finished)) == asked(ended.finished, mail="jane.doe@example.com")


def tasks(deployment: Deployment, count: int) -> Counter[str]:
    """Wait for so many tasks, and return how many there are of each prompt; each has one prediction."""
    deployment.api.wait_for_tasks(deployment.title, count)
    return deployment.prompts()


def asked(questions: list[str], mail: str) -> dict[str, int]:
    """Return the prompts of tasks, one each."""
    return dict.fromkeys((f"User:\n{question.replace('jane.doe@example.com', mail)}" for question in questions), 1)
