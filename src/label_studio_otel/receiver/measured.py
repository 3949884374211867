"""A handler whose answers are counted and timed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from label_studio_otel.receiver.http import Handler, Head, Response
    from label_studio_otel.receiver.metrics import Traffic

__all__ = ["Measured"]


class Measured:
    """A handler that answers as another one does.

    Args:
        routes: the paths that it knows.
    """

    def __init__(self, handler: Handler, traffic: Traffic, routes: Collection[str]) -> None:
        self._handler = handler
        self._traffic = traffic
        self._routes = frozenset(routes)

    def refuse(self, head: Head) -> Response | None:
        """See `Handler.refuse`."""
        began = time.monotonic()
        response = self._handler.refuse(head)
        if response is not None:
            self._note(head, response, began, 0)
        return response

    async def answer(self, head: Head, body: bytes) -> Response:
        """See `Handler.answer`."""
        began = time.monotonic()
        response = await self._handler.answer(head, body)
        self._note(head, response, began, len(body))
        return response

    def wrong(self, status: int, message: str, head: Head | None) -> Response:
        """See `Handler.wrong`."""
        response = self._handler.wrong(status, message, head)
        self._note(head, response, time.monotonic(), 0)
        return response

    def _note(self, head: Head | None, response: Response, began: float, size: int) -> None:
        path = head.path.removesuffix("/") if head else ""
        route = path if path in self._routes else None
        method = head.method if head else ""
        self._traffic.answered_http(method, route, response.status, time.monotonic() - began, size)
