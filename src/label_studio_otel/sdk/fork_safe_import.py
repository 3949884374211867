"""Imports what delivery needs, SQLite, HTTP and TLS, in the delivering thread, and never in the middle of a fork.

A child that is forked while another thread imports keeps the half-made modules for as long as it lives, and so does
whatever the application imports of them there. Hence a fork waits until the import is done.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from label_studio_otel import process
from label_studio_otel.metrics import instruments

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_otel.delivery.deliverer import Deliverer

__all__ = ["deliverer"]

#: Seconds that a fork waits: an import takes 0.1, and whoever forks while importing must not wait for ever.
FORK_PATIENCE = 5.0


class _ImportLock(process.ForkPart):
    """Held during the import; a fork waits for it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        process.register(self, process.ForkOrder.IMPORTS)

    def before_fork(self) -> Callable[[], None] | None:
        lock = self.lock
        return lock.release if lock.acquire(timeout=FORK_PATIENCE) else None

    def reset_in_child(self) -> None:
        self.lock = threading.RLock()


_importing = _ImportLock()


def deliverer() -> type[Deliverer]:
    """Return the class; the application's threads never wait for the import, except in a fork."""
    with _importing.lock:
        from label_studio_otel.delivery.deliverer import Deliverer  # noqa: PLC0415
        from label_studio_otel.tasks import labeling_config  # noqa: PLC0415

        # The first use of these imports more: package resources, and the codec of host names.
        labeling_config.template("prompt")
        "localhost".encode("idna")
        instruments.register(late=True)
    return Deliverer
