"""Imports what delivery needs, SQLite, HTTP and TLS, in the delivering thread, and never in the middle of a fork.

A child that is forked while another thread imports keeps the half-made modules for as long as it lives, and so does
whatever the application imports of them there. Hence a fork waits until the import is done.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from label_studio_otel.metrics import instruments

if TYPE_CHECKING:
    from label_studio_otel.delivery.deliverer import Deliverer

__all__ = ["deliverer"]

#: Seconds that a fork waits: an import takes 0.1, and whoever forks while importing must not wait for ever.
FORK_PATIENCE = 5.0
#: Reentrant: a signal handler of the application may fork while its thread forks.
_importing = threading.RLock()
_fork = threading.local()


def deliverer() -> type[Deliverer]:
    """Return the class; the application's threads never wait for the import, except in a fork."""
    with _importing:
        from label_studio_otel.delivery.deliverer import Deliverer  # noqa: PLC0415
        from label_studio_otel.tasks import labeling_config  # noqa: PLC0415

        # The first use of these imports more: package resources, and the codec of host names.
        labeling_config.template("prompt")
        "localhost".encode("idna")
        instruments.register(late=True)
    return Deliverer


def _before_fork() -> None:
    _fork.waited = _importing.acquire(timeout=FORK_PATIENCE)


def _after_fork_in_parent() -> None:
    if getattr(_fork, "waited", False):  # else this module was imported after the fork began
        _importing.release()


def _after_fork_in_child() -> None:
    global _importing  # noqa: PLW0603
    _importing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
