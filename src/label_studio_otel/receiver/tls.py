"""TLS for both receivers: a server certificate, and client certificates where an authority for them is named.

TLS 1.2 or later. The files are read again when they have changed, so a renewed certificate needs no restart.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from label_studio_otel import log
from label_studio_otel.errors import ConfigError
from label_studio_otel.receiver import access

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Renewed", "Tls"]

Made = TypeVar("Made")
#: What OpenSSL says of a key that is another certificate's: the last of one of another algorithm.
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM."""

    #: The server's certificate, and those between it and its authority.
    certificate: Path
    #: The certificate's private key, without a passphrase.
    key: Path
    #: Authorities: only clients with a certificate of one of them may connect; None where all may.
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a server of HTTP/1.1 speaks TLS by, with the files as they are now.

        Raises:
            ConfigError: a file cannot be used; the message names it.
        """
        self._look()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
        context.num_tickets = 0  # a session that is taken up again would outlive its client's authority
        context.set_alpn_protocols(["http/1.1"])
        self._load_certificate(context)
        if self.client_ca is not None:
            _load_authorities(context, self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def credentials(self) -> Any:
        """Return the `grpc.ServerCredentials`, which follow the files.

        Raises:
            ConfigError: a file cannot be used; the message names it.
        """
        import grpc  # noqa: PLC0415 - HTTP alone does without

        files = Renewed(self, self._for_grpc)
        require = self.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(files.now(), files.changed, require_client_authentication=require)

    def stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what is different when a file is not the same any more."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.client_ca) if path is not None)

    def _for_grpc(self) -> Any:
        import grpc  # noqa: PLC0415

        self.context()  # says what is wrong with a file; gRPC does not
        authorities = None if self.client_ca is None else _read(self.client_ca)
        pair = (_read(self.key), _read(self.certificate))
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)

    def _look(self) -> None:
        """Say what OpenSSL would not: it blames neither of the two files."""
        if b"-----BEGIN CERTIFICATE-----" not in _read(self.certificate):
            raise ConfigError(f"the TLS certificate {self.certificate} is not in PEM")
        if b"PRIVATE KEY-----" not in _read(self.key):
            raise ConfigError(f"the TLS key {self.key} is not in PEM")
        access.warn_if_others_may_read(self.key, "the TLS key")

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        def no_passphrase() -> NoReturn:
            raise ConfigError(f"the TLS key {self.key} has a passphrase, which nobody is there to type")

        try:
            context.load_cert_chain(self.certificate, self.key, password=no_passphrase)
        except ssl.SSLError as error:
            if error.reason in _NOT_A_PAIR:
                raise ConfigError(f"the TLS key {self.key} is not that of the certificate {self.certificate}") from None
            raise self._broken(error.reason) from None
        except OSError as error:
            raise ConfigError(f"{self.certificate} or {self.key} cannot be read: {error.strerror}") from None

    def _broken(self, reason: str | None) -> ConfigError:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(self.certificate)
        except (ssl.SSLError, OSError):
            return ConfigError(f"the TLS certificate {self.certificate} is broken")
        why = f" ({reason})" if reason not in (None, "PEM lib") else ""
        return ConfigError(f"the TLS key {self.key} cannot be used with the certificate {self.certificate}{why}")


class Renewed(Generic[Made]):
    """What is made of a `Tls`, made again when its files have changed; may be called from any thread.

    A renewal that cannot be used leaves the one before in use, with a warning.

    Raises:
        ConfigError: not even the first can be made.
    """

    def __init__(self, tls: Tls, make: Callable[[], Made]) -> None:
        self._tls = tls
        self._make = make
        self._lock = threading.Lock()
        self._stamps = tls.stamps()
        self._made = make()

    def now(self) -> Made:
        """Return what the files say, or said when they could be used."""
        return self.changed() or self._made

    def changed(self) -> Made | None:
        """Return what is made of files that have changed since the last call, None where there is nothing new."""
        with self._lock:
            # Taken before the files are read: a change while they are comes up at the next call.
            if (stamps := self._tls.stamps()) == self._stamps:
                return None
            self._stamps = stamps
            try:
                self._made = self._make()
            except ConfigError as error:
                log.warn_once("TLS certificate", f"{error}; the TLS certificate read before stays in use")
                return None
            except Exception as error:  # of ours: it must be seen, as the files are not read again until they change
                log.warn_once("TLS certificate", f"{log.kind(error)}; the TLS certificate read before stays in use")
                return None
            log.resolved("TLS certificate")
            log.info("the TLS certificate was renewed")
            return self._made


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    _read(path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError):
        raise ConfigError(f"the client authorities {path} are no certificates in PEM") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
