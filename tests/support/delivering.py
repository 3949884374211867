"""What tests of delivery stand on: records as applications write them, an outbox or a state directory, a server."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.delivery.destinations import Delivery
from label_studio_otel.delivery.hooks import Health, Hooks
from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.label_studio.transport import Response
from label_studio_otel.outbox.items import NewItem
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Destination, load
from label_studio_otel.spool import record as spool
from label_studio_otel.spool.writer import SpoolWriter
from label_studio_otel.testing import FakeClock, FakeLabelStudio, Fault, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from label_studio_otel.outbox.items import DestinationRow
    from label_studio_otel.settings import Settings
    from label_studio_otel.spans import Span

PROMPTS = Destination("Prompts")
CHATS = Destination("Chats", mode="chat")


def fields(span: Span) -> dict[str, Any]:
    """Return a span as `spans.fields_of` takes it from the SDK."""
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": dict(span.attributes),
        "status": {"code": span.status_code, "message": span.status_message},
        "scope": {"name": span.scope_name, "version": span.scope_version},
        "droppedAttributesCount": span.dropped_attributes,
    }


def record(span: Span, destination: Destination = PROMPTS) -> list[bytes]:
    """Return a span's record as it is appended to a spool file."""
    resource = spool.to_json(dict(span.resource))
    return spool.encode(spool.encode_destination(destination), resource, fields(span))


def payload(span: Span, destination: Destination = PROMPTS) -> bytes:
    """Return a span's record as the outbox keeps it."""
    return b"".join(record(span, destination))[spool.FRAME.size :]


def hooks_at(clock: Callable[[], float], **hooks: Any) -> Hooks:
    """Return hooks whose two clocks are the same one."""
    return Hooks(**{"clock": clock, "steady_clock": clock, **hooks})


class Bench:
    """An outbox with a clock that only tests move, and the delivery of it to one server."""

    def __init__(
        self,
        directory: Path,
        url: str,
        api_key: str | None = FakeLabelStudio.token,
        *,
        clock: FakeClock | None = None,
        read_timeout: float = 30.0,
        restarted_at: float = 0.0,
        meanwhile: Callable[[], object] = lambda: None,
        **arguments: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.outbox = Outbox.in_file(directory / "outbox.db", clock=self.clock)
        self.said: list[tuple[str, str | None]] = []
        self.client = LabelStudio(url, api_key, read_timeout=read_timeout, clock=self.clock)
        self.delivery = Delivery(
            self.outbox,
            self.client,
            load({"state_dir": directory, **arguments}, {}),
            hooks_at(
                self.clock,
                report=lambda destination, reason: self.said.append((destination, reason)),
                meanwhile=meanwhile,
                restarted_at=restarted_at,
            ),
        )

    def put(self, *spans: Span, destination: Destination = PROMPTS) -> None:
        """Take spans in, due at once."""
        records = [NewItem(destination, span.key, payload(span, destination)) for span in spans]
        self.outbox.accept(records, "1.spool", 0, self.clock())

    def run(self, *, steps: int = 100) -> None:
        """Deliver until nothing moves any more at this time."""
        for _ in range(steps):
            if not self.delivery.step():
                return
        raise AssertionError(f"delivery still moves after {steps} steps")

    def run_later(self, seconds: float) -> None:
        """Let time pass, then deliver."""
        self.clock.sleep(seconds)
        self.run()

    @property
    def states(self) -> dict[str, int]:
        """Number of items by state, without zeros."""
        return {state: number for state, number in self.outbox.overview.summary().states.items() if number}

    @property
    def target(self) -> DestinationRow:
        """The one destination."""
        (target,) = self.outbox.destinations.all()
        return target

    @property
    def parked(self) -> dict[str, int]:
        """Number of parked items by reason."""
        ((_, _, parked),) = self.outbox.overview.summary().destinations
        return parked


class Direct:
    """The transport to a fake without a network, for tests of thousands of requests. Faults cannot happen on it."""

    def __init__(self, fake: FakeLabelStudio) -> None:
        self._fake = fake

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        authorization: str,
        on_connected: Callable[[], None],
        *,
        on_sent: Callable[[], None] = lambda: None,
    ) -> Response:
        on_connected()
        on_sent()
        request = Request(method, path, 0.0, {"authorization": authorization}, body or b"")
        assert self._fake.received(request) == Fault()
        status, answer = self._fake.carry_out(request, Fault())
        return Response(status, {}, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode())


class State:
    """A state directory, a clock, and the deliverers on it."""

    def __init__(self, directory: Path, fake: FakeLabelStudio) -> None:
        arguments: dict[str, Any] = {"url": fake.url, "api_key": fake.token, "state_dir": directory}
        self.settings: Settings = load(arguments, {})
        self.clock = FakeClock()
        self.writer = SpoolWriter(self.directory / "spool")
        self._made: list[Deliverer] = []

    @property
    def directory(self) -> Path:
        return self.settings.directory

    def put(self, *spans: Span, destination: Destination = PROMPTS) -> None:
        for one in spans:
            assert self.writer.append(record(one, destination))

    def deliverer(
        self,
        *,
        settle_delay: float = 0.0,
        steady_clock: FakeClock | None = None,
        health: Health | None = None,
        **settings: Any,
    ) -> Deliverer:
        hooks = hooks_at(self.clock, steady_clock=steady_clock or self.clock, health=health or Health())
        deliverer = Deliverer(replace(self.settings, **settings), settle_delay=settle_delay, hooks=hooks)
        self._made.append(deliverer)
        return deliverer

    def close(self) -> None:
        self.writer.close()
        for deliverer in self._made:
            deliverer.close()


def run(deliverer: Deliverer) -> None:
    """Deliver until nothing moves any more at this time."""
    for _ in range(100):
        if not deliverer.step():
            return
    raise AssertionError("the deliverer still moves after 100 steps")


def states_of(deliverer: Deliverer) -> dict[str, int]:
    """Return the number of items by state, without zeros."""
    return {name: number for name, number in deliverer.outbox.overview.summary().states.items() if number}


def imports(fake: FakeLabelStudio) -> list[Request]:
    """Return the import requests that came."""
    return [request for request in fake.requests if request.method == "POST" and "/import" in request.path]


def all_tasks(fake: FakeLabelStudio) -> list[dict[str, Any]]:
    """Return the tasks of all projects."""
    return [task for project in fake.store.projects for task in fake.tasks(project)]


def copies(fake: FakeLabelStudio) -> dict[str, int]:
    """Return how many tasks there are of each span, by its id without leading zeros."""
    return dict(Counter(task["data"]["span_id"].lstrip("0") for task in all_tasks(fake)))
