"""`label-studio-otel serve`: take OTLP in from any SDK or Collector, and make tasks of the LLM calls in it."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from label_studio_otel.cli import _settings
from label_studio_otel.errors import ConfigError, LabelStudioOtelError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_parser", "run"]

PORT, GRPC_PORT = 4318, 4317
#: Seconds: exporters send log events and spans in batches, every 1 to 5 s.
SETTLE = 10.0


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="receive OTLP, and make tasks of the LLM calls in it")
    _settings.add_options(parser)
    _settings.add_destination_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, help=f"of HTTP, 0 for any that is free (default: {PORT})")
    parser.add_argument(
        "--grpc-port", type=int, default=GRPC_PORT, help=f"of gRPC, 0 for any that is free (default: {GRPC_PORT})"
    )
    parser.add_argument("--no-grpc", action="store_true", help="receive HTTP alone")
    parser.add_argument(
        "--settle",
        type=float,
        default=SETTLE,
        metavar="SECONDS",
        help=f"how long a call waits for its log events before it is sent (default: {SETTLE:g})",
    )
    parser.add_argument(
        "--without-token",
        action="store_true",
        help="listen on an address that other machines can reach although no LABEL_STUDIO_OTEL_SERVE_TOKEN is set",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to end; 1 where that cannot begin, with the reason on standard error."""
    settings = _settings.read(args)
    try:
        from label_studio_otel.receiver.bridge import Bridge

        bridge = Bridge(settings, token=_token(args), settle=args.settle)
        bridge.run(args.host, args.port, None if args.no_grpc else args.grpc_port, partial(_say, args.host))
    except ModuleNotFoundError as error:
        if error.name not in ("h11", "grpc"):
            raise
        wrong = 'a package is missing: pip install "label-studio-otel[serve]"'
    except LabelStudioOtelError as error:
        wrong = str(error)
    except OSError as error:
        ports = f"port {args.port} or {args.grpc_port}"
        wrong = f"{args.host}, {ports}, or {settings.directory} cannot be used: {error.strerror or error}"
    else:
        return 0
    sys.stderr.write(f"label-studio-otel: {wrong}\n")
    return 1


def _token(args: argparse.Namespace) -> str | None:
    from label_studio_otel.receiver import access

    token = access.token_of(os.environ)
    if token is None and not access.is_loopback(args.host) and not args.without_token:
        raise ConfigError(
            f"other machines can reach {args.host}, and anybody there could write tasks: set {access.TOKEN} (or "
            f"{access.TOKEN_FILE}), or say --without-token where something else keeps them out"
        )
    return token


def _say(host: str, port: int, grpc_port: int | None) -> None:
    """Print where requests are taken."""
    shown = f"[{host}]" if ":" in host else host
    grpc = "" if grpc_port is None else f", gRPC on {shown}:{grpc_port}"
    sys.stdout.write(f"OTLP is received on http://{shown}:{port}{grpc}\n")
    sys.stdout.flush()
