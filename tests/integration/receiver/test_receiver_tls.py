"""Both receivers in TLS: real exporters, who is let in, what a file may be like, and certificates that are renewed."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from label_studio_otel import log
from label_studio_otel.errors import ConfigError
from label_studio_otel.receiver.settings import Limits, Tls
from label_studio_otel.receiver.tls import Reloading, grpc_credentials, server_context
from support.receiving import (
    JSON,
    TRACES,
    VALID,
    GrpcReceiver,
    Receiver,
    read_response,
    span,
    traces,
    traces_in_protobuf,
)
from support.sdk import CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


def pair(directory: Path, name: str, authority: trustme.CA = AUTHORITY) -> Pair:
    """Write what an authority issued for this machine's loopback address."""
    issued = authority.issue_cert("127.0.0.1", common_name=name)
    found = Pair(directory / f"{name}.crt", directory / f"{name}.key")
    found.certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    found.key.touch(0o600)
    found.key.write_bytes(issued.private_key_pem.bytes())
    return found


def trusted(directory: Path, authority: trustme.CA = AUTHORITY) -> Path:
    """Write an authority's own certificate."""
    path = directory / f"authority-{id(authority)}.crt"
    path.write_bytes(authority.cert_pem.bytes())
    return path


def server_tls(directory: Path, *, clients: trustme.CA | None = None) -> Tls:
    server = pair(directory, "server")
    return Tls(server.certificate, server.key, None if clients is None else trusted(directory, clients))


