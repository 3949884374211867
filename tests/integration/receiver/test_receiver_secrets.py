"""Neither the content of a call nor a token is in a log or in a response, whatever fails."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from label_studio_otel.cli import main
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.receiver.settings import Limits
from support.receiving import (
    METRICS,
    PROTOBUF,
    GrpcReceiver,
    Receiver,
    Response,
    read_response,
    span,
    traces,
    traces_in_protobuf,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SECRET = "s3cret-Content"
CALL = traces(span(text=SECRET))


class Failing(Outbox):
    """Fails as an error of ours would, and says what it was given."""

    def accept(self, records: Sequence[Any], *rest: Any) -> int:
        raise ZeroDivisionError(f"{SECRET}: {records}")


def cut_off(receiver: Receiver) -> Response:
    with receiver.connect() as client:
        client.sendall(f"POST /{SECRET} HTTP/1.1\r\nX: {SECRET}".encode())
        return read_response(client)


def without_lock(receiver: Receiver) -> Response:
    receiver.holding = False
    return receiver.post(CALL)


HTTP: dict[int, Callable[[Receiver], Response]] = {
    400: lambda receiver: receiver.post(f'{{"resourceSpans": "{SECRET}'.encode()),
    4000: lambda receiver: receiver.post(SECRET.encode(), content_type=PROTOBUF),
    4001: lambda receiver: receiver.post(SECRET.encode(), content_encoding="gzip"),
    4002: lambda receiver: receiver.send(f"P\0{SECRET}", "/v1/traces"),
    404: lambda receiver: receiver.post(CALL, f"/v1/{SECRET}"),
    405: lambda receiver: receiver.send(f"GET{SECRET}", "/v1/traces"),
    408: cut_off,
    413: lambda receiver: receiver.post(CALL + b" " * 100_000),
    415: lambda receiver: receiver.post(CALL, content_type=f"text/{SECRET}"),
    4150: lambda receiver: receiver.post(CALL, content_encoding=SECRET),
    431: lambda receiver: receiver.post(CALL, x=SECRET * 5_000),
    503: without_lock,
}


@pytest.mark.parametrize("case", HTTP)
def test_a_request_that_fails_over_http_is_not_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], case: int
) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(tmp_path, limits=Limits(body=50_000, head=0.2)) as receiver:
        got = HTTP[case](receiver)
    assert str(got.status) == str(case)[:3]
    assert not quoted(got.body, got.headers, caplog.text, *capfd.readouterr())


def test_a_wrong_token_is_not_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(tmp_path, token="the-right-one") as receiver:
        got = receiver.post(CALL, authorization=f"Bearer {SECRET}")
    assert got.status == 401
    with GrpcReceiver(tmp_path, token="the-right-one") as over_grpc:
        refused = over_grpc.export(b"", metadata=[("authorization", f"Bearer {SECRET}")])
    written = [got.body, got.headers, refused.details(), caplog.text, *capfd.readouterr()]
    assert not quoted(*written)
    assert "the-right-one" not in str(written)


def test_an_error_of_ours_is_named_without_its_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with Receiver(tmp_path, outbox=Failing.in_file(tmp_path / "outbox.db")) as receiver:
        got = receiver.post(CALL)
    assert (got.status, got.json["message"]) == (500, "an error in label-studio-otel")
    with GrpcReceiver(tmp_path, outbox=Failing.in_file(tmp_path / "outbox.db")) as over_grpc:
        refused = over_grpc.export(traces_in_protobuf((b"\1" * 16, b"\2" * 8)))
    assert refused.details() == "an error in label-studio-otel"
    assert not quoted(got.body, refused.trailing_metadata(), caplog.text, *capfd.readouterr())
    assert "ZeroDivisionError" in caplog.text


GRPC: dict[str, Callable[[GrpcReceiver], Any]] = {
    "no OTLP": lambda receiver: receiver.export(SECRET.encode()),
    "no such method": lambda receiver: receiver.export(b"", f"/{SECRET}/Export"),
    "too large": lambda receiver: receiver.export(SECRET.encode() * 10_000, METRICS),
    "too much metadata": lambda receiver: receiver.export(b"", METRICS, metadata=[("x", SECRET * 10_000)]),
}


@pytest.mark.parametrize("case", GRPC)
def test_a_request_that_fails_over_grpc_is_not_quoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with GrpcReceiver(tmp_path, limits=Limits(body=50_000)) as receiver:
        refused = GRPC[case](receiver)
    assert refused.code().value[0] != 0
    assert not quoted(refused.details(), refused.trailing_metadata(), caplog.text, *capfd.readouterr())


def quoted(*written: Any) -> bool:
    return SECRET.lower() in json.dumps([repr(one) for one in written]).lower()


def test_no_secret_can_stand_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    options = {word.strip(",[]") for word in capsys.readouterr().out.split() if word.strip("[").startswith("--")}
    secrets = {one for one in options if any(word in one for word in ("token", "api-key", "password", "secret"))}
    assert secrets == {"--without-token"}
