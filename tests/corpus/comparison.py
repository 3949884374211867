"""One call of the truth against the line of `convert` that is taken for it."""

from __future__ import annotations

import contextlib
import difflib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from corpus import leaves
from corpus.leaves import FINISH_REASONS, NOT_WHOLE, Leaf

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How a call was read.
EXACT, BOUNDED, WRONG = "exact", "observable", "wrong"


@dataclass
class Outcome:
    """What became of one call."""

    #: What was found and is not true, or could have been found in the call's own span and was not.
    wrong: list[str] = field(default_factory=list)
    #: What stands in the telemetry, but in no span of this call.
    elsewhere: list[str] = field(default_factory=list)
    #: What stands nowhere.
    missing: list[str] = field(default_factory=list)
    #: What the call's own span states differently from the wire, and has no trace of what the wire said.
    otherwise: list[str] = field(default_factory=list)
    #: Leaves that can be recovered, and those that were.
    observable: int = 0
    recovered: int = 0
    #: Something that was said is missing, and `incomplete` says nothing.
    unsaid: bool = False
    #: Agreement in what no observable.json tells about: name of it, whether it agrees.
    also: dict[str, bool] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.wrong:
            return WRONG
        return BOUNDED if self.elsewhere or self.missing or self.otherwise else EXACT


def compare(run: Any, number: int, line: dict[str, Any], own: Own) -> Outcome:
    """Compare a line with a call of the truth, leaf by leaf.

    Args:
        run: the run.
        number: which of its calls.
        line: what `convert` printed.
        own: what the call's own span and log events hold.
    """
    call, observable = run.expected["calls"][number], run.observable["calls"][number]
    outcome = Outcome()
    _values(call, observable, line, own, outcome)
    _sides(call, observable, line, own, outcome)
    _ids(call, observable, line, outcome)
    outcome.also["operation"] = line["operation"] == ("text_completion" if call["api"] == "completions" else "chat")
    outcome.also["provider"] = line["provider"] == call["provider"]
    if call["tools"]:
        outcome.also["tools"] = sorted(line["tools"]) == sorted(call["tools"])
    for name in ("session_id", "user_id"):
        if run.expected.get(name) and own.holds(run.expected[name]):
            outcome.also[name] = line[name] == run.expected[name]
    # A span cannot tell that a framework dropped the thoughts.
    content = [
        one for one in (*outcome.missing, *outcome.elsewhere) if one.startswith(("input", "choice")) and " text " in one
    ]
    outcome.unsaid = bool(content) and not line["incomplete"]
    return outcome


def _values(call: dict[str, Any], observable: dict[str, Any], line: dict[str, Any], own: Own, outcome: Outcome) -> None:
    """Compare models, tokens and the error."""
    counted = line["usage"] if call.get("usage_on_wire") else {}
    pairs = (
        ("request_model", call["model"], line["request_model"], observable.get("model")),
        ("response_model", call.get("response_model"), line["response_model"], observable.get("response_model")),
        *((name, call[name], counted[name], observable.get(name)) for name in counted if call.get(name) is not None),
    )
    for name, true, found, status in pairs:
        if true is None:
            continue
        if found is None and true in (line["request_model"], line["response_model"]):
            # One model's name stands for both: the span need not say it a second time.
            outcome.missing.append(f"{name} {true!r}")
        elif found is None or found == true:
            raw = (true,) if isinstance(true, str) else ()
            _count(Leaf("", name, true, status or "missing"), own, outcome, found=found == true, raw=raw)
        else:
            _differs(f"{name}: {found!r} instead of {true!r}", found, true, own, outcome)
    if bool(call.get("error")) != bool(line["error"]):
        outcome.wrong.append(f"error: {line['error']!r} where the wire said {call.get('error')}")


