"""Requests over TLS and proxies, and the errors of requests that fail."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from label_studio_otel.errors import DestinationBlocked, Retryable, Uncertain
from label_studio_otel.label_studio.transport import Response, Transport
from label_studio_otel.testing import FakeLabelStudio, Fault, span
from support.delivering import Bench, copies
from support.proxies import RecordingProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def https(authority: trustme.CA) -> Iterator[FakeLabelStudio]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with FakeLabelStudio(tls=context) as server:
        yield server


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


@pytest.fixture
def bench_at(tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    made: list[Bench] = []

    def make(url: str) -> Bench:
        made.append(Bench(tmp_path, url))
        made[-1].put(span(number=1))
        made[-1].run()
        return made[-1]

    yield make
    for bench in made:
        bench.outbox.close()


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_the_authority_in_ssl_cert_file_is_trusted(
    https: FakeLabelStudio, bench_at: Callable[[str], Bench]
) -> None:
    bench_at(https.url)
    assert copies(https) == {"1": 1}


def test_an_untrusted_certificate_blocks_and_the_reason_names_the_variable(
    https: FakeLabelStudio, bench_at: Callable[[str], Bench]
) -> None:
    target = bench_at(https.url).target
    assert target.blocked is not None
    assert target.blocked.startswith(f"{https.url} cannot be reached (SSLCertVerificationError: ")
    assert target.blocked.endswith(
        "; its certificate is not trusted; set SSL_CERT_FILE to your authority's certificates"
    )
    assert https.requests == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_not_trusted(authority: trustme.CA, bench_at: Callable[[str], Bench]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("labels.example.com").configure_cert(context)
    with FakeLabelStudio(tls=context) as other:
        target = bench_at(other.url).target
    assert target.blocked is not None
    assert "certificate is not valid for '127.0.0.1'" in target.blocked


def test_ssl_cert_file_without_a_file_blocks_instead_of_raising(
    https: FakeLabelStudio, bench_at: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/authority.pem")
    assert bench_at(https.url).target.passing


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_http_goes_through_the_proxy(
    fake: FakeLabelStudio, bench_at: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with RecordingProxy() as proxy:
        monkeypatch.setenv(variable, f"http://{proxy.address}")
        bench_at(fake.url)
    assert copies(fake) == {"1": 1}
    assert ("POST", f"{fake.url}/api/projects/1/import?return_task_ids=true") in proxy.asked
    assert len(proxy.asked) == len(fake.requests)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_https_goes_through_a_tunnel(
    https: FakeLabelStudio, bench_at: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with RecordingProxy() as proxy:
        monkeypatch.setenv(variable, proxy.address)  # without a scheme, as many write it
        bench_at(https.url)
    assert copies(https) == {"1": 1}
    assert set(proxy.asked) == {("CONNECT", https.url.removeprefix("https://"))}


@pytest.mark.parametrize("exception", ["127.0.0.1", "localhost,127.0.0.1", "*"])
def test_hosts_in_no_proxy_are_connected_directly(
    fake: FakeLabelStudio, bench_at: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    with RecordingProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", exception)
        bench_at(fake.url)
    assert copies(fake) == {"1": 1}
    assert proxy.asked == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_gets_it(
    https: FakeLabelStudio,
    fake: FakeLabelStudio,
    bench_at: Callable[[str], Bench],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    server = {"http": fake, "https": https}[scheme]
    with RecordingProxy(authorization="Basic dXNlcjpwQHNz") as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:p%40ss@{proxy.address}")
        bench_at(server.url)
    assert copies(server) == {"1": 1}
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.usefixtures("trusted")
def test_a_proxy_that_refuses_the_tunnel_blocks_without_its_password(
    https: FakeLabelStudio, bench_at: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingProxy(authorization="Basic x") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:password@{proxy.address}")
        target = bench_at(https.url).target
    assert target.blocked is not None
    assert "407" in target.blocked
    assert "password" not in target.blocked


def test_a_proxy_that_is_not_there_blocks(
    fake: FakeLabelStudio, bench_at: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{_closed_port()}")
    assert bench_at(fake.url).target.passing
    assert fake.requests == []


def test_a_url_with_a_path(bench_at: Callable[[str], Bench]) -> None:
    with FakeLabelStudio(path="/label-studio") as fake:
        bench_at(fake.url)
        assert fake.url.endswith("/label-studio")
        assert copies(fake) == {"1": 1}


def test_a_redirect_blocks_with_a_reason_and_is_not_followed(
    fake: FakeLabelStudio, bench_at: Callable[[str], Bench]
) -> None:
    fake.fail(Fault(method="GET", path="/api", status=301, headers={"Location": "https://elsewhere.example/"}))
    target = bench_at(fake.url).target
    assert len(fake.requests) == 1
    assert target.blocked == (
        f"{fake.url} answered 301 to GET /api/projects/: it redirects; set LABEL_STUDIO_URL to where it redirects to"
    )


def test_a_name_that_does_not_exist_blocks(bench_at: Callable[[str], Bench]) -> None:
    target = bench_at("http://label-studio.invalid:1").target
    assert target.passing
    assert target.blocked is not None
    assert target.blocked.startswith("http://label-studio.invalid:1 cannot be reached (gaierror: ")


def test_a_request_without_a_response_is_uncertain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = Transport(f"http://127.0.0.1:{silent.getsockname()[1]}", read_timeout=0.05)
        with pytest.raises(Uncertain, match=r"gave no answer: (TimeoutError|timeout): timed out"):
            transport.send("GET", "/", None, "", lambda: None)


def test_a_request_of_which_a_part_was_sent_is_retryable() -> None:
    with _server_that_resets() as url, pytest.raises(Retryable, match="broke off the connection"):
        Transport(url, read_timeout=5).send("POST", "/", b"x" * 50_000_000, "", lambda: None)


def test_on_sent_is_called_only_after_the_whole_request_was_sent(fake: FakeLabelStudio) -> None:
    sent: list[str] = []
    with _server_that_resets() as url, pytest.raises(Retryable):
        Transport(url, read_timeout=5).send(
            "POST", "/", b"x" * 50_000_000, "", lambda: None, on_sent=lambda: sent.append("broken off")
        )
    Transport(fake.url, read_timeout=5).send("GET", "/", None, "", lambda: None, on_sent=lambda: sent.append("whole"))
    assert sent == ["whole"]


def test_on_connected_is_not_called_without_a_connection() -> None:
    begun: list[bool] = []
    transport = Transport(f"http://127.0.0.1:{_closed_port()}", read_timeout=1)
    with pytest.raises(DestinationBlocked):
        transport.send("POST", "/", b"", "", lambda: begun.append(True))
    assert begun == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("\u00b2", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert Response(429, {"retry-after": value}, b"").retry_after(1767225600.0) == seconds


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class _server_that_resets:  # noqa: N801 - used like a function
    """Accepts one connection, reads a little, and resets it."""

    def __enter__(self) -> str:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        connection.recv(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    def __exit__(self, *raised: object) -> None:
        self._thread.join()
        self._listener.close()
