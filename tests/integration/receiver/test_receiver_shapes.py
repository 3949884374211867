"""Requests over HTTP as no client writes them: what a proxy may read otherwise, chunks, and other protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from label_studio_otel.receiver.settings import Limits
from support.receiving import JSON, PROTOBUF, Receiver, read_response, span, traces

if TYPE_CHECKING:
    from pathlib import Path


def written(*lines: str, body: bytes = b"", first: str = "POST /v1/traces HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: x", f"Content-Type: {JSON}", *lines, "", ""]).encode("latin-1") + body


_BODY = traces(span())
_LENGTH = f"Content-Length: {len(_BODY)}"
_CHUNKED = "Transfer-Encoding: chunked"
_CHUNK = b"%x\r\n%s\r\n" % (len(_BODY), _BODY)

SHAPES = {
    # What a proxy in front may read as another request than we do.
    "two ways to say a length": (written(_LENGTH, _CHUNKED, body=_CHUNK + b"0\r\n\r\n"), 400),
    "two lengths": (written(_LENGTH, "Content-Length: 5", body=_BODY), 400),
    "one length twice": (written(_LENGTH, _LENGTH, body=_BODY), 200),
    "a length with a sign": (written("Content-Length: +5", body=_BODY), 400),
    "a length below nothing": (written("Content-Length: -1", body=_BODY), 400),
    "a length in hex": (written("Content-Length: 0x5", body=_BODY), 400),
    "a length of 30 digits": (written("Content-Length: " + "9" * 30, body=_BODY), 400),
    "a length of 20 digits": (written("Content-Length: " + "9" * 20, body=_BODY), 413),
    "chunked twice": (written("Transfer-Encoding: chunked, chunked", body=_CHUNK), 501),
    "something and chunked": (written("Transfer-Encoding: gzip, chunked", body=_CHUNK), 501),
    "something like chunked": (written("Transfer-Encoding: xchunked", body=_CHUNK), 501),
    "a blank before the colon": (written(_LENGTH.replace(":", " :"), body=_BODY), 400),
    "a carriage return in a header": (written("X: a\rY: b", _LENGTH, body=_BODY), 400),
    "NUL in a header": (written("X: a\0b", _LENGTH, body=_BODY), 400),
    "two hosts": (written("Host: y", _LENGTH, body=_BODY), 400),
    "no host": (b"POST /v1/traces HTTP/1.1\r\n\r\n", 400),
    # Chunks.
    "a chunk's size below nothing": (written(_CHUNKED, body=b"-1\r\n"), 400),
    "a chunk's size as in C": (written(_CHUNKED, body=b"0x5\r\n"), 400),
    "a chunk's size of 25 digits": (written(_CHUNKED, body=b"F" * 25 + b"\r\n"), 400),
    "a chunk of an exabyte": (written(_CHUNKED, body=b"F" * 15 + b"\r\n" + b"x" * 200_000), 413),
    "a chunk without its end": (written(_CHUNKED, body=b"2\r\n{}XX0\r\n\r\n"), 400),
    "a chunk's extension": (written(_CHUNKED, body=_CHUNK.replace(b"\r\n", b";a=b\r\n", 1) + b"0\r\n\r\n"), 200),
    "a chunk's extension without end": (written(_CHUNKED, body=b"1;" + b"a" * 400_000), 431),
    "a trailer": (written(_CHUNKED, body=_CHUNK + b"0\r\nX: y\r\n\r\n"), 200),
    "a trailer without end": (written(_CHUNKED, body=_CHUNK + b"0\r\nX: " + b"y" * 400_000), 431),
    # Other protocols, and other ways to write a path.
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "a proxy's target": (written(_LENGTH, body=_BODY, first="POST http://x/v1/traces HTTP/1.1"), 404),
    "a tunnel": (written(first="CONNECT x:80 HTTP/1.1"), 404),
    "a path with dots": (written(_LENGTH, body=_BODY, first="POST /healthz/../v1/traces HTTP/1.1"), 404),
    "a path with escapes": (written(_LENGTH, body=_BODY, first="POST /v1/%74races HTTP/1.1"), 404),
    "an upgrade": (written("Connection: upgrade", "Upgrade: h2c", _LENGTH, body=_BODY), 200),
    "two compressions": (written("Content-Encoding: gzip", "Content-Encoding: gzip", _LENGTH, body=_BODY), 415),
    "two content types": (written(f"Content-Type: {PROTOBUF}", _LENGTH, body=_BODY), 415),
}


@pytest.mark.parametrize(("sent", "status"), SHAPES.values(), ids=SHAPES)
def test_unusual_requests_are_answered_or_refused(tmp_path: Path, sent: bytes, status: int) -> None:
    with Receiver(tmp_path, limits=Limits(body=100_000)) as receiver:
        with receiver.connect() as client:
            client.sendall(sent)
            got = read_response(client)
        assert (got.status, receiver.kept) == (status, 1 if status == 200 else 0)
        assert got.headers.get("connection") == (None if status == 200 else "close")


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    with Receiver(tmp_path) as receiver, receiver.connect() as client:
        requests = [written(f"Content-Length: {len(body)}", body=body) for body in (traces(span(1)), traces(span(2)))]
        client.sendall(b"".join(requests) + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while received.count(b"HTTP/1.1 200") < 3:
            received += client.recv(65_536)
        assert receiver.kept == 2


def test_bytes_after_a_refused_request_are_not_read_as_another_request(tmp_path: Path) -> None:
    with Receiver(tmp_path, token="s3cret-token") as receiver:
        inner = written(_LENGTH, "Authorization: Bearer s3cret-token", body=_BODY)
        with receiver.connect() as client:
            client.sendall(written(f"Content-Length: {len(inner)}", body=inner))
            assert read_response(client).status == 401
            assert client.recv(1) == b""
        assert receiver.kept == 0
