"""Makes the spool records of an application's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from label_studio_otel.settings import Destination
from label_studio_otel.spool import record


class RecordEncoder:
    """Encodes spans and log events, and keeps the JSON that consecutive ones share: destination and resource.

    Any thread may call it.

    Args:
        destination_at: returns the destination of a call by its start, nanoseconds since the epoch.
    """

    def __init__(self, destination_at: Callable[[int], Destination]) -> None:
        self._destination_at = destination_at
        # Each pair is replaced as a whole: another thread may be reading it.
        self._destination_of_second: tuple[int, str] = (-1, "")
        self._json_of_resource: tuple[Mapping[str, Any] | None, str] = (None, "{}")

    def encode(self, fields: Mapping[str, Any], resource: Mapping[str, Any]) -> list[bytes]:
        """Return the record of an LLM call, by the fields of `spans.fields_of`, as buffers for one `os.writev`."""
        return record.encode(self._destination(fields["startTimeUnixNano"]), self._resource(resource), fields)

    def encode_log(self, fields: Mapping[str, Any], resource: Mapping[str, Any] | None) -> list[bytes]:
        """Return the record of a log event, by the fields of `spans.log_fields_of`, as buffers for one `os.writev`."""
        return record.encode_log("{}" if resource is None else self._resource(resource), fields)

    def _destination(self, start_time: int) -> str:
        second = start_time // 1_000_000_000  # no date or time in a project's name is finer
        known, written = self._destination_of_second
        if known != second:
            written = record.encode_destination(self._destination_at(start_time))
            self._destination_of_second = (second, written)
        return written

    def _resource(self, resource: Mapping[str, Any]) -> str:
        known, written = self._json_of_resource
        if known is not resource:
            written = record.to_json(dict(resource))
            self._json_of_resource = (resource, written)
        return written
