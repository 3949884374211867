"""JSON that a length limit cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.generation import BlobPart, Message, TextPart, ToolCallPart
from label_studio_otel.reading.forms.gen_ai import drop_partial_end, messages_of, split
from label_studio_otel.reading.truncated_json import beginning_of


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ('[{"a": "b', [{"a": "b"}]),
        ('[{"a": "b\\', [{"a": "b"}]),
        ('[{"a": "b\\u00', [{"a": "b"}]),
        ('[{"a": "b\\u00e9', [{"a": "bé"}]),
        ('[{"a": "\\ud83d', [{"a": ""}]),
        ('[{"a": "\\ud83d\\ude0', [{"a": ""}]),
        ('[{"a": "\\ud83d\\ude00', [{"a": "😀"}]),
        ('[{"a": "\\\\u12', [{"a": "\\u12"}]),
        ('[{"a": "b", "c', [{"a": "b"}]),
        ('[{"a": "b", "c"', [{"a": "b"}]),
        ('[{"a": "b", "c":', [{"a": "b"}]),
        ('[{"a": 12', [{}]),
        ('[{"a": 12,', [{"a": 12}]),
        ('[{"a": tru', [{}]),
        ('[{"a": true', [{"a": True}]),
        ('[{"a": [1, [2, ', [{"a": [1, [2]]}]),
        ('[{"role": "assi', [{}]),
        ('[{"name": "weat', [{}]),
        ('[{"id": ["c1", "c', [{"id": ["c1", "c"]}]),
        ("[", []),
        ("{", {}),
    ],
)
def test_what_is_there_is_read(text: str, beginning: Any) -> None:
    assert beginning_of(text) == beginning


@pytest.mark.parametrize("text", ["", "]", "[}", "nul", '"', "x", "[" * 100_000])
def test_what_is_no_beginning_is_nothing(text: str) -> None:
    assert beginning_of(text) in (None, "")


@given(st.text(), st.booleans(), st.integers(0))
def test_a_text_is_kept_up_to_the_cut(content: str, ascii_only: bool, length: int) -> None:
    whole = json.dumps([{"role": "user", "parts": [{"type": "text", "content": content}]}], ensure_ascii=ascii_only)
    start = whole.index('"content": "') + len('"content": "')

    found = beginning_of(whole[: start + length])

    assert content.startswith(found[0]["parts"][0]["content"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    ).map(lambda value: json.dumps([value])),
    st.integers(1, 200),
)
def test_any_beginning_can_be_read(whole: str, length: int) -> None:
    assert isinstance(beginning_of(whole[:length]), list)


def parts_of(*parts: Any, cut: int) -> list[Message]:
    items, is_cut = split(json.dumps([{"role": "assistant", "parts": list(parts)}])[:-cut])
    assert is_cut
    return drop_partial_end(message for item in items for message in messages_of(item, "user"))


def test_half_a_part_is_dropped() -> None:
    text, call = {"type": "text", "content": "Hi"}, {"type": "tool_call", "id": "c1", "name": "weather"}

    assert parts_of(text, call, cut=6) == [Message("assistant", (TextPart("Hi"),))]


def test_a_message_of_which_nothing_can_be_read_is_dropped() -> None:
    assert parts_of({"type": "tool_call", "id": "c1", "name": "weather"}, cut=6) == []


def test_arguments_are_kept_up_to_the_cut() -> None:
    call = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Zürich"}}

    assert parts_of(call, cut=8) == [Message("assistant", (ToolCallPart("weather", {"city": "Züri"}, "c1"),))]


def test_base64_is_kept_in_fours() -> None:
    image = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGkhaGkhaGkh"}

    assert parts_of(image, cut=8) == [Message("assistant", (BlobPart("image", "image/png", "aGkhaGkh"),))]
