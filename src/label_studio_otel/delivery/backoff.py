"""Computes when to try again after a failure."""

from __future__ import annotations

import random

#: Our own generator: the sequence that an application gets after `random.seed` must not depend on us.
_random = random.Random()  # noqa: S311 - jitter is no secret

#: Seconds before the first retry, and at most between two.
MIN_DELAY_S = 1.0
MAX_DELAY_S = 60.0
#: Seconds of a `Retry-After` above which it is not followed.
MAX_RETRY_AFTER_S = 3600.0
#: Seconds before the first look-up of an uncertain batch, and at most between two.
MIN_LOOKUP_DELAY_S = 0.5
MAX_LOOKUP_DELAY_S = 30.0
#: Doublings after which both are at their maximum; 2.0 to a large power would overflow.
MAX_DOUBLINGS = 16


def delay(failures: int, *, retry_after: float | None = None, jitter: float | None = None) -> float:
    """Return the seconds to wait after a number of failures in a row.

    The delay doubles from 1 to 60 seconds. A factor of 0.75 to 1.25 keeps many processes from trying at once. Where the
    server asks for a longer wait by `Retry-After`, up to an hour, that is returned.

    Args:
        failures: 1 after the first failure.
        retry_after: seconds that the server asked for.
        jitter: 0 to 1, random where it is None.
    """
    factor = 0.75 + (_random.random() if jitter is None else jitter) / 2
    backoff = min(MAX_DELAY_S, MIN_DELAY_S * 2.0 ** min(max(failures, 1) - 1, MAX_DOUBLINGS)) * factor
    return max(backoff, min(retry_after or 0.0, MAX_RETRY_AFTER_S))


def lookup_delay(lookups: int) -> float:
    """Return the seconds between two look-ups of an uncertain batch: 0.5, 1, 2, … 30."""
    return min(MAX_LOOKUP_DELAY_S, MIN_LOOKUP_DELAY_S * 2.0 ** min(lookups, MAX_DOUBLINGS))
