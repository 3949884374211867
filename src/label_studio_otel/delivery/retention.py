"""Keeps an outbox within its limits of bytes and age.

The keys of delivered calls are kept so that a span that arrives again is not sent again. In a full outbox the oldest
keys are deleted to make room for new calls. A call that was not delivered is deleted only by `max_age`.
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
    """Keeps one outbox within its limits. The path of the outbox is named in log messages."""

    def __init__(self, outbox: Outbox, path: Path, settings: Settings, hooks: Hooks) -> None:
        self._outbox = outbox
        self._path = path
        self._settings = settings
        self._hooks = hooks
        self._next_expiry = 0.0

    def has_room(self) -> bool:
        """Return whether the outbox may hold more; delete old keys if it is full, and warn if that is not enough."""
        topic = f"room in {self._path.parent}"
        limit = self._settings.max_state_bytes
        while limit and self._outbox.used_bytes() >= limit:
            full = f"{self._path} holds {limit} bytes (LABEL_STUDIO_OTEL_MAX_STATE_BYTES)"
            if not self._outbox.expire_oldest(EVICTED_PER_ROUND, self._hooks.clock() - MIN_KEY_RETENTION_S):
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
        now = self._hooks.clock()
        if now < self._next_expiry:
            return False
        max_age = self._settings.max_age
        self._next_expiry = now + (min(EXPIRY_INTERVAL_S, max_age / 10) if max_age else EXPIRY_INTERVAL_S)
        self._outbox.expire(now - KEY_RETENTION_S)
        given_up = self._outbox.give_up(now - max_age) if max_age else 0
        if given_up:
            self._hooks.counts.expired += given_up
            log.warning(
                f"{given_up} LLM calls were given up: they waited longer than {max_age:g} s (LABEL_STUDIO_OTEL_MAX_AGE)"
            )
        return True

    def expire_now(self) -> None:
        """Let the next `expire` be due: the clock was set."""
        self._next_expiry = 0.0
