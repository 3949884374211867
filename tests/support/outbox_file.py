"""The file of an outbox, as another process reads it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class OutboxFile:
    """Reads what is committed, over one handle: opening one for each query took a fifth of the models' time.

    Close it before the outbox, whose last handle writes the journal back into the file.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._connection: sqlite3.Connection | None = None

    def rows(self, path: Path, query: str) -> list[Any]:
        """Return the rows that a query finds in the outbox at a path."""
        if self._connection is None or path != self._path:
            self.close()
            self._path = path
            self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        return self._connection.execute(query).fetchall()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
