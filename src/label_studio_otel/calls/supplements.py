"""`supplements_of` finds the LLM call of each span without messages that holds facts of a call, such as its tokens.

The provider's response id identifies the call. Without an id it is the only call of the same model that was under way
at that time. A span that belongs to no call, or that could belong to two, is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from label_studio_otel import reading
from label_studio_otel.calls.call_group import CallGroup, compatible, one_to_one, overlap_by_half
from label_studio_otel.calls.fingerprint import Fingerprint, fingerprint
from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Generation
from label_studio_otel.spans import Span


def supplements_of(calls: Mapping[str, Sequence[Fingerprint]], spans: Iterable[Span]) -> dict[str, Generation]:
    """Return the facts that these spans hold of calls, by the names of the calls.

    Args:
        calls: the fingerprints of each call's spans, by any name.
        spans: of any kind and in any order; those that are no supplement (`reading.is_supplement`) are left out.
    """
    read: dict[str, Generation] = {}
    supplements: dict[str, CallGroup] = {}
    for span in spans:
        if reading.is_supplement(span.attributes, span.scope_name):
            with contextlib.suppress(DialectError):  # no call is lost with it
                read[span.key] = reading.read_supplement(span)
                supplements[span.key] = CallGroup([fingerprint(span, read[span.key])])
    if not read:
        return {}
    waiting = {name: CallGroup(list(members)) for name, members in calls.items()}
    found: dict[str, str] = {}
    for pairs in (_by_id, _by_time):
        for name, key in one_to_one(pairs(waiting, supplements)):
            found[name] = key
            del waiting[name], supplements[key]
    return {name: read[key] for name, key in found.items()}


def _by_id(calls: Mapping[str, CallGroup], supplements: Mapping[str, CallGroup]) -> Iterator[tuple[str, str]]:
    keys: dict[str, list[str]] = {}
    for key, supplement in supplements.items():
        keys.setdefault(supplement.members[0].response, []).append(key)
    for name, call in calls.items():
        for response in {one.response for one in call.members} - {""}:
            for key in keys.get(response, ()):
                yield name, key


def _by_time(calls: Mapping[str, CallGroup], supplements: Mapping[str, CallGroup]) -> Iterator[tuple[str, str]]:
    """Yield each call with each supplement that can belong to it.

    Only those that overlap in time are compared: all are sorted by their start.
    """
    all_groups = [(group, name, True) for name, group in calls.items()]
    all_groups += [(group, name, False) for name, group in supplements.items()]
    under_way: list[tuple[CallGroup, str, bool]] = []
    for group, name, is_call in sorted(all_groups, key=lambda one: one[0].start):
        under_way = [one for one in under_way if one[0].end >= group.start]
        for other, other_name, other_is_call in under_way:
            if is_call != other_is_call and overlap_by_half(group, other) and compatible(group, other):
                yield (name, other_name) if is_call else (other_name, name)
        under_way.append((group, name, is_call))
