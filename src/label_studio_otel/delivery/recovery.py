"""Recovers from an outbox that was damaged or lost.

A damaged outbox is set aside, and what can be read of it goes into a new one. In both cases the new outbox may not know
which calls were delivered. So calls that began before the recovery are looked up in Label Studio before they are sent.
"""

from __future__ import annotations

from pathlib import Path

from label_studio_otel import log
from label_studio_otel.delivery.hooks import Hooks
from label_studio_otel.delivery.rendering import RenderedTask
from label_studio_otel.label_studio.client import LabelStudio
from label_studio_otel.label_studio.projects import ResolvedProject
from label_studio_otel.outbox.items import Item
from label_studio_otel.outbox.outbox import Outbox
from label_studio_otel.outbox.salvage import mark_salvaged, quarantined, salvage, was_sending

#: A counter of the outbox: calls that began before this time may have been delivered by an outbox that was lost.
LOOKUP_BEFORE = "lookup_before"
#: Another: a call that is not found before this time may still arrive, as a request may have been under way.
ABSENT_FROM = "absent_from"


def take_over_quarantined(path: Path, outbox: Outbox, now: float, uncertain_wait: float) -> None:
    """Copy what can be read of the outboxes that were set aside into the new one.

    An error leaves a file as it was, so that the next step tries it again.

    Args:
        path: of the new outbox.

    Raises:
        OutboxError, OSError: the new outbox cannot be written, or the old one not renamed.
    """
    for damaged in quarantined(path):
        outbox.set_counter(LOOKUP_BEFORE, now)
        if was_sending(damaged):
            outbox.set_counter(ABSENT_FROM, now + uncertain_wait)
        saved = salvage(damaged, outbox)
        kept = mark_salvaged(damaged)
        log.warning(f"a damaged outbox was set aside as {kept}; the new one holds the {saved} calls that could be read")


def without_lost_deliveries(
    outbox: Outbox, client: LabelStudio, hooks: Hooks, project: ResolvedProject, tasks: list[RenderedTask]
) -> list[RenderedTask]:
    """Return the tasks to be sent: without those that are in Label Studio, and those that may still arrive there.

    Raises:
        DeliveryError: Label Studio cannot be asked.
    """
    counters = outbox.counters()
    lookup_before, absent_from = counters.get(LOOKUP_BEFORE, 0.0), counters.get(ABSENT_FROM, 0.0)
    asked = [one.item for one in tasks if _start_of(one.item) <= lookup_before]
    if not asked:
        return tasks
    found = client.find(project.id, [item.key for item in asked], 0)
    delivered = {item.id: found[item.key][0].id for item in asked if item.key in found}
    outbox.mark_found(delivered)
    hooks.counts.add(duplicates=len(delivered))
    waiting: dict[int, float] = {}
    if absent_from > hooks.clock():
        waiting = {item.id: absent_from for item in asked if item.id not in delivered}
        outbox.postpone(waiting)
    return [one for one in tasks if one.item.id not in delivered and one.item.id not in waiting]


def _start_of(item: Item) -> float:
    """Return when a call began, seconds since the epoch. When it arrived is not known: a spool can be read again."""
    try:
        return int(item.key.rpartition(":")[2]) / 1e9
    except (ValueError, OverflowError):
        return 0.0
