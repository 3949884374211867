"""Warns of what LLM calls lack, where a setting of the application can mend it.

The log gets each kind of gap once for each instrumentation. The labeler reads all gaps, in `incomplete` of the task.
"""

from __future__ import annotations

from collections.abc import Iterable

from label_studio_otel import log
from label_studio_otel.generation import Gap

#: The kinds whose sentence names a setting or a switch. Such a sentence quotes nothing that was said to a model.
MENDABLE = frozenset(
    {
        "attribute_truncated",
        "attributes_dropped",
        "content_not_captured",
        "events_dropped",
        "log_events_missing",
        "redacted",
    }
)
#: Instrumentations that are named for one kind of gap: a sender of spans can choose any number of names.
MAX_NAMED = 20


class GapWarnings:
    """The warnings of one deliverer."""

    def __init__(self) -> None:
        #: The instrumentations that were named, by the kind of gap.
        self._named: dict[str, set[str]] = {}

    def warn(self, scope_name: str, gaps: Iterable[Gap]) -> None:
        """Warn of the gaps of a call, each kind once for the instrumentation of this scope name."""
        instrumentation = log.quoted(scope_name) if scope_name else "an instrumentation without a name"
        for gap in gaps:
            if gap.reason not in MENDABLE:
                continue
            named = self._named.setdefault(gap.reason, set())
            if len(named) < MAX_NAMED:
                named.add(instrumentation)
            if instrumentation in named:
                topic, who, more = f"gap {gap.reason} {instrumentation}", instrumentation, ""
            else:
                topic, more = f"gaps {gap.reason}", ", and no more are named"
                who = f"more than {MAX_NAMED} instrumentations"
            log.warn_once(topic, f"LLM calls recorded by {who} are incomplete{more}: {gap.sentence}")
