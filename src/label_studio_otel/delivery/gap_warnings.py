"""What calls lack, said once in the log where somebody can set something against it: the application's own limits and
switches. The labeler reads all of it, in each task's `incomplete`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel import log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from label_studio_otel.generation import Gap

__all__ = ["say"]

#: Gaps whose sentence names a setting or a switch; it holds nothing that anybody said to a model.
CURABLE = frozenset(
    {
        "attribute_truncated",
        "attributes_dropped",
        "content_not_captured",
        "events_dropped",
        "log_events_missing",
        "redacted",
    }
)


def say(scope_name: str, gaps: Iterable[Gap]) -> None:
    """Warn of these gaps of a call, each once for its kind and the instrumentation that recorded it."""
    for gap in gaps:
        if gap.reason in CURABLE:
            recorder = scope_name or "an instrumentation without a name"
            log.warn_once(
                f"gap {gap.reason} {scope_name}", f"LLM calls recorded by {recorder} are incomplete: {gap.sentence}"
            )
