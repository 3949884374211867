"""All errors of this package, below `LabelStudioOtelError`.

`Retryable` and `DestinationBlocked` mean that Label Studio took nothing.
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
    """An export request is larger, or has more spans, than it may; in parts it may be taken."""


class DialectError(LabelStudioOtelError):
    """A span carries an LLM call that its dialect could not read; the raw record is kept."""


class SpoolError(LabelStudioOtelError):
    """A spool file could not be written or read."""


class OutboxError(LabelStudioOtelError):
    """The outbox could not be used."""


class OutboxCorrupt(OutboxError):
    """The outbox is not a readable database; it was set aside, never deleted."""


class OutboxFull(OutboxError):
    """The outbox holds as much as it may; nothing was taken, and there is room when some was delivered."""


class DeliveryError(LabelStudioOtelError):
    """Base of what can come of a request to Label Studio."""


class Retryable(DeliveryError):
    """Nothing arrived, and the same data may be sent again.

    Args:
        retry_after: seconds that the server asked to wait (`Retry-After`), None where it did not.
        cut_off: True where the request's body did not leave whole; a smaller one may.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, cut_off: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.cut_off = cut_off


class Uncertain(DeliveryError):
    """The request may have been carried out: no answer, or one that does not say so.

    Args:
        status: the HTTP status of the answer, None where there was none.
        import_id: of an import that Label Studio carries out later.
    """

    def __init__(self, message: str, *, status: int | None = None, import_id: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.import_id = import_id


class ItemRejected(DeliveryError):
    """Label Studio refused some items of a batch and, as it takes all or none, took none.

    Args:
        reasons: reason by position in the batch; empty where the answer names no position.
    """

    def __init__(self, message: str, *, reasons: Mapping[int, str]) -> None:
        super().__init__(message)
        self.reasons = reasons


class BatchTooLarge(DeliveryError):
    """The request's body was refused for its size (413)."""


class DestinationBlocked(DeliveryError):
    """Nothing can arrive until the set-up is mended; the message says what to do.

    Args:
        passing: True where waiting may mend it by itself (server unreachable), False where a person must act.
        missing: True where the project is not there.
        refused: True where Label Studio understood who asks, and will not do this.
    """

    def __init__(self, message: str, *, passing: bool = False, missing: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.passing = passing
        self.missing = missing
        self.refused = refused