def calls() -> Sequence[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("acme").start_span("chat", attributes=CALL).end()
    return memory.get_finished_spans()


RECEIVERS: dict[str, Any] = {"http": Receiver, "grpc": GrpcReceiver}
EXPORTERS: dict[str, Any] = {"http": HttpExporter, "grpc": GrpcExporter}


def told_by(receiver: Any, authority: Path, own: Pair | None = None) -> dict[str, str]:
    """Return the variables that give an application's exporter its endpoint and the authority that it trusts."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority),
        **(
            {}
            if own is None
            else {
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(own.certificate),
                "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(own.key),
            }
        ),
    }


def exported(monkeypatch: pytest.MonkeyPatch, protocol: str, variables: dict[str, str]) -> bool:
    """Tell whether Python's exporter delivered a span."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # `requests` prefers them to what the exporter says
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = EXPORTERS[protocol](timeout=1)
    try:
        return bool(exporter.export(calls()) is SpanExportResult.SUCCESS)
    finally:
        exporter.shutdown()


@pytest.mark.parametrize("with_token", [False, True])
@pytest.mark.parametrize("clients", [None, AUTHORITY], ids=["tls", "mtls"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_pythons_exporters_send_by_their_variables_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, clients: trustme.CA | None, with_token: bool
) -> None:
    tls = server_tls(tmp_path, clients=clients)
    own = None if clients is None else pair(tmp_path, "client")
    token = "s3cret-token" if with_token else None
    with RECEIVERS[protocol](tmp_path, tls=tls, token=token) as receiver:
        variables = told_by(receiver, trusted(tmp_path), own)
        if with_token:
            variables["OTEL_EXPORTER_OTLP_HEADERS"] = "authorization=Bearer%20s3cret-token"
        assert exported(monkeypatch, protocol, variables)
        assert receiver.kept == 1


@pytest.mark.parametrize("authority", [None, STRANGER], ids=["no certificate", "a stranger's certificate"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_only_clients_of_the_authority_may_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, authority: trustme.CA | None
) -> None:
    own = None if authority is None else pair(tmp_path, "client", authority)
    with RECEIVERS[protocol](tmp_path, tls=server_tls(tmp_path, clients=AUTHORITY)) as receiver:
        assert not exported(monkeypatch, protocol, told_by(receiver, trusted(tmp_path), own))
        assert receiver.kept == 0
        assert exported(
            monkeypatch, protocol, told_by(receiver, trusted(tmp_path), pair(tmp_path, "friend"))
        )  # and the others still may


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_that_trusts_another_authority_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    with RECEIVERS[protocol](tmp_path, tls=server_tls(tmp_path)) as receiver:
        assert not exported(monkeypatch, protocol, told_by(receiver, trusted(tmp_path, STRANGER)))
        assert receiver.kept == 0


def test_plain_http_to_the_tls_port_gets_a_hint(tmp_path: Path) -> None:
    with Receiver(tmp_path, tls=server_tls(tmp_path)) as receiver:
        with receiver.connect() as client:
            client.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            got = read_response(client)
        assert (got.status, got.body) == (400, b"this port speaks TLS\n")
        assert receiver.kept == 0


def test_plain_grpc_to_the_tls_port_is_unavailable(tmp_path: Path) -> None:
    with GrpcReceiver(tmp_path, tls=server_tls(tmp_path)) as receiver:
        assert receiver.export(traces_in_protobuf(VALID)).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tls_to_a_plain_port_fails_and_does_not_affect_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    with RECEIVERS[protocol](tmp_path) as receiver:
        url = receiver.url.replace("http:", "https:")
        variables = told_by(receiver, trusted(tmp_path)) | {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        assert not exported(monkeypatch, protocol, variables)
        monkeypatch.undo()
        assert exported(monkeypatch, protocol, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})


def client_context(**changed: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    for name, value in changed.items():
        setattr(context, name, value)
    return context


def connected(receiver: Any, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    return (context or client_context()).wrap_socket(receiver.connect(), server_hostname="127.0.0.1")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tls_1_1_is_refused(tmp_path: Path, protocol: str) -> None:
    old = client_context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with RECEIVERS[protocol](tmp_path, tls=server_tls(tmp_path)) as receiver:
        plain = receiver.connect()
        with plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize(
    ("protocol", "offered", "chosen"), [("http", ["h2", "http/1.1"], "http/1.1"), ("grpc", ["h2"], "h2")]
)
def test_alpn_chooses_the_protocol(tmp_path: Path, protocol: str, offered: list[str], chosen: str) -> None:
    context = client_context()
    context.set_alpn_protocols(offered)
    with RECEIVERS[protocol](tmp_path, tls=server_tls(tmp_path)) as receiver, connected(receiver, context) as client:
        assert (client.selected_alpn_protocol(), client.version()) == (chosen, "TLSv1.3")


def test_sessions_cannot_be_resumed(tmp_path: Path) -> None:
    context = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    with Receiver(tmp_path, tls=server_tls(tmp_path, clients=AUTHORITY)) as receiver:
        own = pair(tmp_path, "client")
        context.load_cert_chain(own.certificate, own.key)
        with connected(receiver, context) as first:
            session = first.session
            assert session is not None
            assert not session.has_ticket
        with context.wrap_socket(receiver.connect(), server_hostname="127.0.0.1", session=session) as second:
            assert not second.session_reused


def post(client: ssl.SSLSocket, body: bytes) -> int:
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return read_response(client).status


def test_a_connection_can_have_large_requests_and_many(tmp_path: Path) -> None:
    with Receiver(tmp_path, tls=server_tls(tmp_path)) as receiver, connected(receiver) as client:
        assert post(client, traces(span(1), span(2, "x" * 3_000_000))) == 200
        for number in range(3, 6):
            assert post(client, traces(span(number))) == 200
        assert receiver.kept == 5


def test_a_refused_client_reads_the_reason_and_then_the_end(tmp_path: Path) -> None:
    with (
        Receiver(tmp_path, tls=server_tls(tmp_path), limits=Limits(body=100_000)) as receiver,
        connected(receiver) as client,
    ):
        assert post(client, b"x" * 2_000_000) == 413
        assert client.recv(1) == b""  # the server has sent TLS's end: without it OpenSSL raises


def test_a_silent_connection_is_closed_with_close_notify(tmp_path: Path) -> None:
    with (
        Receiver(tmp_path, tls=server_tls(tmp_path), limits=Limits(idle=0.1)) as receiver,
        connected(receiver) as client,
    ):
        assert client.recv(1) == b""


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a part of a greeting"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_handshake_that_does_not_come_times_out(tmp_path: Path, protocol: str, sent: bytes) -> None:
    limits = Limits(handshake=0.2)
    kind = RECEIVERS[protocol]
    with kind(tmp_path, tls=server_tls(tmp_path), limits=limits) as receiver, receiver.connect() as client:
        client.sendall(sent)
        began = time.monotonic()
        assert not client.recv(1)
        assert time.monotonic() - began < 5


def test_silent_handshakes_count_as_connections(tmp_path: Path) -> None:
    limits = Limits(connections=1, handshake=0.3)
    with Receiver(tmp_path, tls=server_tls(tmp_path), limits=limits) as receiver:
        with receiver.connect() as silent:
            with connected(receiver) as client:
                assert read_response(client).status == 503
            assert silent.recv(1) == b""
        with connected(receiver) as client:
            assert post(client, traces(span())) == 200


def test_a_client_that_leaves_in_the_handshake_leaves_nothing_in_memory(tmp_path: Path) -> None:
    with Receiver(tmp_path, tls=server_tls(tmp_path)) as receiver:
        for sent in (b"", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 100, os.urandom(1000)):
            with receiver.connect() as client:
                client.sendall(sent)
        with connected(receiver) as last:  # the others were accepted before it
            assert post(last, traces(span())) == 200
        end = time.monotonic() + 5
        while receiver.server._connections and time.monotonic() < end:
            time.sleep(0.01)
        assert not receiver.server._connections


def served_certificate(receiver: Any) -> bytes:
    context = client_context()
    context.set_alpn_protocols(["h2"])
    with connected(receiver, context) as client:
        found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_renewed_certificate_is_served_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    with RECEIVERS[protocol](tmp_path, tls=server_tls(tmp_path)) as receiver:
        first = served_certificate(receiver)
        assert served_certificate(receiver) == first

        (tmp_path / "server.crt").write_text("half of a")
        assert served_certificate(receiver) == first
        (tmp_path / "server.key").unlink()
        assert served_certificate(receiver) == first
        (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert warning == (
            f"label-studio-otel: the TLS certificate {tmp_path / 'server.crt'} is not in PEM; "
            "the TLS certificate read before stays in use"
        )

        pair(tmp_path, "server")
        second = served_certificate(receiver)
        assert second != first
        assert served_certificate(receiver) == second


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_new_client_authority_replaces_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    tls = server_tls(tmp_path, clients=STRANGER)
    assert tls.client_ca_file is not None
    stranger = pair(tmp_path, "stranger", STRANGER)
    with RECEIVERS[protocol](tmp_path, tls=tls) as receiver:
        assert exported(monkeypatch, protocol, told_by(receiver, trusted(tmp_path), stranger))
        tls.client_ca_file.write_bytes(AUTHORITY.cert_pem.bytes())
        assert not exported(monkeypatch, protocol, told_by(receiver, trusted(tmp_path), stranger))
        assert exported(monkeypatch, protocol, told_by(receiver, trusted(tmp_path), pair(tmp_path, "friend")))


def broken(path: Path) -> Path:
    found = path.with_name(f"broken-{path.name}")
    lines = path.read_text().splitlines()
    found.write_text("\n".join([lines[0], "AAAA" + lines[1][4:], *lines[2:], ""]))
    return found


def with_passphrase(path: Path) -> Path:
    found = path.with_suffix(".locked")
    command = ["openssl", "ec", "-in", path, "-aes128", "-passout", "pass:s3cret", "-out", found]
    subprocess.run(command, check=True, capture_output=True)
    return found


@pytest.mark.parametrize("make", [server_context, grpc_credentials])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, make: Callable[[Tls], object]) -> None:
    one, other = pair(tmp_path, "one"), pair(tmp_path, "other")
    rsa = tmp_path / "rsa.key"
    rsa.touch(0o600)
    rsa.write_bytes(AUTHORITY.issue_cert("x", key_type=trustme.KeyType.RSA).private_key_pem.bytes())
    missing, crt, key = tmp_path / "missing", one.certificate, one.key
    cases = [
        (Tls(missing, key), f"{missing} cannot be read: No such file or directory"),
        (Tls(crt, missing), f"{missing} cannot be read: No such file or directory"),
        (Tls(crt, key, missing), f"{missing} cannot be read: No such file or directory"),
        (Tls(tmp_path, key), f"{tmp_path} cannot be read: Is a directory"),
        (Tls(key, crt), f"the TLS certificate {key} is not in PEM"),
        (Tls(crt, crt), f"the TLS key {crt} is not in PEM"),
        (Tls(crt, other.key), f"the TLS key {other.key} is not that of the certificate {crt}"),
        (Tls(crt, rsa), f"the TLS key {rsa} is not that of the certificate {crt}"),
        (Tls(broken(crt), key), f"the TLS certificate {tmp_path / 'broken-one.crt'} is broken"),
        (Tls(crt, broken(key)), f"the TLS key {tmp_path / 'broken-one.key'} cannot be used with the certificate {crt}"),
        (
            Tls(crt, with_passphrase(key)),
            f"the TLS key {key.with_suffix('.locked')} has a passphrase, which nobody is there to type",
        ),
        (Tls(crt, key, key), f"the client authorities {key} are no certificates in PEM"),
    ]
    for tls, expected in cases:
        with pytest.raises(ConfigError) as found:
            make(tls)
        assert str(found.value) == expected


def test_a_key_that_every_user_may_read_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tls = server_tls(tmp_path)
    server_context(tls)
    tls.key_file.chmod(0o640)  # as a group of services may
    server_context(tls)
    assert caplog.messages == []
    tls.key_file.chmod(0o644)
    server_context(tls)
    server_context(tls)
    assert caplog.messages == [
        f"label-studio-otel: every user of this machine may read the TLS key {tls.key_file}: chmod o-rw {tls.key_file}"
    ]


def test_a_receiver_does_not_start_with_unusable_files(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "missing", tmp_path / "missing")
    with pytest.raises(ConfigError, match="missing cannot be read"), Receiver(tmp_path) as receiver:
        receiver._run(receiver.server.listen("127.0.0.1", 0, tls))
    grpc_receiver = GrpcReceiver(tmp_path)
    with pytest.raises(ConfigError, match="missing cannot be read"):
        grpc_receiver.otlp.listen("127.0.0.1", 0, tls)
    grpc_receiver.otlp.close(1)


def test_a_hundred_silent_handshakes_do_not_keep_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(connections=150)
    with Receiver(tmp_path, tls=server_tls(tmp_path), limits=limits) as receiver:
        silent = [receiver.connect() for _ in range(100)]
        try:
            assert exported(monkeypatch, "http", told_by(receiver, trusted(tmp_path)))
        finally:
            for one in silent:
                one.close()


def test_grpc_in_tls_over_a_socket_reads_the_method(tmp_path: Path) -> None:
    credentials = grpc.ssl_channel_credentials(AUTHORITY.cert_pem.bytes())
    with GrpcReceiver(tmp_path, tls=server_tls(tmp_path)) as receiver:
        with grpc.secure_channel(f"127.0.0.1:{receiver.port}", credentials) as channel:
            assert channel.unary_unary(TRACES)(traces_in_protobuf(VALID), timeout=10) == b""
        assert receiver.kept == 1


def test_an_error_of_ours_during_a_renewal_is_logged_and_the_old_certificate_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_said", set())
    made = iter(["first"])
    changing = tmp_path / "changing"
    reloading = Reloading(Tls(changing, changing), lambda _: next(made))
    changing.touch()

    assert reloading.current() == "first"
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("the TLS certificate read before stays in use")
    assert "StopIteration" in message
