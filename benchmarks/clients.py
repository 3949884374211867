"""The processes that `delivery.py` measures: `python clients.py OPTIONS`, one JSON line printed per line read.

`way` is what one does: `spool` writes calls as an application does, `bodies` renders them into ready-made batches,
`ours` delivers them, `bare` posts the ready-made ones, `outage` delivers after an hour without a server.
"""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from label_studio_otel.delivery.deliverer import Deliverer
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.pipeline import spool_directory
from label_studio_otel.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.settings import Settings

#: Tasks in one request: above that it gets no faster per task.
BATCH = 500
OPEN_STATES = ("pending", "leased", "uncertain")


def settings_of(options: dict[str, Any], url: str | None = None) -> Settings:
    """Return the settings of a deliverer."""
    return load({"url": url or options["url"], "api_key": options["token"], "state_dir": options["state_dir"]}, {})


def left(deliverer: Deliverer) -> int:
    """Return how many calls are not tasks yet."""
    states = deliverer.outbox.overview.summary().states
    return sum(states[state] for state in OPEN_STATES)


def spool(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Write the calls."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from spans import conversation

    from label_studio_otel import LabelStudioSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "benchmark"}))
    known = {name: options[name] for name in ("url", "state_dir")}
    processor = LabelStudioSpanProcessor(
        **known, api_key=options["token"], project_name=options["project"], mode="chat", delivery="off"
    )
    provider.add_span_processor(processor)
    make = conversation(provider)
    for number in range(options["tasks"]):
        make(number)
    provider.shutdown()
    yield {}


def bodies(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Deliver a copy of the calls to a fake, and keep what it was sent."""
    from label_studio_otel.testing import FakeLabelStudio

    with FakeLabelStudio() as fake:
        settings = settings_of({**options, "token": fake.token}, fake.url)
        shutil.copytree(spool_directory(settings_of(options).directory), spool_directory(settings.directory))
        deliverer = Deliverer(settings)
        while deliverer.step():
            fake.requests[:] = [request for request in fake.requests if "/import" in request.path]
        deliverer.close()
        tasks = [task for request in fake.requests for task in json.loads(request.body)]
        (project,) = fake.store.projects.values()
    for start in range(0, len(tasks), BATCH):
        batch = json.dumps(tasks[start : start + BATCH], ensure_ascii=False, separators=(",", ":")).encode()
        (Path(options["bodies"]) / f"{start:09}.json").write_bytes(batch)
    size = sum(path.stat().st_size for path in Path(options["bodies"]).iterdir())
    yield {"tasks": len(tasks), "bytes": size / max(len(tasks), 1), "label_config": project["label_config"]}


def ours(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Deliver, some batches for each line read, until nothing is left."""
    deliverer = Deliverer(settings_of(options))
    for _ in sys.stdin:
        before = deliverer.outbox.overview.summary().states["delivered"]
        begin, cpu = time.perf_counter(), time.process_time()
        moved = all(deliverer.step() for _ in range(options["batches"]))
        figures = {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
        waiting = left(deliverer)
        done = deliverer.outbox.overview.summary().states["delivered"] - before
        yield {**figures, "tasks": done, "left": waiting, "stuck": bool(waiting) and not moved}
    deliverer.close()


def bare(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Post ready-made batches, as many for each line read as it says."""
    batches = iter([path.read_bytes() for path in sorted(Path(options["bodies"]).iterdir())])
    connection = http.client.HTTPConnection(urlsplit(options["url"]).netloc)
    headers = {"Authorization": f"Token {options['token']}", "Content-Type": "application/json"}
    for line in sys.stdin:
        done = 0
        begin, cpu = time.perf_counter(), time.process_time()
        while done < int(line) and (body := next(batches, None)) is not None:
            connection.request("POST", f"/api/projects/{options['project_id']}/import", body, headers)
            answer = connection.getresponse()
            done += int(json.loads(answer.read())["task_count"])
        yield {"seconds": time.perf_counter() - begin, "cpu": time.process_time() - cpu, "tasks": done}


class Clock:
    """The time, plus what was skipped."""

    skipped = 0.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.skipped


def outage(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Try for an hour that passes quickly; after the next line read, when the server is back, deliver all."""
    from label_studio_otel.sdk import fork_safe_import

    fork_safe_import.deliverer()
    clock, begin = Clock(), memory("VmRSS")
    deliverer = Deliverer(settings_of(options), hooks=Hooks(clock=clock, steady_clock=clock))
    for _ in range(60):
        deliverer.step()
        clock.skipped += 60.0
    yield {"queued": left(deliverer), "memory": memory("VmHWM") - begin}
    sys.stdin.readline()
    started, cpu = time.perf_counter(), time.process_time()
    idle = 0
    while idle < 60:  # the last of them are an hour of nothing, whatever waits by then is stuck
        if deliverer.step():
            idle = 0
        elif not left(deliverer):
            break
        else:
            idle += 1
            clock.skipped += 60.0
    spent = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    yield {**spent, "left": left(deliverer), "memory": memory("VmHWM") - begin}
    deliverer.close()


def memory(name: str) -> int:
    """Return the resident bytes now (VmRSS) or at most so far (VmHWM); 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    ways = {"spool": spool, "bodies": bodies, "ours": ours, "bare": bare, "outage": outage}
    for answer in ways[told["way"]](told):
        print(json.dumps(answer), flush=True)
