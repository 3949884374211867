"""The delays between attempts, and between look-ups."""

from __future__ import annotations

import random

import pytest

from label_studio_otel.delivery.backoff import delay, lookup_delay


@pytest.mark.parametrize(
    ("failures", "retry_after", "jitter", "seconds"),
    [
        (1, None, 0.5, 1.0),
        (2, None, 0.5, 2.0),
        (3, None, 0.5, 4.0),
        (6, None, 0.5, 32.0),
        (7, None, 0.5, 60.0),
        (10**9, None, 0.5, 60.0),
        (0, None, 0.5, 1.0),
        (-5, None, 0.5, 1.0),
        (1, None, 0.0, 0.75),
        (1, None, 1.0, 1.25),
        (7, None, 0.0, 45.0),
        (7, None, 1.0, 75.0),
        (1, 120.0, 0.5, 120.0),
        (7, 5.0, 0.5, 60.0),
        (1, 0.0, 0.5, 1.0),
        (1, -3.0, 0.5, 1.0),
    ],
)
def test_the_delay_doubles_with_jitter_and_the_server_may_ask_for_longer(
    failures: int, retry_after: float | None, jitter: float, seconds: float
) -> None:
    assert delay(failures, retry_after=retry_after, jitter=jitter) == seconds


def test_the_delays_of_processes_differ() -> None:
    delays = {delay(1) for _ in range(50)}
    assert len(delays) > 40
    assert min(delays) >= 0.75
    assert max(delays) <= 1.25


def test_the_random_numbers_of_the_application_do_not_change() -> None:
    random.seed(0)
    delay(1)
    assert random.random() == 0.8444218515250481


@pytest.mark.parametrize(
    ("lookups", "seconds"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (7, 30.0), (10**9, 30.0)]
)
def test_the_delay_between_look_ups_grows(lookups: int, seconds: float) -> None:
    assert lookup_delay(lookups) == seconds
