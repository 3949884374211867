"""Tokens: the legacy one, and the personal access token that is exchanged for access tokens which live minutes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from label_studio_otel.testing import FakeClock, FakeLabelStudio, Fault, span
from support.delivering import Bench, copies, imports

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_token_no_request_is_sent(tmp_path: Path, fake: FakeLabelStudio) -> None:
    bench = Bench(tmp_path, fake.url, api_key=None)
    bench.put(span())
    bench.run()
    assert bench.target.blocked == (
        "there is no token: set LABEL_STUDIO_API_KEY to one from Label Studio's account page"
    )
    assert fake.requests == []
    bench.outbox.close()


def test_another_token_is_used_from_the_next_request_on(tmp_path: Path, fake: FakeLabelStudio) -> None:
    bench = Bench(tmp_path, fake.url, fake.personal_access_token)
    bench.put(span(number=1))
    bench.run()
    for token in (fake.token, fake.personal_access_token, fake.personal_access_token):
        bench.client.authorize(token)
        bench.client.project(1)
    sent = [request.headers.get("authorization", "").partition(" ")[0] for request in fake.requests[-4:]]
    assert (sent, _refreshes(fake)) == (["Token", "", "Bearer", "Bearer"], 2)
    bench.outbox.close()


@pytest.mark.parametrize("key", ["first line\nsecond line", "t\u00f6ken\u2026"])
def test_a_token_with_invalid_characters_blocks_and_is_not_shown(
    tmp_path: Path, fake: FakeLabelStudio, key: str
) -> None:
    bench = Bench(tmp_path, fake.url, api_key=key)
    bench.put(span())
    bench.run()
    assert bench.target.blocked == "LABEL_STUDIO_API_KEY has characters that no token has; copy it once more"
    bench.outbox.close()


def test_a_personal_access_token_is_exchanged_once_and_again_before_it_ends(
    tmp_path: Path, fake: FakeLabelStudio
) -> None:
    clock = FakeClock(time.time())
    bench = Bench(tmp_path, fake.url, fake.personal_access_token, clock=clock)
    for number in (1, 2, 3):
        bench.put(span(number=number))
        bench.run()
    assert _refreshes(fake) == 1
    fake.access_lifetime = 900  # the fake's own clock stands still meanwhile
    clock.sleep(290)
    bench.put(span(number=4))
    bench.run()
    assert _refreshes(fake) == 2
    assert copies(fake) == {"1": 1, "2": 1, "3": 1, "4": 1}
    bench.outbox.close()


def test_an_access_token_that_ended_early_is_refreshed_once_and_the_batch_sent_once(
    tmp_path: Path, fake: FakeLabelStudio
) -> None:
    bench = Bench(tmp_path, fake.url, fake.personal_access_token)
    fake.fail(Fault(status=401))
    bench.put(span(number=1))
    bench.run()
    assert _refreshes(fake) == 2
    assert bench.states == {"delivered": 1}
    assert copies(fake) == {"1": 1}
    bench.outbox.close()


def test_the_second_request_after_an_expired_access_token_prefetches_too(tmp_path: Path, fake: FakeLabelStudio) -> None:
    arrived: list[int] = []
    bench = Bench(tmp_path, fake.url, fake.personal_access_token, meanwhile=lambda: arrived.append(len(imports(fake))))
    fake.fail(Fault(status=401))
    bench.put(span(number=1))
    bench.run()
    assert len(arrived) == len(imports(fake)) == 2
    bench.outbox.close()


def test_a_personal_access_token_that_was_revoked_blocks(tmp_path: Path, fake: FakeLabelStudio) -> None:
    bench = Bench(tmp_path, fake.url, fake.personal_access_token + "x")
    bench.put(span(number=1))
    bench.run()
    assert bench.target.blocked == (
        f"{fake.url} answered 401 to POST /api/token/refresh/: Token is invalid; "
        "set LABEL_STUDIO_API_KEY to a valid token"
    )
    assert len(fake.requests) == 1
    bench.outbox.close()


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"status": 502}, {"status": 200, "body": b"<html>"}])
def test_a_token_refresh_without_a_response_leaves_no_item_uncertain(
    tmp_path: Path, fake: FakeLabelStudio, fault: dict[str, object]
) -> None:
    bench = Bench(tmp_path, fake.url, fake.personal_access_token)
    bench.put(span(number=1))
    bench.run()
    fake.fail(Fault(status=401), Fault(path="/api/token/refresh/", **fault))  # type: ignore[arg-type]
    bench.put(span(number=2))
    bench.run()
    assert bench.states == {"delivered": 1, "pending": 1}
    bench.run_later(2)
    assert copies(fake) == {"1": 1, "2": 1}
    bench.outbox.close()


def _refreshes(fake: FakeLabelStudio) -> int:
    return sum(request.path == "/api/token/refresh/" for request in fake.requests)
