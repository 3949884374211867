"""Declares and reads the settings of the bridge service that an application does not have.

A setting is given as an option, else as a variable, else in the section `serve` of a configuration file, else it has
its default. Limits have no options. Secrets must not have any, because every user of a machine sees all command lines.

Only the standard library is imported here, so that `serve --help` works without the extra `serve`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from label_studio_otel.errors import ConfigError
from label_studio_otel.files import warn_if_others_may_read
from label_studio_otel.settings import readers
from label_studio_otel.settings.declaration import Setting, read_values, section, setting, settings_of

_port = readers.in_range(int, 0, 65535, "a port, 0 to 65535")


def _port_or_none(value: Any) -> int | None:
    return None if str(value).strip().lower() == "none" else _port(value)


def _tokens(value: Any) -> str:
    tokens = " ".join(readers.text(value).split())
    if not tokens.isascii():
        raise ValueError("it must be ASCII")
    return tokens


def _metrics(value: Any) -> str:
    if str(value).strip().lower() == "open":
        return "open"
    try:
        return "on" if readers.boolean(value) else "off"
    except ValueError:
        raise ValueError("it must be on, off or open") from None


@dataclass(frozen=True, slots=True)
class Tls:
    """The PEM files that a server uses for TLS."""

    #: It may hold the certificates between the server's and its authority's, too.
    cert_file: Path = setting(readers.path, MISSING, "certificate of the server, in PEM", option="--tls-cert")
    key_file: Path = setting(
        readers.path, MISSING, "private key of the certificate, in PEM, without a passphrase", option="--tls-key"
    )
    client_ca_file: Path | None = setting(
        readers.path,
        None,
        "certificates of authorities, in PEM: only clients with a certificate of one of them may connect",
        option="--tls-client-ca",
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use; each of the two protocols has the same limits."""

    connections: int = setting(readers.count, 1000, "connections at a time, of each protocol")
    requests: int = setting(readers.count, 256, "requests over gRPC that are under way at a time")
    body: int = setting(readers.count, 64 << 20, "bytes of one request, compressed or decompressed")
    bodies: int = setting(readers.count, 256 << 20, "bytes of all requests that are held at a time, of each protocol")
    handshake: float = setting(readers.positive_seconds, 10.0, "seconds for the TLS handshake of a connection")
    idle: float = setting(readers.positive_seconds, 120.0, "seconds that a connection may be silent")
    head: float = setting(readers.positive_seconds, 10.0, "seconds for the request line and the headers of a request")
    sending: float = setting(readers.positive_seconds, 60.0, "seconds for a request's body")
    lingering: float = setting(
        readers.positive_seconds,
        2.0,
        "seconds for which a refused client's further bytes are read, so that it gets the response",
    )


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The settings of one bridge. Each is declared here, and nowhere else."""

    host: str = setting(readers.text, "127.0.0.1", "address to listen on", option="--host")
    port: int = setting(_port, 4318, "port of OTLP/HTTP; `0` for any free port", option="--port")
    #: None for HTTP alone.
    grpc_port: int | None = setting(
        _port_or_none, 4317, "port of OTLP/gRPC; `0` for any free port, `none` for HTTP alone", option="--grpc-port"
    )
    #: Several tokens are separated by single blanks. None where clients need no token.
    token: str | None = setting(
        _tokens,
        None,
        "bearer token that clients must send; several, separated by blanks, while one replaces another",
        secret=True,
    )
    without_token: bool = setting(
        readers.boolean,
        False,
        "listen on an address that other machines can reach, although neither token nor certificate is asked for",
        option="--without-token",
    )
    #: None for no TLS.
    tls: Tls | None = section(Tls, None)
    settle: float = setting(
        readers.seconds, 10.0, "seconds that a call waits for its log events before it is sent", option="--settle"
    )
    #: `on`, `off` or `open`.
    metrics: str = setting(
        _metrics, "on", "`GET /metrics`: `on`, `off`, or `open` to all who reach the port, without the token"
    )
    log_format: str = setting(
        readers.one_of(("text", "json")), "text", "`text`, or `json`: one object a line", option="--log-format"
    )
    limits: Limits = section(Limits, Limits())


#: Every setting, in the order of the documentation.
SERVE_SETTINGS = settings_of(ServeSettings, "LABEL_STUDIO_OTEL_SERVE_")


def load(
    options: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any] | None = None
) -> ServeSettings:
    """Return the settings of a bridge.

    Args:
        options: parsed command-line options by name; None is "not given".
        environ: environment variables. For a secret, the variable with `_FILE` at the end of its name names a file.
        file: values from a configuration file, by key.

    Raises:
        ConfigError: some of it cannot be used; the message has a line for each mistake.
    """
    file = file or {}
    problems: list[str] = []
    secrets: dict[str, str] = {}
    for one in SERVE_SETTINGS:
        if one.secret and (path := environ.get(f"{one.variable}_FILE")):
            try:
                secrets[one.variable] = read_secret(one, readers.path(path))
            except ValueError as error:
                problems.append(f"{one.variable}_FILE: {error}")

    def given(one: Setting) -> Iterator[tuple[str, Any]]:
        yield one.option or one.key, options.get(one.argument)
        yield one.variable, secrets.get(one.variable) or environ.get(one.variable)
        yield f"serve.{one.key}", file.get(one.key)

    values, unusable = read_values(SERVE_SETTINGS, given)
    problems += [sentence for _, sentence in unusable]
    tls, limits = _section(values, "tls"), _section(values, "limits")
    has_tls = bool(tls["cert_file"] and tls["key_file"])
    if any(tls.values()) and not has_tls:
        problems.append("TLS needs a certificate and its key: --tls-cert and --tls-key")
    if problems:
        raise ConfigError("\n".join(problems))
    return ServeSettings(**values, tls=Tls(**tls) if has_tls else None, limits=Limits(**limits))


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Remove the values of a section, and return them by field."""
    return {key.partition(".")[2]: values.pop(key) for key in list(values) if key.startswith(f"{name}.")}


def read_secret(one: Setting, path: Path) -> str:
    """Return the value of a secret setting from a file.

    Raises:
        ValueError: the file cannot be read, or does not hold what the setting needs.
    """
    try:
        content = path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    if not content or not content.isascii() or (one.read is not _tokens and len(content.split()) > 1):
        raise ValueError(f"{path} must hold one word in ASCII")
    warn_if_others_may_read(path, f"the {one.key} in")
    return content
