"""What `serve` is told beside the settings of the product: where it listens, who may send, what clients may use.

Each of these is declared here, and nowhere else. It is given as an option, else as a variable, else in the `serve`
section of a file (`configuration`), else it has its default. Limits have no options, and secrets must not have any:
every user of a machine sees the command lines of all.

Nothing beyond the standard library is imported before `load`: the commands' help is there without the extra.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_otel.errors import ConfigError
from label_studio_otel.settings import readers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from label_studio_otel.receiver.http import Limits
    from label_studio_otel.receiver.tls import Tls

__all__ = ["SERVE_SETTINGS", "ServeSetting", "Serving", "load"]

_PREFIX = "LABEL_STUDIO_OTEL_SERVE_"


@dataclass(frozen=True, slots=True)
class Serving:
    """One bridge as it shall be."""

    host: str = "127.0.0.1"
    #: Of HTTP; 0 for any that is free.
    port: int = 4318
    #: None for HTTP alone.
    grpc_port: int | None = 4317
    #: That clients must send, one of several where there are blanks in it; None where all may.
    token: str | None = field(default=None, repr=False)
    #: None for neither receiver.
    tls: Tls | None = None
    #: Seconds between a call's arrival and its delivery.
    settle: float = 10.0
    #: Listen where other machines can reach it although nobody could be kept out.
    without_token: bool = False
    #: Whether to answer `GET /metrics`: `on`, `open` (without the token) or `off`.
    metrics: str = "on"
    log_format: str = "text"
    #: None for those that a server has by default.
    limits: Limits | None = None


class ServeSetting(NamedTuple):
    """How one of them is given, and what the documentation says about it."""

    #: In the file's `serve` section; a dot stands for a section in it.
    key: str
    read: Callable[[Any], Any]
    default: Any
    #: One sentence, in Markdown.
    meaning: str
    #: Without a value where it is a switch.
    option: str | None = None
    #: What the variable's name ends in, where that is not the key.
    suffix: str | None = None
    metavar: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable."""
        return _PREFIX + (self.suffix or self.key.replace(".", "_").upper())

    @property
    def shown(self) -> str:
        """The default as the documentation shows it, in Markdown."""
        if self.default is None:
            return ""
        written = str(self.default).lower() if isinstance(self.default, bool) else str(self.default)
        return f"`{written.removesuffix('.0')}`"


