"""What a fork of the process does to the parts of this package, in one order, and the lock that module state shares.

A child inherits locks that threads of its parent hold, and those threads are not there to release them. It inherits
the parent's open files and counts too. So each part that has such state registers here: it can hold still while the
process is forked, and it is reset in the child. Nothing else in the package registers a fork hook, because Python calls
hooks in the order of imports, and that order must not matter.

A signal handler of the application may fork anywhere in this module. Such an inner fork is complete before the outer
one goes on, in the parent and in the child.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from enum import IntEnum
from weakref import WeakValueDictionary

#: Protects the state of modules, for a few instructions at a time. Use it as `process.lock`: a child gets a new one.
#: Reentrant, as every lock in an application's process: a signal handler may end a span while its thread holds it.
lock = threading.RLock()


def start_thread(target: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread.

    Raises:
        RuntimeError: the interpreter is ending.
    """
    if sys.is_finalizing():  # up to Python 3.11, `Thread.start` waits for ever then
        raise RuntimeError("the interpreter is ending")
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


class ForkOrder(IntEnum):
    """The order of the parts in a fork: from first to last before it and in the child, the reverse in the parent."""

    #: An import may last seconds. A fork waits for it first, while it holds nothing else.
    IMPORTS = 1
    #: The parent's outboxes are given up before a recorder of the child can open one.
    OUTBOXES = 2
    #: Spool files, before the recorders that write them.
    SPOOLS = 3
    RECORDERS = 4


class ForkPart:
    """A part of the process that has state which a fork concerns."""

    def before_fork(self) -> Callable[[], None] | None:
        """Acquire what must not change during the fork; return what releases it in the parent, None for nothing.

        What is returned must release exactly what this call acquired: a signal handler may fork between the two.
        """
        return None

    def reset_in_child(self) -> None:
        """Begin anew in a child, with new locks: a thread that is not there may hold the old ones."""
        raise NotImplementedError


#: By their ids. No `WeakSet`: a fork reads it while another thread may register.
_parts: dict[ForkOrder, WeakValueDictionary[int, ForkPart]] = {order: WeakValueDictionary() for order in ForkOrder}


def register(part: ForkPart, order: ForkOrder) -> None:
    """Let forks hold and reset a part for as long as it lives."""
    _parts[order][id(part)] = part


def _living_parts() -> list[ForkPart]:
    references = [reference for order in sorted(_parts) for reference in _parts[order].valuerefs()]
    return [part for reference in references if (part := reference()) is not None]


class _Forks(threading.local):
    """The forks that this thread is in the middle of: one, or more where a signal handler forks in a fork."""

    def __init__(self) -> None:
        #: For each, what the parent calls after it.
        self.releases: list[list[Callable[[], None]]] = []


_forks = _Forks()


def _before_fork() -> None:
    releases: list[Callable[[], None]] = []
    _forks.releases.append(releases)
    for part in _living_parts():
        with contextlib.suppress(Exception):  # the other parts must hold still nevertheless
            release = part.before_fork()
            if release is not None:
                releases.append(release)


def _after_fork_in_parent() -> None:
    if _forks.releases:  # else this module was imported after the fork began
        for release in reversed(_forks.releases.pop()):
            with contextlib.suppress(Exception):
                release()


def _after_fork_in_child() -> None:
    global lock  # noqa: PLW0603
    lock = threading.RLock()
    if _forks.releases:
        _forks.releases.pop()  # the parent's locks
    for part in _living_parts():
        with contextlib.suppress(Exception):
            part.reset_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
