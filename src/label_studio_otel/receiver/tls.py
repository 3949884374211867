"""Makes the TLS configuration of both receivers from the files of `Tls`. TLS 1.2 or later is used.

Clients need a certificate where `Tls.client_ca_file` is set. The files are read again when they have changed, so that a
renewed certificate needs no restart.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from label_studio_otel import log
from label_studio_otel.errors import ConfigError
from label_studio_otel.files import warn_if_others_may_read
from label_studio_otel.receiver.settings import Tls

Made = TypeVar("Made")
#: OpenSSL's reasons when a key does not belong to the certificate. The last one is given when their algorithms differ.
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return the context of an HTTP/1.1 server over TLS, with the files as they are now.

    Raises:
        ConfigError: a file cannot be used; the message names it.
    """
    _check_pem(tls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0  # a resumed session would still be valid when its client's authority was removed
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, tls)
    if tls.client_ca_file is not None:
        _read(tls.client_ca_file)  # its error says why a file cannot be read
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (ssl.SSLError, OSError):
            raise ConfigError(f"the client authorities {tls.client_ca_file} are no certificates in PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def grpc_credentials(tls: Tls) -> Any:
    """Return the `grpc.ServerCredentials`; they reload the files.

    Raises:
        ConfigError: a file cannot be used; the message names it.
    """
    import grpc  # noqa: PLC0415 - not needed for HTTP alone

    files = Reloading(tls, _grpc_configuration)
    require = tls.client_ca_file is not None
    return grpc.dynamic_ssl_server_credentials(files.current(), files.changed, require_client_authentication=require)


def _grpc_configuration(tls: Tls) -> Any:
    import grpc  # noqa: PLC0415

    server_context(tls)  # its error names the unusable file; gRPC's does not
    authorities = None if tls.client_ca_file is None else _read(tls.client_ca_file)
    pair = (_read(tls.key_file), _read(tls.cert_file))
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)


def _check_pem(tls: Tls) -> None:
    """Raise ConfigError with the name of a file that is not in PEM; OpenSSL's own error names neither file."""
    if b"-----BEGIN CERTIFICATE-----" not in _read(tls.cert_file):
        raise ConfigError(f"the TLS certificate {tls.cert_file} is not in PEM")
    if b"PRIVATE KEY-----" not in _read(tls.key_file):
        raise ConfigError(f"the TLS key {tls.key_file} is not in PEM")
    warn_if_others_may_read(tls.key_file, "the TLS key")


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    certificate, key = tls.cert_file, tls.key_file

    def no_passphrase() -> NoReturn:
        raise ConfigError(f"the TLS key {key} has a passphrase, which nobody is there to type")

    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason in _NOT_A_PAIR:
            raise ConfigError(f"the TLS key {key} is not that of the certificate {certificate}") from None
        raise _unusable_pair(tls, error.reason) from None
    except OSError as error:
        raise ConfigError(f"{certificate} or {key} cannot be read: {error.strerror}") from None


def _unusable_pair(tls: Tls, reason: str | None) -> ConfigError:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(tls.cert_file)
    except (ssl.SSLError, OSError):
        return ConfigError(f"the TLS certificate {tls.cert_file} is broken")
    why = f" ({reason})" if reason not in (None, "PEM lib") else ""
    return ConfigError(f"the TLS key {tls.key_file} cannot be used with the certificate {tls.cert_file}{why}")


class Reloading(Generic[Made]):
    """An object that is made from the files of a `Tls`, and made again when these have changed. Any thread may use it.

    When changed files cannot be used, the object made before stays in use, and a warning is logged.

    Raises:
        ConfigError: the first object cannot be made.
    """

    def __init__(self, tls: Tls, make: Callable[[Tls], Made]) -> None:
        self._tls = tls
        self._make = make
        self._lock = threading.Lock()
        self._stamps = _stamps(tls)
        self._made = make(tls)

    def current(self) -> Made:
        """Return the object of the files as they are, or as they were when they could last be used."""
        return self.changed() or self._made

    def changed(self) -> Made | None:
        """Return a new object if the files have changed since the last call, else None."""
        with self._lock:
            # Read before the files: a change while they are read is then found by the next call.
            if (stamps := _stamps(self._tls)) == self._stamps:
                return None
            self._stamps = stamps
            try:
                self._made = self._make(self._tls)
            except Exception as error:  # also an error of ours is logged, as the files are not read until they change
                reason = str(error) if isinstance(error, ConfigError) else log.kind(error)
                log.warn_once("TLS certificate", f"{reason}; the TLS certificate read before stays in use")
                return None
            log.resolved("TLS certificate", "the files of the TLS certificate can be used again")
            log.info("the TLS certificate was renewed")
            return self._made


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _stamps(tls: Tls) -> tuple[tuple[int, int, int] | None, ...]:
    """Return values that differ when one of the files has changed."""
    return tuple(_stamp(path) for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path is not None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
