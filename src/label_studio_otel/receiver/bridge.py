"""The bridge service: a receiver and the delivery behind it in one process, until it is told to end.

What was answered with success is in the outbox, synchronised to the disk. Label Studio is never waited for: delivery
has a thread of its own, and this process alone opens the outbox, once.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from label_studio_otel import log
from label_studio_otel.deliverer import OUTBOX, Deliverer
from label_studio_otel.errors import LabelStudioOtelError, OutboxCorrupt
from label_studio_otel.metrics import Source, register
from label_studio_otel.outbox.sqlite import SqliteOutbox
from label_studio_otel.receiver.http import HttpServer
from label_studio_otel.receiver.intake import Intake
from label_studio_otel.receiver.otlp_grpc import OtlpGrpc
from label_studio_otel.receiver.otlp_http import OtlpHttp
from label_studio_otel.selection import Selection
from label_studio_otel.suppression import suppressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.settings import Settings

__all__ = ["Bridge"]

#: Seconds between two steps of delivery when the last one moved nothing.
POLL = 1.0
#: Seconds that requests under way may take when the process is told to end: as long as their answers may.
GRACE = 10.0
#: Files that this process may have open.
FILES = 4096


class Bridge:
    """One run of the service.

    Args:
        token: that clients must send, None where all may.
        settle: seconds between a call's arrival and its delivery.
    """

    def __init__(self, settings: Settings, *, token: str | None, settle: float) -> None:
        self._settings = settings
        self._settle = settle
        outbox = SqliteOutbox(settings.directory / OUTBOX, synchronous="FULL")
        self._source = Source(settings.url)
        self._deliverer = Deliverer(
            settings,
            settle=settle,
            outbox=outbox,
            observe=self._source.delivered_after,
            imported=self._source.imported_in,
        )
        self._source.counts += (self._deliverer.counts,)
        self._intake = Intake(
            outbox,
            holding=lambda: self._holding,
            due_at=lambda: time.time() + self._settle,
            max_state_bytes=settings.max_state_bytes,
            counts=self._deliverer.counts,
        )
        selection = Selection(settings)
        self._otlp = OtlpHttp(selection, self._intake, token=token)
        self._grpc = OtlpGrpc(selection, self._intake, token=token)
        #: The lock is held, and the outbox was looked at.
        self._holding = False
        self._ending = threading.Event()
        self._delivery = threading.Thread(target=self._deliver, name="LabelStudioDelivery", daemon=True)

    def run(
        self, host: str, port: int, grpc_port: int | None, ready: Callable[[int, int | None], None] = lambda *_: None
    ) -> None:
        """Serve until SIGTERM or SIGINT; what was not delivered then stays in the outbox.

        Args:
            grpc_port: None for HTTP alone.
            ready: called with the ports when requests are taken.

        Raises:
            OSError: the address or the state directory cannot be used.
            OutboxError: the outbox cannot be used.
        """
        register(late=True)
        _allow_many_files()
        self._take_lock()
        self._intake.start()
        self._delivery.start()
        try:
            asyncio.run(self._serve(host, port, grpc_port, ready))
        finally:
            self._intake.close()
            self._otlp.close()
            self._ending.set()
            self._delivery.join(self._settings.shutdown_timeout)
            if not self._delivery.is_alive():
                self._deliverer.close()

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

    async def _serve(
        self, host: str, port: int, grpc_port: int | None, ready: Callable[[int, int | None], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        server = HttpServer(self._otlp)
        bound = await server.listen(host, port)
        grpc_bound = None if grpc_port is None else self._grpc.listen(host, grpc_port)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(told.set))
        ready(bound, grpc_bound)
        await told.wait()
        await asyncio.gather(server.close(GRACE), asyncio.to_thread(self._grpc.close, GRACE))

    def _deliver(self) -> None:
        with suppressed():
            while not self._ending.is_set():
                if not self._step():
                    self._ending.wait(min(POLL, self._settle or POLL))

    def _step(self) -> bool:
        try:
            with suppress(LabelStudioOtelError, OSError):  # the step meets it again, and says so
                self._holding = self._deliverer.take_lock()
            moved = self._deliverer.step()
            self._source.look(self._deliverer.depth)
        except Exception as error:  # an error of ours must not end delivery for as long as the service runs
            log.warn_once("step", f"delivery failed with {log.kind(error)}; LLM calls are kept")
            return False
        return moved


def _allow_many_files() -> None:
    """Let as many connections in as `Limits` has: many systems begin with 1024 files a process, and allow more."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Unix only

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < FILES:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (FILES if hard == resource.RLIM_INFINITY else min(FILES, hard), hard)
            )
