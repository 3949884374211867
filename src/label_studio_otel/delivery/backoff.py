"""When to try again: a pure decision."""

from __future__ import annotations

import random

__all__ = ["delay", "lookup_delay"]

#: A generator of our own: the application's sequence after `random.seed` must not depend on us.
_random = random.Random()  # noqa: S311 - jitter is no secret

#: Seconds before the first repetition, and the most between two.
FIRST = 1.0
LONGEST = 60.0
#: Of a `Retry-After`, no more is believed.
LONGEST_ASKED = 3600.0


def delay(failures: int, *, retry_after: float | None = None, jitter: float | None = None) -> float:
    """Return the seconds to wait after a number of failures in a row.

    Doubles from 1 to 60 seconds, times 0.75 to 1.25 so that many processes do not come at once; a server's
    `Retry-After` wins where it asks for longer, up to an hour.

    Args:
        failures: 1 after the first.
        retry_after: seconds that the server asked for.
        jitter: 0 to 1, drawn where it is None.
    """
    spread = 0.75 + (_random.random() if jitter is None else jitter) / 2
    backoff = min(LONGEST, FIRST * 2.0 ** min(max(failures, 1) - 1, 16)) * spread
    return max(backoff, min(retry_after or 0.0, LONGEST_ASKED))


def lookup_delay(lookups: int) -> float:
    """Return the seconds between two look-ups of a batch in doubt: 0.5, 1, 2, … 30."""
    return min(30.0, 0.5 * 2.0 ** min(lookups, 16))
