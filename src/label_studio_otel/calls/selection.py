"""What of all telemetry becomes tasks, and where: the same for spans of this process, of files and of requests."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from label_studio_otel import log, reading
from label_studio_otel.settings import labeling_config
from label_studio_otel.spans import MESSAGE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from label_studio_otel.settings import Destination, Settings

__all__ = ["Selection", "is_wanted", "operation_names", "with_labeling_config"]


#: Operations that calls are read as; a call is never chosen by such a name where it is read as another one.
_READ_AS = frozenset({"chat", "text_completion", "generate_content"})


def is_wanted(
    settings: Settings, attributes: Mapping[str, Any], scope_name: str, span_name: str, *, failed: bool
) -> bool:
    """Tell whether an LLM call is one of those that the settings ask for."""
    if failed and not settings.include_errors:
        return False
    if settings.operations is None:
        return True
    names = operation_names(attributes, scope_name, span_name)
    # What cannot be read is taken, so that it is parked with the reason.
    return not names or not settings.operations.isdisjoint(names)


def operation_names(attributes: Mapping[str, Any], scope_name: str, span_name: str) -> tuple[str, ...]:
    """Return the names by which the setting `operations` chooses an LLM call; none where the call cannot be read.

    The first is the operation that the call is read as. `chat` chooses `generate_content` too. What the span itself
    says otherwise, such as `acompletion`, comes last.
    """
    operation = reading.operation(attributes, scope_name, span_name)
    if operation is None:
        return ()
    names = [operation, "chat"] if operation == "generate_content" else [operation]
    said = attributes.get("gen_ai.operation.name")
    return (*names, said) if isinstance(said, str) and said not in _READ_AS else tuple(names)


def with_labeling_config(settings: Settings) -> Settings:
    """Return the settings with the labeling config in place of its file's name."""
    try:
        config = labeling_config(settings.project_config)
    except (OSError, ValueError) as error:
        config = None
        log.warn_once("project_config", f"project_config cannot be read ({error}); using the one of the mode")
    return replace(settings, project_config=config)


class Selection:
    """Chooses from decoded OTLP (`otlp.Telemetry`)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = with_labeling_config(settings)
        #: Calls that the settings left out.
        self.filtered = 0
        #: Several threads read requests.
        self._lock = threading.Lock()

    def calls(self, spans: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Destination, Mapping[str, Any]]]:
        """Yield the LLM calls among these spans, each with where it goes."""
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
        """Yield the log events in which messages stand and that say whose they are."""
        for record in logs:
            name = record["eventName"] or record["attributes"].get("event.name")
            if record["spanId"] and isinstance(name, str) and name in MESSAGE_EVENTS:
                yield record
