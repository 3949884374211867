"""Selects the spans and log events that become tasks: the same for spans of this process, of files and of requests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from label_studio_otel import log, reading
from label_studio_otel.settings import Destination, Settings, labeling_config
from label_studio_otel.spans import MESSAGE_EVENTS

#: The operations of a `Generation`. If a span has the name of another one of them, that name does not select it.
_OPERATIONS = frozenset({"chat", "text_completion", "generate_content"})


def is_wanted(
    settings: Settings, attributes: Mapping[str, Any], scope_name: str, span_name: str, *, failed: bool
) -> bool:
    """Return True if the settings `include_errors` and `operations` select an LLM call."""
    if failed and not settings.include_errors:
        return False
    if settings.operations is None:
        return True
    names = operation_names(attributes, scope_name, span_name)
    # A call that cannot be read is selected, so that it is parked with the reason.
    return not names or not settings.operations.isdisjoint(names)


def operation_names(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> tuple[str, ...]:
    """Return the names by which the setting `operations` selects an LLM call; none if the call cannot be read.

    The first name is the operation of its `Generation`. `chat` selects `generate_content`, too. The last name is the
    span's own `gen_ai.operation.name` if it is another one, such as `acompletion`.
    """
    operation = reading.operation(attributes, scope_name, span_name)
    if operation is None:
        return ()
    names = [operation, "chat"] if operation == "generate_content" else [operation]
    recorded = attributes.get("gen_ai.operation.name")
    return (*names, recorded) if isinstance(recorded, str) and recorded not in _OPERATIONS else tuple(names)


def with_labeling_config(settings: Settings) -> Settings:
    """Return the settings with the text of the labeling config in place of the name of its file."""
    try:
        config = labeling_config(settings.project_config)
    except (OSError, ValueError) as error:
        config = None
        log.warn_once("project_config", f"project_config cannot be read ({error}); using the one of the mode")
    return replace(settings, project_config=config)


class Selection:
    """Selects calls and log events from decoded OTLP, by the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = with_labeling_config(settings)
        #: Number of LLM calls that the settings left out.
        self.filtered = 0
        #: For `filtered`, as several threads read requests.
        self._lock = threading.Lock()

    def calls(self, spans: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Destination, Mapping[str, Any]]]:
        """Yield the LLM calls that the settings select, each with its destination."""
        for span in spans:
            attributes, scope_name = span["attributes"], span["scope"]["name"]
            if not reading.is_llm_call(attributes, scope_name):
                continue
            failed = span["status"]["code"] == "ERROR"
            if is_wanted(self._settings, attributes, scope_name, span["name"], failed=failed):
                yield self._settings.destination(span["startTimeUnixNano"]), span
            else:
                with self._lock:
                    self.filtered += 1

    def events(self, logs: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield the log events that hold messages and have a span id."""
        for record in logs:
            name = record["eventName"] or record["attributes"].get("event.name")
            if record["spanId"] and isinstance(name, str) and name in MESSAGE_EVENTS:
                yield record
