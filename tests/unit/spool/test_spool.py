"""The form of a spool record: what is encoded is decoded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.errors import SpoolError
from label_studio_otel.settings import Destination
from label_studio_otel.spool import record as spool

if TYPE_CHECKING:
    pass

#: Lone surrogates, NUL and everything else that a Python string can hold; often around the length that is kept apart.
TEXTS = st.text(st.characters()) | st.text(st.characters(), min_size=500, max_size=530)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
DESTINATION = Destination("Project \ud800 \u00fc", 7, "chat", "<View/>", default_name=True)


def _payload(buffers: list[bytes]) -> bytes:
    return b"".join(buffers)[spool.FRAME.size :]


def _span(**attributes: Any) -> dict[str, Any]:
    return {"traceId": "1" * 32, "spanId": "2" * 16, "startTimeUnixNano": 3, "attributes": attributes}


def _record(text: str = "hello") -> list[bytes]:
    return spool.encode(spool.encode_destination(DESTINATION), "{}", _span(text=text))


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.dictionaries(TEXTS, VALUES, max_size=3))
def test_what_is_encoded_is_decoded(attributes: dict[str, Any], resource: dict[str, Any]) -> None:
    buffers = spool.encode(
        spool.encode_destination(DESTINATION), spool.to_json(resource), _span(**{"a": 1, **attributes})
    )
    record = spool.decode(_payload(buffers))
    assert record.destination == DESTINATION
    assert record.destination.project_config == "<View/>"
    assert record.span is not None
    # NaN is no NaN's equal, but its text is.
    assert repr(sorted(record.span["attributes"].items())) == repr(sorted({"a": 1, **attributes}.items()))
    assert repr(record.span["resource"]) == repr(resource)
    assert record.span["startTimeUnixNano"] == 3


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"\x00\xff", {"bytesValue": "AP8="}),
        (("a", "b"), ["a", "b"]),
        ([b"a", ("b",)], [{"bytesValue": "YQ=="}, ["b"]]),
        (frozenset({"a"}), ["a"]),
        ({"nested": {"deep": (1, 2.5, None)}}, {"nested": {"deep": [1, 2.5, None]}}),
    ],
)
def test_what_json_has_not_is_kept_in_a_form_that_it_has(value: Any, kept: Any) -> None:
    buffers = spool.encode(spool.encode_destination(DESTINATION), "{}", _span(value=value))
    span = spool.decode(_payload(buffers)).span
    assert span is not None
    assert span["attributes"] == {"value": kept}


def test_an_integer_longer_than_python_writes_is_kept_as_hexadecimal_text() -> None:
    huge = 1 << 16_000  # 4,817 digits
    nested = {"list": [1, huge], "set": frozenset({-huge})}
    buffers = spool.encode(spool.encode_destination(DESTINATION), "{}", _span(huge=huge, small=7, yes=True, **nested))
    span = spool.decode(_payload(buffers)).span
    assert span is not None
    text = "0x1" + "0" * 4000
    assert span["attributes"] == {"huge": text, "small": 7, "yes": True, "list": [1, text], "set": [f"-{text}"]}


def test_a_long_text_stands_apart_and_unescaped() -> None:
    text = 'a "quoted" \u00fcmlaut\n' * 100
    header, apart = _record(text)
    assert apart == text.encode()
    assert b"quoted" not in header


def test_encoding_changes_nothing_of_what_it_was_given() -> None:
    fields = _span(text="x" * 600)
    spool.encode(spool.encode_destination(DESTINATION), "{}", fields)
    assert fields == _span(text="x" * 600)


def test_the_wish_to_retry_is_a_record() -> None:
    assert spool.decode(_payload(spool.encode_retry())) == spool.Record(retry=True)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0",
        b"\xff\xff\xff\xff",
        b"\2\0\0\0[]",
        b"\2\0\0\0{}",
        b"\1\0\0\0x",
        b"\4\0\0\0null",
        b'\x1a\0\0\0{"log":{},"resource":null}',
        b'\x34\0\0\0{"destination":{},"resource":{},"long":[],"span":{}}',
    ],
)
def test_what_is_no_record_raises_a_spool_error_without_content(payload: bytes) -> None:
    with pytest.raises(SpoolError, match=f"^a record of {len(payload)} bytes cannot be read: "):
        spool.decode(payload)


@pytest.mark.parametrize("payload", [b'\x10\0\0\0{"secret": secret', b"\x07\0\0\0secret\xff"])
def test_the_error_about_an_unreadable_record_holds_no_content(payload: bytes) -> None:
    with pytest.raises(SpoolError) as raised:
        spool.decode(payload)
    assert "secret" not in str(raised.value)


def test_the_header_is_plain_json() -> None:
    (buffer,) = _record("hello")
    assert json.loads(buffer[spool.FRAME.size + 4 :])["span"]["attributes"] == {"text": "hello"}
