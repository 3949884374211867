"""Reads, changes and writes the HTTP requests on one connection, for the fuzzing of the receiver."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fuzz_receiver_changes import changed

if TYPE_CHECKING:
    import random

    from fuzz_receiver_changes import Mutate

JSON, PROTOBUF = "application/json", "application/x-protobuf"
_LARGEST_BODY = 60_000

LINES = (
    b"POST /v1/traces HTTP/1.1",
    b"POST /v1/logs HTTP/1.1",
    b"POST /v1/metrics HTTP/1.1",
    b"POST /v1/traces/?x=1 HTTP/1.1",
    b"POST /v1/traces HTTP/1.0",
    b"POST http://x/v1/traces HTTP/1.1",
    b"GET /healthz HTTP/1.1",
    b"HEAD /readyz HTTP/1.1",
    b"HEAD /v1/traces HTTP/1.1",
    b"GET /metrics HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT x:80 HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"POST /v1/traces HTTP/1.2",
    b"POST  /v1/traces HTTP/1.1",
    b"POST /v1/traces",
    b"p\xc3\xb6st /v1/tr\xff HTTP/1.1",
)
HEADERS = (
    b"Content-Type: application/json; charset=utf-8",
    b"Content-Type: APPLICATION/X-PROTOBUF",
    b"Content-Type: text/plain",
    b"Content-Type:",
    b"Content-Type: application/json\r\n folded",
    b"Content-Encoding: gzip",
    b"Content-Encoding: deflate",
    b"Content-Encoding: identity",
    b"Content-Encoding: br",
    b"Content-Encoding: gzip, gzip",
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999",
    b"Content-Length: 99999999999999999999999999999",
    b"Content-Length: 1, 1",
    b"Content-Length: 0x10",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Expect: 100-continue",
    b"Expect: the-unexpected",
    b"Connection: close",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: h2c",
    b"Authorization: Bearer s3cret-token",
    b"Authorization: Bearer S3CRET",
    b"Authorization: \xff\xfe",
    b"Accept-Encoding: gzip",
    b"Host: y",
    b"Host:",
    b"X-Odd\0: 1",
    b" X: 1",
    b": 1",
    b"X: " + b"y" * 40_000,
)


@dataclass(frozen=True)
class Request:
    """One request, or the bytes after the last one that can be read."""

    line: bytes = b""
    headers: tuple[bytes, ...] = ()
    #: Decompressed.
    body: bytes = b""
    gzipped: bool = False
    #: Bytes of each chunk, 0 for a declared length.
    chunk: int = 0
    #: All bytes of the request; the other fields are not used then.
    raw: bytes = b""
    #: Whether Content-Length is the length of the body.
    honest: bool = True

    def __bytes__(self) -> bytes:
        if self.raw:
            return self.raw
        body = gzip.compress(self.body, 1, mtime=0) if self.gzipped else self.body
        added = [b"Content-Encoding: gzip"] if self.gzipped else []
        if self.chunk:
            added.append(b"Transfer-Encoding: chunked")
            pieces = [body[start : start + self.chunk] for start in range(0, len(body), self.chunk)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif body and self.honest:
            added.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([self.line, *self.headers, *added, b"", b""]) + body


def export(signal: str, body: bytes, *, is_json: bool) -> Request:
    """Return a valid request."""
    content_type = JSON if is_json else PROTOBUF
    return Request(f"POST /v1/{signal} HTTP/1.1".encode(), (b"Host: x", f"Content-Type: {content_type}".encode()), body)


def read(data: bytes) -> list[Request]:
    """Return the requests on a connection."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        line, *headers = head.split(b"\r\n")
        named = {name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in headers)}
        own = (b"content-length", b"content-encoding", b"transfer-encoding")
        kept = tuple(one for one in headers if one.partition(b":")[0].strip().lower() not in own)
        length = named.get(b"content-length", b"0")
        chunked = named.get(b"transfer-encoding") == b"chunked"
        if not end or (not length.isdigit() and not chunked) or len(length) > 9:
            return [*found, Request(raw=data)]
        body, rest = _dechunked(rest) if chunked else (rest[: int(length)], rest[int(length) :])
        gzipped = named.get(b"content-encoding") == b"gzip"
        if gzipped:
            try:
                body = zlib.decompressobj(31).decompress(body, _LARGEST_BODY)
            except zlib.error:
                gzipped = False
        found.append(Request(line, kept, body, gzipped, 1000 if chunked else 0))
        data = rest
    return found


def _dechunked(data: bytes) -> tuple[bytes, bytes]:
    body = bytearray()
    while True:
        size, _, rest = data.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            return bytes(body), data
        body += rest[:length]
        data = rest[length + 2 :]
        if length <= 0:
            return bytes(body), data


def mutated(requests: list[Request], chance: random.Random, mutate: Mutate) -> list[Request]:
    """Return the requests with one change."""
    if not requests:
        return [export("traces", b"{}", is_json=True)]
    place = chance.randrange(len(requests))
    one = requests[place]
    if one.raw:
        return [
            *requests[:place],
            replace(one, raw=mutate(one.raw, len(one.raw) + 64) or b"\0"),
            *requests[place + 1 :],
        ]
    new = [_mutated(one, chance, mutate)]
    among = chance.randrange(20)
    if among == 0:
        new = [one, one]
    elif among == 1 and len(requests) > 1:
        new = []
    elif among == 2:
        new = [one, chance.choice(requests), replace(one, line=chance.choice(LINES))]
    elif among == 3:
        whole = bytes(one)
        new = [Request(raw=whole[: chance.randrange(1, len(whole))])]
    return [*requests[:place], *new, *requests[place + 1 :]]


def _mutated(one: Request, chance: random.Random, mutate: Mutate) -> Request:
    kind = chance.randrange(20)
    if kind < 10:
        is_json = not any(header.lower().endswith(b"x-protobuf") for header in one.headers)
        return replace(one, body=changed(one.body, is_json, chance, mutate)[:_LARGEST_BODY])
    if kind < 12:
        return replace(one, headers=(*one.headers, chance.choice(HEADERS)))
    if kind == 12 and one.headers:
        dropped = chance.randrange(len(one.headers))
        return replace(one, headers=one.headers[:dropped] + one.headers[dropped + 1 :])
    if kind == 13:
        return replace(one, line=chance.choice(LINES))
    if kind == 14:
        return replace(one, gzipped=not one.gzipped)
    if kind == 15:
        return replace(one, chunk=chance.choice((0, 1, 7, 1000, 100_000)))
    if kind == 16:
        length = chance.choice((len(one.body) + 1, max(0, len(one.body) - 1), 1 << 40))
        return replace(one, honest=False, headers=(*one.headers, b"Content-Length: %d" % length))
    if kind == 17:
        content_type = chance.choice((JSON, PROTOBUF)).encode()
        kept = tuple(header for header in one.headers if not header.lower().startswith(b"content-type"))
        return replace(one, headers=(*kept, b"Content-Type: " + content_type))
    if kind == 18:
        raw = bytes(one)
        return Request(raw=mutate(raw, len(raw) + 64) or b"\0")
    return replace(one, body=one.body * chance.choice((2, 3)) if len(one.body) < _LARGEST_BODY // 3 else b"")
