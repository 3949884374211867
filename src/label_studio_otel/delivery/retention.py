"""Keeps an outbox within its limits of bytes and age.

The keys of delivered calls are kept so that a span which comes again is not sent again. Where the outbox is full, the
oldest keys are deleted for new calls. A call that was not delivered is deleted only by `max_age`.
"""

from __future__ import annotations

from pathlib import Path

from label_studio_otel import log
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.settings import Settings

#: Seconds for which the keys of delivered calls are kept.
KEY_RETENTION_S = 30 * 86400.0
#: Seconds for which they are kept in a full outbox.
MIN_KEY_RETENTION_S = 3600.0
#: Keys that a full outbox deletes at once.
EVICTED_PER_ROUND = 1000
#: Seconds between two deletions of keys and unclaimed log events that are old enough.
EXPIRY_INTERVAL_S = 900.0


class Retention:
    """The limits of one outbox.

    Args:
        path: of the outbox, for messages.
    """

    def __init__(self, outbox: Outbox, path: Path, settings: Settings, hooks: Hooks) -> None:
        self._outbox = outbox
        self._path = path
        self._max_bytes = settings.max_state_bytes
        self._max_age = settings.max_age
        self._counts = hooks.counts
        self._clock = hooks.clock
        self._next_expiry = 0.0

    def has_room(self) -> bool:
        """Return whether the outbox may hold more, after keys were deleted where it is full; warn where it may not."""
        topic = f"room in {self._path.parent}"
        while self._max_bytes and self._outbox.used_bytes() >= self._max_bytes:
            full = f"{self._path} holds {self._max_bytes} bytes (LABEL_STUDIO_OTEL_MAX_STATE_BYTES)"
            if not self._outbox.expire_oldest(EVICTED_PER_ROUND, self._clock() - MIN_KEY_RETENTION_S):
                log.warn_once(topic, f"{full}: no more is taken over until some were delivered")
                return False
            log.warn_once(
                f"keys {self._path.parent}",
                f"{full}, mostly of what was delivered: that is remembered for less than "
                f"{KEY_RETENTION_S / 86400:g} days",
            )
        log.resolved(topic, f"{self._path} has room again")
        return True

    def expire(self) -> bool:
        """Delete what is old enough; return False where that is not due yet."""
        now = self._clock()
        if now < self._next_expiry:
            return False
        interval = min(EXPIRY_INTERVAL_S, self._max_age / 10) if self._max_age else EXPIRY_INTERVAL_S
        self._next_expiry = now + interval
        self._outbox.expire(now - KEY_RETENTION_S)
        if self._max_age:
            self._give_up(now - self._max_age)
        return True

    def expire_now(self) -> None:
        """Let the next `expire` be due: the clock was set."""
        self._next_expiry = 0.0

    def _give_up(self, before: float) -> None:
        given_up = self._outbox.give_up(before)
        self._counts.expired += given_up
        if given_up:
            log.warning(
                f"{given_up} LLM calls were given up: they waited longer than {self._max_age:g} s "
                "(LABEL_STUDIO_OTEL_MAX_AGE)"
            )
