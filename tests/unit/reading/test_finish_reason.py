"""Why a model stopped, in one vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.reading.finish_reason import finish_reason


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("completed", "stop"),
        ("FinishReason.STOP", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("incomplete", "length"),
        ("tool_calls", "tool_call"),
        ("tool-calls", "tool_call"),
        ("tool_use", "tool_call"),
        ("function_call", "tool_call"),
        ("FinishReason.TOOL_CALLS", "tool_call"),
        ("content-filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("refusal", "content_filter"),
        ("error", "error"),
        ("pause_turn", "pause_turn"),
        ("Other Reason. Whatever", "Other Reason. Whatever"),
        ("", None),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("unknown", None),
        (None, None),
        (7, None),
        (["stop"], None),
    ],
)
def test_the_providers_words_become_the_conventions(raw: Any, word: str | None) -> None:
    assert finish_reason(raw) == word


@given(st.text())
def test_the_conventions_words_stay(raw: str) -> None:
    word = finish_reason(raw)

    assert word is None or finish_reason(word) == word