def _differs(sentence: str, found: Any, true: Any, own: Own, outcome: Outcome) -> None:
    """Count a value that is not the wire's: as wrong, unless the span says just that and nothing of the wire's."""
    if own.holds_value(found) and not own.holds_value(true):
        outcome.otherwise.append(sentence)
    else:
        outcome.observable += 1
        outcome.wrong.append(sentence)


def _sides(call: dict[str, Any], observable: dict[str, Any], line: dict[str, Any], own: Own, outcome: Outcome) -> None:
    """Compare the messages sent, and each choice with its finish reason."""
    said_before = bool((call.get("params") or {}).get("previous_response_id")) or "item_reference" in json.dumps(
        call["messages"]
    )
    true = leaves.true_messages(call, observable)
    _aligned("input", true, leaves.messages(line, "input"), line, own, outcome, more_allowed=said_before)
    choices = leaves.true_choices(call, observable)
    found = leaves.messages(line, "output")
    if len(found) > len(choices):
        outcome.wrong.append(f"output: {len(found)} choices instead of {len(choices)}")
    for index, choice in enumerate(choices):
        name = f"choice {index}"
        own_choice = found[index : index + 1] if found else []
        _aligned(name, [choice], own_choice, line, own, outcome)
        raw = call["response"]["choices"][index].get("finish_reason")
        reason = line["output"][index]["finish_reason"] if index < len(line["output"]) else None
        states = observable.get("response") or []
        status = states[index].get("finish_reason", "missing") if index < len(states) else "missing"
        if raw is not None:
            words = FINISH_REASONS.get(raw, (raw,))
            leaf = Leaf("", f"{name} finish_reason", raw, status)
            if reason is None or reason in words:
                _count(leaf, own, outcome, found=reason in words, raw=words)
            else:
                _differs(f"{name} finish_reason: {reason!r} instead of {words[0]!r}", reason, raw, own, outcome)


def _aligned(  # noqa: PLR0917
    side: str,
    true: list[list[Leaf]],
    found: list[list[Leaf]],
    line: dict[str, Any],
    own: Own,
    outcome: Outcome,
    *,
    more_allowed: bool = False,
) -> None:
    """Align two lists of messages, leaf by leaf, in their order."""
    wanted = [leaf for message in true for leaf in message]
    got = [leaf for message in found for leaf in message]
    matcher = difflib.SequenceMatcher(None, [leaf.said for leaf in wanted], [leaf.said for leaf in got], autojunk=False)
    invented: list[Leaf] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        lost, other = (wanted[i:j], got[k:m]) if tag != "equal" else ([], [])
        for leaf in wanted[i:j] if tag == "equal" else _without_roles(lost, other, side, own, outcome):
            _count(leaf, own, outcome, found=tag == "equal", side=side)
        invented += other
    if not invented and wanted and len(wanted) == len(got):
        shapes = [[len(message) for message in messages if message] for messages in (true, found)]
        if shapes[0] != shapes[1]:
            outcome.wrong.append(f"{side}: messages of {shapes[1]} parts instead of {shapes[0]}")
    short = len(wanted) - (len(got) - len(invented))
    for leaf in invented:
        if more_allowed:
            continue
        # What is cut or replaced by a placeholder may stand in the place of something true, where that is said.
        if line["incomplete"] and short > 0:
            short -= 1
        else:
            outcome.wrong.append(f"{side}: {_shown(leaf)} is not true")


def _without_roles(lost: list[Leaf], other: list[Leaf], side: str, own: Own, outcome: Outcome) -> list[Leaf]:
    """Take out what was found under another role, which is right where the span has no word of the true one."""
    left = []
    for leaf in lost:
        twin = next((one for one in other if one.said[1:] == leaf.said[1:]), None)
        if twin is None:
            left.append(leaf)
            continue
        other.remove(twin)
        sentence = f"{side} {_shown(leaf)}: role {twin.role!r} instead of {leaf.role!r}"
        if own.holds_value(leaf.role):
            outcome.observable += 1
            outcome.wrong.append(sentence)
        else:
            outcome.otherwise.append(sentence)
    return left