def load(options: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any] | None = None) -> Serving:
    """Read what `serve` is told.

    Args:
        options: by key, a dot as `_`; None is "not given".
        file: what stands in the file, by key.

    Raises:
        ConfigError: some of it cannot be used; the message has a line for each.
    """
    problems: list[str] = []
    file = file or {}
    given = {one.key: _get(one, options, environ, file, problems) for one in SERVE_SETTINGS if one.key != "token"}
    given["token"] = _token_of(environ, problems) or file.get("token")
    tls = _tls({key: value for key, value in given.items() if key.startswith("tls.")}, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    return Serving(
        **{key: value for key, value in given.items() if "." not in key},
        tls=tls,
        limits=_limits({key[7:]: value for key, value in given.items() if key.startswith("limits.")}),
    )


def _get(
    one: ServeSetting,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Mapping[str, Any],
    problems: list[str],
) -> Any:
    sources = (
        (one.option, options.get(one.key.replace(".", "_"))),
        (one.variable, environ.get(one.variable)),
        (f"serve.{one.key}", file.get(one.key)),
    )
    for source, value in sources:
        if value is None or value == "":
            continue
        try:
            return one.read(value)
        except (ValueError, TypeError) as error:
            problems.append(f"{source}={str(value)[:80]!r} cannot be used: {error}")
            break
    return one.default


def _token_of(environ: Mapping[str, str], problems: list[str]) -> str | None:
    from label_studio_otel.receiver import access  # noqa: PLC0415

    try:
        return access.token_of(environ)
    except ConfigError as error:
        problems.append(str(error))
        return None


def _tls(given: Mapping[str, Path | None], problems: list[str]) -> Tls | None:
    from label_studio_otel.receiver.tls import Tls  # noqa: PLC0415 - OpenSSL is loaded when it is used

    certificate, key, client_ca = (given[f"tls.{name}"] for name in ("cert_file", "key_file", "client_ca_file"))
    if certificate is not None and key is not None:
        return Tls(certificate, key, client_ca)
    if any((certificate, key, client_ca)):
        problems.append("TLS needs a certificate and its key: --tls-cert and --tls-key")
    return None


def _limits(given: Mapping[str, Any]) -> Limits:
    from label_studio_otel.receiver.http import Limits  # noqa: PLC0415 - it needs a package of the extra

    return Limits(**given)


def _port(value: Any) -> int:
    try:
        number = int(value)
    except ValueError:
        number = -1
    if isinstance(value, bool) or not 0 <= number <= 65535:
        raise ValueError("it must be a port, 0 to 65535")
    return number


def _port_or_none(value: Any) -> int | None:
    return None if str(value).strip().lower() == "none" else _port(value)


def _metrics(value: Any) -> str:
    if str(value).strip().lower() == "open":
        return "open"
    try:
        return "on" if readers.boolean(value) else "off"
    except ValueError:
        raise ValueError("it must be on, off or open") from None


def _token(value: Any) -> str:
    token = " ".join(readers.text(value).split())
    if not token.isascii():
        raise ValueError("it must be ASCII")
    return token


def _some_seconds(value: Any) -> float:
    if not (seconds := readers.seconds(value)):
        raise ValueError("it must be a number of seconds, more than 0")
    return seconds


def _number(value: Any) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError("it must be a whole number, 1 or more")
    return number


_FILE = "FILE"

#: All of them, in the order of the documentation.
SERVE_SETTINGS = (
    ServeSetting("host", readers.text, "127.0.0.1", "address to listen on", "--host"),
    ServeSetting("port", _port, 4318, "of HTTP; `0` for any that is free", "--port"),
    ServeSetting(
        "grpc_port", _port_or_none, 4317, "of gRPC; `0` for any that is free, `none` for HTTP alone", "--grpc-port"
    ),
    ServeSetting(
        "token",
        _token,
        None,
        "bearer token that clients must send, or several, separated by blanks, while one is changed",
    ),
    ServeSetting(
        "without_token",
        readers.boolean,
        False,
        "listen on an address that other machines can reach although nothing here keeps strangers out",
        "--without-token",
    ),
    ServeSetting(
        "tls.cert_file", readers.path, None, "certificate of the server, in PEM", "--tls-cert", "TLS_CERT", _FILE
    ),
    ServeSetting("tls.key_file", readers.path, None, "its private key, in PEM", "--tls-key", "TLS_KEY", _FILE),
    ServeSetting(
        "tls.client_ca_file",
        readers.path,
        None,
        "authorities, in PEM: only clients with a certificate of one of them may connect",
        "--tls-client-ca",
        "TLS_CLIENT_CA",
        _FILE,
    ),
    ServeSetting(
        "settle",
        readers.seconds,
        10.0,
        "how long a call waits for its log events before it is sent",
        "--settle",
        metavar="SECONDS",
    ),
    ServeSetting(
        "metrics", _metrics, "on", "`GET /metrics`: `on`, `off`, or `open` to all who reach the port, without the token"
    ),
    ServeSetting(
        "log_format", readers.one_of(("text", "json")), "text", "`text`, or `json`: one object a line", "--log-format"
    ),
    ServeSetting("limits.connections", _number, 1000, "connections at a time, of each protocol"),
    ServeSetting("limits.requests", _number, 256, "requests over gRPC that are under way at a time"),
    ServeSetting("limits.body", _number, 64 << 20, "bytes of one request, over HTTP as it is sent"),
    ServeSetting(
        "limits.bodies", _number, 256 << 20, "bytes of all requests that are held at a time, of each protocol"
    ),
    ServeSetting("limits.handshake", _some_seconds, 10.0, "seconds for the TLS handshake of a connection"),
    ServeSetting("limits.idle", _some_seconds, 120.0, "seconds that a connection may be silent"),
    ServeSetting("limits.head", _some_seconds, 10.0, "seconds for a request's head"),
    ServeSetting("limits.sending", _some_seconds, 60.0, "seconds for a request's body"),
    ServeSetting("limits.lingering", _some_seconds, 2.0, "seconds that a refused client may go on sending"),
)
