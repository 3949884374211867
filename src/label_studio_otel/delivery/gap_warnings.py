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
#: Instrumentations that are named with one kind of gap: whoever sends spans chooses their names.
MOST_NAMED = 20


def say(scope_name: str, gaps: Iterable[Gap]) -> None:
    """Warn of these gaps of a call, each once for its kind and the instrumentation that recorded it."""
    recorder = log.quoted(scope_name) if scope_name else "an instrumentation without a name"
    for gap in gaps:
        if gap.reason not in CURABLE:
            continue
        topic = f"gap {gap.reason} "
        if not log.said(topic + recorder) and log.number_said(topic) >= MOST_NAMED:
            log.warn_once(
                f"gaps {gap.reason}",
                f"LLM calls recorded by more than {MOST_NAMED} instrumentations are incomplete, and no more are named: "
                f"{gap.sentence}",
            )
        else:
            log.warn_once(topic + recorder, f"LLM calls recorded by {recorder} are incomplete: {gap.sentence}")
