"""`label-studio-otel serve`: receive OTLP from SDKs and Collectors, and make tasks of the LLM calls in it."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from label_studio_otel import log
from label_studio_otel._version import __version__
from label_studio_otel.cli import _logs, _settings
from label_studio_otel.cli._output import print_line
from label_studio_otel.errors import ConfigError, LabelStudioOtelError
from label_studio_otel.receiver import access
from label_studio_otel.receiver.settings import SERVE_SETTINGS, ServeSettings, load
from label_studio_otel.settings import Settings

#: Modules of the extra `serve`.
EXTRA_MODULES = ("google.rpc", "grpc", "h11", "opentelemetry.exporter.prometheus", "prometheus_client", "yaml")

#: Variables that are read before the settings.
CONFIG = "LABEL_STUDIO_OTEL_SERVE_CONFIG"
LOG_FORMAT = "LABEL_STUDIO_OTEL_SERVE_LOG_FORMAT"

SUMMARY = "receive OTLP, and make tasks of the LLM calls in it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments of the command."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"YAML with any setting; environment and options win over it ({CONFIG})"
    )
    parser.add_argument("--check", action="store_true", help="check whether all settings can be used, and end")
    _settings.add_options(parser, (*_settings.STATE, *_settings.DESTINATION, *SERVE_SETTINGS))
    parser.add_argument(
        "--no-grpc", dest="grpc_port", action="store_const", const="none", help="the same as --grpc-port none"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; return 1 where the service cannot start, with the reason on standard error."""
    # gRPC's core by itself writes a line for each TLS handshake that fails: strangers could fill the log.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    with _logs.logging_as(args.log_format or os.environ.get(LOG_FORMAT, "text")) as use:
        try:
            settings, serving = _read(args)
            use(serving.log_format)
            _log_warnings(settings, serving)
            if not args.check:
                return _serve(settings, serving)
            if not settings.problems:
                print_line("all that is set can be used")
            return int(bool(settings.problems))
        except ModuleNotFoundError as error:
            if error.name not in EXTRA_MODULES:
                raise
            log.error('a package is missing: pip install "label-studio-otel[serve]"')
        except LabelStudioOtelError as error:
            for line in str(error).splitlines():
                log.error(line)
        return 1


def _read(args: argparse.Namespace) -> tuple[Settings, ServeSettings]:
    """Return the settings from options, environment and configuration file.

    Raises:
        ConfigError: a value cannot be used, or the service would be open to everybody.
    """
    of_delivery: dict[str, Any] = {}
    of_serving: dict[str, Any] = {}
    if path := args.config or os.environ.get(CONFIG):
        from label_studio_otel.receiver import config_file

        file = config_file.read(Path(path), os.environ)
        of_delivery, of_serving = file.label_studio, file.serve
    settings, serving = _settings.given(args, of_delivery), load(vars(args), os.environ, of_serving)
    why = access.why_refused(serving.host, serving.token, serving.tls)
    if why and not serving.without_token:
        raise ConfigError(f"{why}; or say --without-token where something else keeps them out")
    if serving.tls is not None:
        from label_studio_otel.receiver import tls

        tls.server_context(serving.tls)
    return settings, serving


def _log_warnings(settings: Settings, serving: ServeSettings) -> None:
    if settings.api_key is None:
        log.warn_once("key", "LABEL_STUDIO_API_KEY is not set: what is received waits in the outbox until it is")
    for warning in (*settings.problems, *access.warnings(serving.host, serving.token, serving.tls)):
        log.warn_once(warning, warning)


def _serve(settings: Settings, serving: ServeSettings) -> int:
    from label_studio_otel.receiver import service

    if serving.log_format == "json":  # a person waits only for the line that it is ready
        log.info(f"{__version__} begins", {"service.version": __version__, "url.full": settings.url})
    try:
        bridge = service.Bridge(settings, serving)
        bridge.run(partial(_print_ready, serving))
    except OSError as error:
        ports = " or ".join(f"port {port}" for port in (serving.port, serving.grpc_port) if port is not None)
        log.error(f"{serving.host}, {ports}, or {settings.directory} cannot be used: {error.strerror or error}")
        return 1
    counts = bridge.counts()
    line = ", ".join(f"{number} {name}" for name, number in counts.items())
    _print(serving, f"ended: LLM calls {line}", {f"label_studio_otel.calls.{name}": counts[name] for name in counts})
    return 0


def _print_ready(serving: ServeSettings, port: int, grpc_port: int | None) -> None:
    """Print the addresses of the receivers."""
    shown = f"[{serving.host}]" if ":" in serving.host else serving.host
    grpc = "" if grpc_port is None else f", gRPC on {shown}:{grpc_port}"
    scheme = "http" if serving.tls is None else "https"
    attributes = {"server.address": serving.host, "server.port": port, "label_studio_otel.grpc.port": grpc_port}
    _print(serving, f"OTLP is received on {scheme}://{shown}:{port}{grpc}", attributes)


def _print(serving: ServeSettings, message: str, attributes: dict[str, Any]) -> None:
    """Print a message on standard output; with the log format `json` log it with its attributes instead."""
    if serving.log_format == "json":
        log.info(message, attributes)
    else:
        print_line(message)
        sys.stdout.flush()
