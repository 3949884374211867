"""Imports what delivery needs (SQLite, HTTP, TLS) in the delivery thread, and never in the middle of a fork.

A child that is forked while another thread imports keeps the half-imported modules for as long as it lives, and the
application's own imports of them fail there. So a fork waits until the import is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from label_studio_otel import process
from label_studio_otel.metrics import instruments

if TYPE_CHECKING:
    from label_studio_otel.delivery.deliverer import Deliverer

#: Seconds that a fork waits. An import takes 0.1 s, but an import that forks would wait for itself.
FORK_TIMEOUT_S = 5.0


class _ImportLock(process.ForkPart):
    """A lock that is held during the import, and that a fork waits for."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        process.register(self, process.ForkOrder.IMPORTS)

    def before_fork(self) -> Callable[[], None] | None:
        """Wait until no thread imports; return the function that releases the lock."""
        lock = self.lock
        return lock.release if lock.acquire(timeout=FORK_TIMEOUT_S) else None

    def reset_in_child(self) -> None:
        """Replace the lock."""
        self.lock = threading.RLock()


_importing = _ImportLock()


def deliverer() -> type[Deliverer]:
    """Return the class `Deliverer`; the application's threads wait for the import only if they fork."""
    with _importing.lock:
        from label_studio_otel.delivery.deliverer import Deliverer  # noqa: PLC0415
        from label_studio_otel.tasks import labeling_config  # noqa: PLC0415

        # The first use of these imports more: package resources, and the codec of host names.
        labeling_config.template("prompt")
        "localhost".encode("idna")
        instruments.register(late=True)
    return Deliverer
