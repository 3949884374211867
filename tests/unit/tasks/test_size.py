"""JSON data that Label Studio can store."""

from __future__ import annotations

from label_studio_otel.tasks.size import sanitize


def test_what_postgresql_refuses_is_replaced_and_all_else_stays() -> None:
    data = {"te\0xt": "a\0b\ud800", "tokens": 12, "ratio": 0.5, "nothing": None, "flag": True, "list": [1, "c"]}
    assert sanitize(data) == {
        "te\ufffdxt": "a\ufffdb\ufffd",
        "tokens": 12,
        "ratio": 0.5,
        "nothing": None,
        "flag": True,
        "list": [1, "c"],
    }


def test_numbers_that_json_cannot_have_become_text() -> None:
    assert sanitize([float("nan"), float("-inf"), 1 << 1001]) == ["nan", "-inf", hex(1 << 1001)]
