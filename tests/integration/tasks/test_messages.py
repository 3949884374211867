"""What delivery says: once, with what to do, and never what somebody said nor a token."""

from __future__ import annotations

import logging

import pytest

from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import State, all_tasks, run

SECRET = "the-secret-of-the-user"

FAULTS = {
    "refused by position": Fault(reject=(0,)),
    "refused": Fault(status=400, body=f'{{"detail": "no :: {SECRET}"}}'.encode()),
    "no answer": Fault(drop="after"),
    "server error": Fault(status=500, body=SECRET.encode(), carried_out=True),
    "wrong token": Fault(status=401, body=b'{"detail": "Invalid token."}'),
    "forbidden": Fault(status=403, body=SECRET.encode()),
    "not Label Studio": Fault(method="GET", path="/api/projects/", status=200, body=SECRET.encode()),
    "no counts": Fault(without_counts=True),
    "too many": Fault(status=429),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_neither_content_nor_token_reaches_a_log_or_a_reason(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    caplog.set_level(logging.DEBUG)
    broken = span(SECRET, SECRET, number=1, attributes={"gen_ai.output.messages": SECRET})
    foreign = span(SECRET, number=2, attributes={"gen_ai.operation.name": SECRET})
    fake.fail(fault)
    state.put(broken, foreign, span(SECRET, SECRET, number=3))
    deliverer = state.deliverer()
    run(deliverer)
    state.clock.sleep(2)
    run(deliverer)
    reasons = [row["reason"] for row in deliverer.outbox.database.rows("parked_reasons")]
    kept = " ".join(
        map(str, [*reasons, *(target.blocked for target, _, _ in deliverer.outbox.overview.summary().destinations)])
    )
    assert all_tasks(fake)
    for text in (SECRET, fake.token):
        assert text not in caplog.text + kept


def test_one_cause_is_said_once_and_its_end_too(
    state: State, fake: FakeLabelStudio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "label_studio_otel")
    fake.fail(*(Fault(method="GET", path="/api/projects/", status=403) for _ in range(3)))
    deliverer = state.deliverer()
    state.put(span(number=1))
    for _ in range(5):
        run(deliverer)
        state.clock.sleep(60)
    levels = [(entry.levelname, entry.getMessage()) for entry in caplog.records]
    assert levels == [
        (
            "WARNING",
            f"label-studio-otel: {fake.url} answered 403 to GET /api/projects/: no explanation; the token's user may "
            f"not do this. LLM calls are kept in {state.directory} and sent when this is mended",
        ),
        ("INFO", "label-studio-otel: LLM calls are delivered to project 'Prompts' (prompt) again"),
    ]
