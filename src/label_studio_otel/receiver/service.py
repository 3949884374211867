"""`Bridge` is the bridge service: receivers and delivery in one process, until a signal ends it.

A request is answered with success when its calls are in the outbox and on the disk. No request waits for Label Studio:
delivery has a thread of its own. Receivers and delivery share one outbox object, and no other process opens the file.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from label_studio_otel import log
from label_studio_otel.calls.selection import Selection
from label_studio_otel.delivery.deliverer import OUTBOX, Deliverer
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.errors import LabelStudioOtelError, OutboxCorrupt, OutboxError
from label_studio_otel.label_studio.suppression import suppressed
from label_studio_otel.metrics.server_metrics import ServerMetrics
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.receiver import access
from label_studio_otel.receiver.group_commit import GroupCommit
from label_studio_otel.receiver.http import HttpServer
from label_studio_otel.receiver.metric_readers import MetricReaders
from label_studio_otel.receiver.metrics import ReceiverMetrics
from label_studio_otel.receiver.otlp_grpc import OtlpGrpc
from label_studio_otel.receiver.otlp_http import OtlpHttp
from label_studio_otel.receiver.settings import ServeSettings
from label_studio_otel.settings import Settings

#: How long delivery waits after a step that found nothing to do.
POLL_INTERVAL_S = 1.0
#: How long requests under way may take after the signal; longer than `RESPONSE_TIMEOUT_S`.
GRACE_S = 10.0
#: How often freed memory is returned to the system.
TRIM_INTERVAL_S = 60.0
#: The number of files that this process may open: more than `Limits` has connections.
MAX_OPEN_FILES = 4096


class Bridge:
    """One run of the service.

    Raises:
        OutboxError: the outbox cannot be used.
    """

    def __init__(self, settings: Settings, serve_settings: ServeSettings) -> None:
        self._settings = settings
        self._serve_settings = serve_settings
        outbox = Outbox.in_file(settings.directory / OUTBOX, synchronous="FULL")
        self._server_metrics = ServerMetrics(settings.url)
        self._metrics = ReceiverMetrics()
        self._deliverer = Deliverer(
            settings,
            settle_delay=serve_settings.settle,
            outbox=outbox,
            hooks=Hooks(
                observe_latency=self._server_metrics.record_latency,
                observe_import=self._server_metrics.record_import,
            ),
        )
        self._server_metrics.counts += (self._deliverer.counts,)
        #: Set when a commit found the outbox damaged, perhaps in a place that delivery never reads.
        self._damaged = threading.Event()
        self._group_commit = GroupCommit(
            outbox,
            holds_lock=lambda: self._holding,
            due_at=lambda: time.time() + serve_settings.settle,
            max_state_bytes=settings.max_state_bytes,
            counts=self._deliverer.counts,
            on_commit=self._metrics.add_commit,
            on_damage=self._damaged.set,
        )
        self._selection = Selection(settings)
        #: Whether this process holds the lock and has checked the outbox.
        self._holding = False
        self._ending = threading.Event()
        self._delivery = threading.Thread(target=self._deliver, name="LabelStudioDelivery", daemon=True)

    def run(self, ready: Callable[[int, int | None], None] = lambda *_: None) -> None:
        """Serve until SIGTERM or SIGINT; a second signal ends at once. Calls that are not delivered stay in the outbox.

        Args:
            ready: called when requests are accepted, with the ports of HTTP and gRPC; None for no gRPC.

        Raises:
            ConfigError: a file of TLS cannot be used.
            OSError: the address or the state directory cannot be used.
            OutboxError: the outbox cannot be used.
        """
        _allow_many_files()
        self._take_lock()
        readers = MetricReaders(self._metrics)
        self._group_commit.start()
        self._delivery.start()
        try:
            asyncio.run(self._serve(readers, ready))
        finally:
            self._group_commit.close(GRACE_S)
            self._ending.set()
            self._delivery.join(self._settings.shutdown_timeout)
            readers.close()
            if not self._delivery.is_alive():
                self._server_metrics.backlog = self._deliverer.backlog()
                self._deliverer.close()

    def counts(self) -> dict[str, int]:
        """Return the counts of this run in LLM calls; `waiting` is the number that is still in the outbox."""
        counts = self._deliverer.counts
        depth = self._server_metrics.backlog
        waiting = sum(number for state, number in depth.states.items() if state != "parked") if depth else 0
        return {"taken": counts.accepted, "delivered": counts.delivered, "parked": counts.parked, "waiting": waiting}

    def _check(self) -> None:
        """Raise an OutboxError while requests are not accepted, or after an error has ended the thread of delivery."""
        if not self._delivery.is_alive():
            raise OutboxError("the thread that delivers has ended by an error of ours: start the service again")
        self._group_commit.check()

    def _take_lock(self) -> None:
        with suppress(OutboxCorrupt):  # the first step of delivery sets the damaged outbox aside
            self._holding = self._deliverer.take_lock()
            if self._holding:
                return
            log.warn_once(
                f"held {self._settings.directory}",
                f"another process delivers what is in {self._settings.directory}; requests are answered 503 until it "
                "ends. Give the bridge a state directory of its own (LABEL_STUDIO_OTEL_STATE_DIR)",
            )

    async def _serve(self, readers: MetricReaders, ready: Callable[[int, int | None], None]) -> None:
        signalled = asyncio.Event()
        serving, metrics = self._serve_settings, self._metrics
        limits = serving.limits
        is_open = serving.metrics == "open" or access.is_loopback(serving.host)
        otlp = OtlpHttp(
            self._selection,
            self._group_commit,
            token=serving.token,
            max_bytes=limits.body,
            exposition=None if serving.metrics == "off" else readers.exposition,
            metrics_token=None if is_open else serving.token,
            metrics=metrics,
            check=self._check,
        )
        grpc = OtlpGrpc(self._selection, self._group_commit, token=serving.token, limits=limits, metrics=metrics)
        http = HttpServer(otlp, limits)
        metrics.filtered = lambda: self._selection.filtered
        metrics.connections = lambda: {"http": http.connections}  # grpcio does not tell its own
        metrics.held = lambda: {"http": http.held, "grpc": grpc.held}
        try:
            bound = await http.listen(serving.host, serving.port, serving.tls)
            has_grpc = serving.grpc_port is not None
            grpc_bound = grpc.listen(serving.host, serving.grpc_port or 0, serving.tls) if has_grpc else None
            _on_signal(asyncio.get_running_loop(), signalled.set)
            ready(bound, grpc_bound)
            await signalled.wait()
        finally:
            await asyncio.gather(http.close(GRACE_S), asyncio.to_thread(grpc.close, GRACE_S))
            otlp.close()

    def _deliver(self) -> None:
        trimmed_at = time.monotonic()
        with suppressed():
            while not self._ending.is_set():
                if time.monotonic() - trimmed_at > TRIM_INTERVAL_S:
                    trimmed_at = time.monotonic()
                    with suppress(Exception):  # the service works without it
                        _return_free_memory()
                if not self._step():
                    self._ending.wait(min(POLL_INTERVAL_S, self._serve_settings.settle or POLL_INTERVAL_S))

    def _step(self) -> bool:
        try:
            with suppress(LabelStudioOtelError, OSError):  # the step below fails the same way, and logs it
                self._holding = self._deliverer.take_lock()
            if self._damaged.is_set():
                self._damaged.clear()
                self._deliverer.examine()
            moved = self._deliverer.step()
            self._server_metrics.update_backlog(self._deliverer.backlog)
        except Exception as error:  # an error of ours must not end the thread
            log.warn_once("step", f"delivery failed with {log.kind(error)}; LLM calls are kept")
            return False
        return moved


def _on_signal(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    """Register a function that the loop calls at SIGTERM or SIGINT; the second signal ends the process."""

    def handle(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once
        loop.call_soon_threadsafe(end)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _return_free_memory() -> None:
    """Return the memory of large requests to the system: glibc would keep hundreds of megabytes after a burst."""
    with suppress(AttributeError, OSError, TypeError):  # only glibc has the function
        ctypes.CDLL(None).malloc_trim(0)


def _allow_many_files() -> None:
    """Raise the limit of open files to `MAX_OPEN_FILES`: on many systems it is 1024, and a process may raise it."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Unix only

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < MAX_OPEN_FILES:
            wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
