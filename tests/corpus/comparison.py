"""One call of the truth against the line of `convert` that is taken for it."""

from __future__ import annotations

import difflib
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from corpus import leaves
from corpus.leaves import FINISH_REASONS, NOT_WHOLE, Leaf
from corpus.own import Own, parsed

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
    # What is told in one place does not show that the span holds it for another, too.
    own.told = {
        leaf.said[1:] for side in ("input", "output") for message in leaves.messages(line, side) for leaf in message
    }
    _values(call, observable, line, own, outcome)
    _sides(call, observable, line, own, outcome)
    _ids(call, observable, line, own, outcome)
    outcome.also["operation"] = line["operation"] == ("text_completion" if call["api"] == "completions" else "chat")
    outcome.also["provider"] = line["provider"] == call["provider"]
    # Gemini's wire has lists of tools.
    tools = [name for one in call["tools"] for name in (one if isinstance(one, list) else [one])]
    if tools:
        outcome.also["tools"] = sorted(line["tools"]) == sorted(tools)
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
            _count(Leaf("", name, true, status or "missing"), own, outcome, found=found == true)
        else:
            _differs(f"{name}: {found!r} instead of {true!r}", found, true, own, outcome)
    if bool(call.get("error")) != bool(line["error"]):
        # A client may give up on an answer that the wire has as whole, and the other way round.
        says_so = own.failed == bool(line["error"])
        sentences = outcome.otherwise if says_so else outcome.wrong
        sentences.append(f"error: {line['error']!r} where the wire said {call.get('error')}")


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
    places = _places(choices, found)
    for index, choice in enumerate(choices):
        place = places.get(index)
        _aligned(f"choice {index}", [choice], [] if place is None else [found[place]], line, own, outcome)
        states = observable.get("response") or [{}] * len(choices)
        reason = None if place is None else line["output"][place]["finish_reason"]
        leaf = Leaf(
            "",
            f"choice {index} finish_reason",
            call["response"]["choices"][index].get("finish_reason"),
            states[index].get("finish_reason", "missing"),
        )
        # One word may stand for all choices: of a choice that is not there it tells nothing.
        _finish_reason(leaf, reason, own if place is not None or len(choices) == 1 else Own([]), outcome)


def _places(choices: list[list[Leaf]], found: list[list[Leaf]]) -> dict[int, int]:
    """Return which found choice is taken for which of the truth: their order stays, some may be missing."""
    number = min(len(choices), len(found))
    told = [{leaf.said for leaf in choice} for choice in found]
    best = max(
        itertools.combinations(range(len(choices)), number),
        key=lambda indices: sum(
            len({leaf.said for leaf in choices[index]} & told[place]) for place, index in enumerate(indices)
        ),
    )
    return {index: place for place, index in enumerate(best)}


def _finish_reason(leaf: Leaf, reason: str | None, own: Own, outcome: Outcome) -> None:
    if leaf.value is None:
        return
    words = FINISH_REASONS.get(leaf.value, (leaf.value,))
    if reason is None or reason in words:
        _count(leaf, own, outcome, found=reason in words, raw=words)
    else:
        sentence = f"{leaf.kind}: {reason!r} instead of {words[0]!r}"
        (outcome.wrong if own.holds_reason((leaf.value, *words)) else outcome.otherwise).append(sentence)


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
        elif leaf.kind == "text" and own.holds_value(leaf.value) and any(_rewritten(one, leaf) for one in wanted):
            outcome.otherwise.append(f"{side}: {_shown(leaf)} is not how it was said")
        else:
            outcome.wrong.append(f"{side}: {_shown(leaf)} is not true")


def _rewritten(true: Leaf, found: Leaf) -> bool:
    """Tell whether a writer joined choices, or wrote JSON in another way."""
    text = str(true.value)
    return text != found.value and (
        text in found.value or (text.startswith("{") and parsed(text) == parsed(found.value))
    )


def _without_roles(lost: list[Leaf], other: list[Leaf], side: str, own: Own, outcome: Outcome) -> list[Leaf]:
    """Take out what was found under another role or kind, which is right where the span says just that."""
    left = []
    for leaf in lost:
        twin = next((one for one in other if one.value == leaf.value), None)
        if twin is None:
            left.append(leaf)
            continue
        other.remove(twin)
        sentence = f"{side} {_shown(leaf)}: {twin.role} {twin.kind} instead of {leaf.role} {leaf.kind}"
        if own.says_otherwise(leaf, twin):
            outcome.otherwise.append(sentence)
        else:
            outcome.observable += 1
            outcome.wrong.append(sentence)
    return left


def _count(leaf: Leaf, own: Own, outcome: Outcome, *, found: bool, side: str = "", raw: tuple[str, ...] = ()) -> None:
    """Count one leaf of the truth as recovered, as lost, or as one that could not be recovered."""
    name = f"{side} {_shown(leaf)}".strip()
    if found:
        outcome.observable += 1
        outcome.recovered += 1
    elif leaf.status in NOT_WHOLE:
        outcome.missing.append(f"{name} ({leaf.status})")
    elif leaf.said[1:] in own.told or not own.holds_leaf(leaf, raw):
        outcome.elsewhere.append(f"{name} ({leaf.status})")
    else:
        outcome.observable += 1
        outcome.wrong.append(f"{name} was not read ({leaf.status})")


def _ids(call: dict[str, Any], observable: dict[str, Any], line: dict[str, Any], own: Own, outcome: Outcome) -> None:
    """Compare the ids that tie tool results to their calls."""
    sides = (
        (leaves.true_messages(call, observable) + leaves.true_choices(call, observable)),
        (leaves.messages(line, "input") + leaves.messages(line, "output")),
    )
    true, found = (
        [(leaf.said, leaf.id) for message in side for leaf in message if leaf.kind in ("call", "result")]
        for side in sides
    )
    told = {said for said, _ in found}
    # Some writers give another id, or none.
    wanted = [(said, identifier) for said, identifier in true if said in told and identifier and own.holds(identifier)]
    if wanted:
        outcome.also["ids"] = all(pair in found for pair in wanted)


def _shown(leaf: Leaf) -> str:
    return f"{leaf.role} {leaf.kind} {str(leaf.value)[:90]!r}".strip()
