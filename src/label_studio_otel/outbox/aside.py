"""Where damaged outboxes go: beside the new one, under a name that says when, and never away."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["done", "put", "unread"]

#: What their names go on with, before and after what can be read was taken over.
UNREAD, CORRUPT = "unread", "corrupt"
#: What belongs to a database; a journal that stayed behind would be taken for the new one's.
JOURNALS = ("-wal", "-shm")


def put(outbox: Path, now: float) -> str:
    """Set an outbox aside and return its name there.

    Raises:
        OSError: it cannot be renamed.
    """
    when = time.strftime("%Y%m%dT%H%M%S", time.localtime(now))
    return _renamed(outbox, f"{outbox.name}.{UNREAD}-{when}").name


def unread(outbox: Path) -> list[Path]:
    """Return those from which nothing was taken over yet, or not all."""
    found = outbox.parent.glob(f"{outbox.name}.{UNREAD}-*")
    return sorted(path for path in found if not path.name.endswith(JOURNALS))


def done(path: Path) -> Path:
    """Note that all that can be read of one was taken over; return its last name."""
    return _renamed(path, path.name.replace(f".{UNREAD}-", f".{CORRUPT}-"))


def _renamed(path: Path, name: str) -> Path:
    """Rename a database with its journal, to a name that nothing has yet; return that."""
    new, number = path.with_name(name), 1
    while new.exists():
        number += 1
        new = path.with_name(f"{name}-{number}")
    for suffix in (*JOURNALS, ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").rename(new.with_name(f"{new.name}{suffix}"))
    return new
