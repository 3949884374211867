"""A Label Studio whose imports are timed, for the metric of that name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from label_studio_otel.errors import DeliveryError, Uncertain
from label_studio_otel.label_studio.client import LabelStudio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from label_studio_otel.label_studio.resources import ImportResult

__all__ = ["TimedLabelStudio"]


class TimedLabelStudio(LabelStudio):
    """One Label Studio server.

    Args:
        url: see `LabelStudio`.
        api_key: see `LabelStudio`.
        observe: called with the seconds of each import, and with the kind of error that it met or None.
        **options: see `LabelStudio`.
    """

    def __init__(
        self, url: str, api_key: str | None, *, observe: Callable[[float, str | None], None], **options: Any
    ) -> None:
        super().__init__(url, api_key, **options)
        self._observe = observe

    def import_tasks(
        self,
        project_id: int,
        tasks: Sequence[bytes],
        begin: Callable[[], None],
        sent: Callable[[], None] = lambda: None,
    ) -> ImportResult:
        """See `LabelStudio.import_tasks`."""
        begun, kind = time.monotonic(), None
        try:
            return super().import_tasks(project_id, tasks, begin, sent)
        except DeliveryError as error:
            later = isinstance(error, Uncertain) and error.import_id is not None
            kind = None if later else type(error).__name__
            raise
        finally:
            self._observe(time.monotonic() - begun, kind)
