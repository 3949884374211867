"""Inputs that failed in earlier fuzzing, and some hundred changed requests, the same in each run by fixed seeds.

The coverage-guided fuzzers are run by hand: see the first lines of their files.
"""

from __future__ import annotations

import gzip
import json
import random
from typing import TYPE_CHECKING, Any

import fuzz_receiver_frames as frames
import fuzz_receiver_grpc as grpc_calls
import fuzz_receiver_http as connections
import pytest
from fuzz_receiver_changes import shaken
from fuzz_receiver_requests import export

from support.receiving import span, traces

if TYPE_CHECKING:
    from collections.abc import Callable

    Changed = Callable[[bytes, random.Random, Any], bytes]

#: A test for each seed, with this number of inputs.
SEEDS = range(6)
INPUTS = 120


def changes(begin: list[bytes], changed: Changed, seed: int, number: int) -> list[bytes]:
    chance = random.Random(seed)
    found = []
    for _ in range(number):
        data = chance.choice(begin)
        for _ in range(chance.randrange(1, 6)):
            data = changed(data, chance, lambda one, most: shaken(one, most, chance))
        found.append(data)
    return found


def test_valid_requests_are_accepted() -> None:
    for data in connections.inputs():
        connections.test_one_input(data)
    for data in grpc_calls.inputs():
        grpc_calls.test_one_input(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_requests_over_http_get_the_right_response(seed: int) -> None:
    chance = random.Random(seed)
    for data in changes(list(connections.inputs()), connections.changed, seed, INPUTS):
        connections.test_one_input(bytes([chance.choice((0, 0, 1, 2, 3, chance.randrange(256)))]) + data[1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_changed_requests_over_grpc_get_the_right_response(seed: int) -> None:
    for data in changes(list(grpc_calls.inputs()), grpc_calls.changed, seed, INPUTS):
        grpc_calls.test_one_input(data)


def test_changed_http_2_frames_do_not_keep_others_out() -> None:
    with frames.Server() as server:
        for data in changes(server.connections(), frames.changed, 1, 100):
            server.send(data)
        server.check()


def field(number: int, value: bytes) -> bytes:
    """Return a field of protobuf with a length."""
    return bytes([number << 3 | 2, len(value)]) + value


def call_with(attribute: bytes) -> bytes:
    """Return a request with a call that has this attribute alone."""
    one = field(1, b"\1" * 16) + field(2, b"\2" * 8) + field(9, attribute)
    return field(1, field(2, field(1, field(1, b"acme")) + field(2, one)))


OPERATION = field(1, b"gen_ai.operation.name") + field(2, field(1, b"chat"))


@pytest.mark.parametrize(
    "unknown",
    [b"\x18\x01", b"\xc8\x3e\x01", b"\xca\x3e\x02hi", b"\xcd\x3e" + bytes(4), b"\xcb\x3e\x08\x01\xcc\x3e"],
    ids=["a later field", "number", "text", "fixed", "group"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_call_whose_attribute_has_an_unknown_field_is_stored(unknown: bytes, first: bool) -> None:
    body = call_with(unknown + OPERATION if first else OPERATION + unknown)
    connections.test_one_input(b"\0" + bytes(export("traces", body, is_json=False)))
    grpc_calls.test_one_input(b"\0\0" + body)


@pytest.mark.parametrize("name", [{"a": 1}, [1], 1, True, {}])
@pytest.mark.parametrize("kind", ["name", "version"])
def test_a_scope_that_is_not_text_causes_no_error_of_ours(name: Any, kind: str) -> None:
    request = json.loads(traces(span()))
    request["resourceSpans"][0]["scopeSpans"][0]["scope"][kind] = name
    connections.test_one_input(b"\0" + bytes(export("traces", json.dumps(request).encode(), is_json=True)))


@pytest.mark.parametrize("wrong", [b"\0", b"x", b"\x1f\x8b", gzip.compress(b"{}")[:-5], gzip.compress(b"{}") + b"x"])
def test_data_that_is_not_gzip_is_refused(wrong: bytes) -> None:
    request = export("traces", wrong, is_json=True)
    head, _, body = bytes(request).partition(b"\r\n\r\n")
    connections.test_one_input(b"\0" + head + b"\r\nContent-Encoding: gzip\r\n\r\n" + body)
