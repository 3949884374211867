"""All errors of this package, below `LabelStudioOtelError`.

`Retryable`, `ItemRejected`, `BatchTooLarge` and `DestinationBlocked` mean that an import created no task. `Uncertain`
means that it may have created tasks.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BatchTooLarge",
    "ConfigError",
    "DecodeError",
    "DeliveryError",
    "DestinationBlocked",
    "DialectError",
    "ItemRejected",
    "LabelStudioOtelError",
    "OutboxCorrupt",
    "OutboxError",
    "OutboxFull",
    "RequestTooLarge",
    "Retryable",
    "SpoolError",
    "Uncertain",
]


class LabelStudioOtelError(Exception):
    """Base of all errors of this package."""


class ConfigError(LabelStudioOtelError):
    """A setting has a value that cannot be used; the message names it and says what it should be."""


class DecodeError(LabelStudioOtelError):
    """Bytes that should be OTLP could not be decoded; the message names where they came from, never what they say."""


class RequestTooLarge(DecodeError):
    """An export request is too large or has too many spans; the client can send it in several smaller ones."""


class DialectError(LabelStudioOtelError):
    """A span carries an LLM call that its dialect could not read; the raw record is kept."""


class SpoolError(LabelStudioOtelError):
    """A spool file could not be written or read."""


class OutboxError(LabelStudioOtelError):
    """The outbox could not be used."""


class OutboxCorrupt(OutboxError):
    """The outbox is not a readable database; `Deliverer.step` sets it aside and never deletes it."""


class OutboxFull(OutboxError):
    """The outbox has reached its limit of bytes; nothing was added. Delivery makes room."""


class DeliveryError(LabelStudioOtelError):
    """Base of what can come of a request to Label Studio."""


class Retryable(DeliveryError):
    """The same request may be sent again: of an import nothing arrived, and other requests may be carried out twice.

    Args:
        retry_after: seconds that the server asked to wait (`Retry-After`), None where it did not.
        cut_off: True where the request's body did not leave whole; a smaller one may.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, cut_off: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.cut_off = cut_off


class Uncertain(DeliveryError):
    """The request may have been carried out: no response came, or one that does not prove what happened.

    Args:
        status: the HTTP status of the response, None where there was none.
        import_id: of an import that Label Studio carries out later.
    """

    def __init__(self, message: str, *, status: int | None = None, import_id: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.import_id = import_id


class ItemRejected(DeliveryError):
    """Label Studio refused some items of a batch and, as it takes all or none, took none.

    Args:
        reasons: reason by position in the batch; empty where the response names no position.
    """

    def __init__(self, message: str, *, reasons: Mapping[int, str]) -> None:
        super().__init__(message)
        self.reasons = reasons


class BatchTooLarge(DeliveryError):
    """The request's body was refused for its size (413)."""


class DestinationBlocked(DeliveryError):
    """Nothing can arrive until the cause is removed; the message says what to do.

    Args:
        passing: True where waiting may mend it by itself (server unreachable), False where a person must act.
        missing: True where the project is not there.
        refused: True where Label Studio accepted the token and refused the request.
    """

    def __init__(self, message: str, *, passing: bool = False, missing: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.passing = passing
        self.missing = missing
        self.refused = refused
