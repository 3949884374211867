"""The bridge service: a receiver and the delivery behind it in one process, until it is told to end.

What was answered with success is in the outbox, synchronised to the disk. Label Studio is never waited for: delivery
has a thread of its own, and this process alone opens the outbox, once.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from label_studio_otel import log
from label_studio_otel.calls.selection import Selection
from label_studio_otel.delivery.deliverer import OUTBOX, Deliverer
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.errors import LabelStudioOtelError, OutboxCorrupt, OutboxError
from label_studio_otel.label_studio.suppression import suppressed
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.receiver import access
from label_studio_otel.receiver.group_commit import Intake
from label_studio_otel.receiver.http import HttpServer
from label_studio_otel.receiver.measured import Measured
from label_studio_otel.receiver.metric_readers import Telemetry
from label_studio_otel.receiver.metrics import Traffic
from label_studio_otel.receiver.otlp_grpc import OtlpGrpc
from label_studio_otel.receiver.otlp_http import ROUTES, OtlpHttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.receiver.settings import ServeSettings
    from label_studio_otel.settings import Settings

__all__ = ["Bridge"]

#: Seconds between two steps of delivery when the last one moved nothing.
POLL = 1.0
#: Seconds that requests under way may take when the process is told to end: as long as their answers may.
GRACE = 10.0
#: Seconds between two times that freed memory goes back to the system.
GIVE_BACK = 60.0
#: Files that this process may have open.
FILES = 4096


class Bridge:
    """One run of the service.

    Raises:
        OutboxError: the outbox cannot be used.
    """

    def __init__(self, settings: Settings, serve_settings: ServeSettings) -> None:
        self._settings = settings
        self._serve_settings = serve_settings
        outbox = Outbox.in_file(settings.directory / OUTBOX, synchronous="FULL")
        self._source = ServerMetrics(settings.url)
        self._traffic = Traffic()
        self._deliverer = Deliverer(
            settings,
            settle_delay=serve_settings.settle,
            outbox=outbox,
            hooks=Hooks(observe_latency=self._source.record_latency, observe_import=self._source.record_import),
        )
        self._source.counts += (self._deliverer.counts,)
        #: Taking in met damage of the outbox, which delivery may never come by.
        self._damaged = threading.Event()
        self._intake = Intake(
            outbox,
            holding=lambda: self._holding,
            due_at=lambda: time.time() + serve_settings.settle,
            max_state_bytes=settings.max_state_bytes,
            counts=self._deliverer.counts,
            committed=self._traffic.committed,
            damaged=self._damaged.set,
        )
        self._selection = Selection(settings)
        #: The lock is held, and the outbox was looked at.
        self._holding = False
        self._ending = threading.Event()
        self._delivery = threading.Thread(target=self._deliver, name="LabelStudioDelivery", daemon=True)

    def run(self, ready: Callable[[int, int | None], None] = lambda *_: None) -> None:
        """Serve until SIGTERM or SIGINT; what was not delivered then stays in the outbox. A second one ends at once.

        Args:
            ready: called with the ports of HTTP and gRPC when requests are taken; None for no gRPC.

        Raises:
            ConfigError: a file of TLS cannot be used.
            OSError: the address or the state directory cannot be used.
            OutboxError: the outbox cannot be used.
        """
        _allow_many_files()
        self._take_lock()
        telemetry = Telemetry(self._traffic)
        self._intake.start()
        self._delivery.start()
        try:
            asyncio.run(self._serve(telemetry, ready))
        finally:
            self._intake.close(GRACE)
            self._ending.set()
            self._delivery.join(self._settings.shutdown_timeout)
            telemetry.close()
            if not self._delivery.is_alive():
                self._source.backlog = self._deliverer.depth()
                self._deliverer.close()

    def counts(self) -> dict[str, int]:
        """Return what this run came to so far, in LLM calls; `waiting` is what the outbox still holds."""
        counts = self._deliverer.counts
        depth = self._source.backlog
        waiting = sum(number for state, number in depth.states.items() if state != "parked") if depth else 0
        return {"taken": counts.accepted, "delivered": counts.delivered, "parked": counts.parked, "waiting": waiting}

    def _check(self) -> None:
        """Raise an OutboxError while what comes would not be taken, or would not be delivered for an error of ours."""
        if not self._delivery.is_alive():
            raise OutboxError("the thread that delivers has ended by an error of ours: start the service again")
        self._intake.check()

    def _take_lock(self) -> None:
        with suppress(OutboxCorrupt):  # delivery's first step sets it aside
            self._holding = self._deliverer.take_lock()
            if self._holding:
                return
            log.warn_once(
                f"held {self._settings.directory}",
                f"another process delivers what is in {self._settings.directory}; requests are answered 503 until it "
                "ends. Give the bridge a state directory of its own (LABEL_STUDIO_OTEL_STATE_DIR)",
            )

    async def _serve(self, telemetry: Telemetry, ready: Callable[[int, int | None], None]) -> None:
        told = asyncio.Event()
        serving, traffic = self._serve_settings, self._traffic
        limits = serving.limits
        is_open = serving.metrics == "open" or access.is_loopback(serving.host)
        otlp = OtlpHttp(
            self._selection,
            self._intake,
            token=serving.token,
            max_bytes=limits.body,
            metrics=None if serving.metrics == "off" else telemetry.exposition,
            metrics_token=None if is_open else serving.token,
            traffic=traffic,
            ready=self._check,
        )
        grpc = OtlpGrpc(self._selection, self._intake, token=serving.token, limits=limits, traffic=traffic)
        server = HttpServer(Measured(otlp, traffic, ROUTES), limits)
        traffic.watch(self._selection, server, grpc)
        try:
            bound = await server.listen(serving.host, serving.port, serving.tls)
            has_grpc = serving.grpc_port is not None
            grpc_bound = grpc.listen(serving.host, serving.grpc_port or 0, serving.tls) if has_grpc else None
            _when_told_to_end(asyncio.get_running_loop(), told.set)
            ready(bound, grpc_bound)
            await told.wait()
        finally:
            await asyncio.gather(server.close(GRACE), asyncio.to_thread(grpc.close, GRACE))
            otlp.close()

    def _deliver(self) -> None:
        given_back = time.monotonic()
        with suppressed():
            while not self._ending.is_set():
                if time.monotonic() - given_back > GIVE_BACK:
                    given_back = time.monotonic()
                    with suppress(Exception):  # it is only about memory
                        _give_memory_back()
                if not self._step():
                    self._ending.wait(min(POLL, self._serve_settings.settle or POLL))

    def _step(self) -> bool:
        try:
            with suppress(LabelStudioOtelError, OSError):  # the step meets it again, and says so
                self._holding = self._deliverer.take_lock()
            if self._damaged.is_set():
                self._damaged.clear()
                self._deliverer.examine()
            moved = self._deliverer.step()
            self._source.update_backlog(self._deliverer.depth)
        except Exception as error:  # an error of ours must not end delivery for as long as the service runs
            log.warn_once("step", f"delivery failed with {log.kind(error)}; LLM calls are kept")
            return False
        return moved


def _when_told_to_end(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    def told(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # who says it again does not want to wait
        loop.call_soon_threadsafe(end)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)


def _give_memory_back() -> None:
    """Return what large requests took and is free: glibc keeps hundreds of megabytes of a burst for ever."""
    with suppress(AttributeError, OSError, TypeError):  # other systems do it by themselves, or have no such function
        ctypes.CDLL(None).malloc_trim(0)


def _allow_many_files() -> None:
    """Let as many connections in as `Limits` has: many systems begin with 1024 files a process, and allow more."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Unix only

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < FILES:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard)
            )