def _count(leaf: Leaf, own: Own, outcome: Outcome, *, found: bool, side: str = "", raw: tuple[str, ...] = ()) -> None:
    """Count one leaf of the truth as recovered, as lost, or as one that could not be recovered."""
    name = f"{side} {_shown(leaf)}".strip()
    if found:
        outcome.observable += 1
        outcome.recovered += 1
    elif leaf.status in NOT_WHOLE:
        outcome.missing.append(f"{name} ({leaf.status})")
    elif not own.holds_leaf(leaf, raw):
        outcome.elsewhere.append(f"{name} ({leaf.status})")
    else:
        outcome.observable += 1
        outcome.wrong.append(f"{name} was not read ({leaf.status})")


def _ids(call: dict[str, Any], observable: dict[str, Any], line: dict[str, Any], outcome: Outcome) -> None:
    """Compare the ids that tie tool results to their calls."""
    sides = (
        (leaves.true_messages(call, observable) + leaves.true_choices(call, observable)),
        (leaves.messages(line, "input") + leaves.messages(line, "output")),
    )
    true, found = (
        [(leaf.said, leaf.id) for message in side for leaf in message if leaf.kind in ("call", "result")]
        for side in sides
    )
    matched = {said for said, _ in true} & {said for said, _ in found}
    if any(identifier for said, identifier in true if said in matched):
        wanted, got = ([pair for pair in side if pair[0] in matched] for side in (true, found))
        outcome.also["ids"] = wanted == got


def _shown(leaf: Leaf) -> str:
    return f"{leaf.role} {leaf.kind} {str(leaf.value)[:90]!r}".strip()


class Own:
    """The values of a span and its log events, JSON in them decoded."""

    def __init__(self, spans: Iterable[Any]) -> None:
        self._texts: set[str] = set()
        self._keys: set[str] = set()
        #: Only of attributes that count tokens: other numbers can be equal by chance.
        self._numbers: set[float] = set()
        for span in spans:
            for holder in (span, *span.events, *span.logs):
                for key, value in holder.attributes.items():
                    self._add(value, counts=_counts(key))
            for record in span.logs:
                self._add(record.body)
        self._all = "\0".join((*self._texts, *self._keys))

    def _add(self, value: Any, *, counts: bool = False) -> None:
        if isinstance(value, str):
            self._texts.add(value)
            if value[:1] in ("{", "[", '"'):
                with contextlib.suppress(ValueError, RecursionError):
                    self._add(json.loads(value), counts=counts)
        elif isinstance(value, dict):
            for key, item in value.items():
                self._keys.add(str(key))
                self._add(item, counts=(counts or _counts(key)) and "cache" not in key)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._add(item, counts=counts)
        elif counts and isinstance(value, (int, float)):
            self._numbers.add(value)

    def holds_value(self, value: Any) -> bool:
        """Tell whether a whole value is this one."""
        return value in (self._texts if isinstance(value, str) else self._numbers)

    def holds(self, value: Any) -> bool:
        if isinstance(value, (int, float)):
            return value in self._numbers
        return value in self._all

    def holds_leaf(self, leaf: Leaf, raw: tuple[str, ...] = ()) -> bool:
        if raw:
            return any(word in self._texts for word in (leaf.value, *raw))
        if leaf.kind == "call":
            name, arguments = leaf.value
            return self.holds(name) and all(self.holds(text) for text in _texts(json.loads(arguments)))
        if leaf.kind in ("image", "audio", "file") and " bytes " in str(leaf.value):
            return leaf.status.startswith(("exact", "payload-exact"))
        if leaf.kind == "result":
            return self.holds(leaf.value) or all(self.holds(text) for text in _texts(_loaded(leaf.value)))
        return self.holds(leaf.value)


def _counts(key: str) -> bool:
    return ("token" in key or "usage" in key.lower()) and "cache" not in key


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
