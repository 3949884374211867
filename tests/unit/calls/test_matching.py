"""Which spans are one call, by their fingerprints alone: never two calls of the application, in whatever order."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_otel.calls.fingerprint import Fingerprint
from label_studio_otel.calls.matching import match

LANGCHAIN = "openinference.instrumentation.langchain"
OPENAI = "openinference.instrumentation.openai"
TRACELOOP = "opentelemetry.instrumentation.openai.v1"


def one(number: int, scope: str, start: int, end: int, **fields: Any) -> Fingerprint:
    """Return the fingerprint of a call; question and answer are equal unless `fields` has others."""
    said: dict[str, Any] = {"asked": "question", "request": "question", "answers": ("answer",), "models": ("gpt-4o",)}
    return Fingerprint(
        f"{number:032x}:{number:016x}:{start}", scope, start, end, **{**said, "richness": (1,), **fields}
    )


def numbers(found: dict[str, str]) -> dict[int, int]:
    """Return the result by the numbers of the spans."""
    return {int(loser[:32], 16): int(winner[:32], 16) for loser, winner in found.items()}


def test_an_equal_call_inside_that_of_another_scope_is_the_same() -> None:
    assert numbers(match([one(1, LANGCHAIN, 0, 100), one(2, OPENAI, 10, 90)])) == {2: 1}


def test_the_fuller_one_is_kept() -> None:
    assert numbers(match([one(1, LANGCHAIN, 0, 100), one(2, OPENAI, 10, 90, richness=(2,))])) == {1: 2}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(one(2, LANGCHAIN, 10, 90), id="the same scope"),
        pytest.param(one(2, OPENAI, 100, 190, answers=("another",)), id="another answer"),
        pytest.param(one(2, OPENAI, 10, 90, asked="another"), id="another question"),
        pytest.param(one(2, OPENAI, 101, 190), id="another time"),
        pytest.param(one(2, OPENAI, 80, 180), id="hardly the same time"),
        pytest.param(one(2, OPENAI, 10, 90, models=("claude-4",)), id="another model"),
        pytest.param(one(2, OPENAI, 10, 90, response="b", response_kind="chatcmpl"), id="another id"),
        pytest.param(one(2, OPENAI, 10, 90, process=("", "pid 2")), id="another process"),
        pytest.param(one(2, OPENAI, 10, 90, answers=("another",), parent="0:0"), id="no kin"),
    ],
)
def test_two_calls_stay_two(other: Fingerprint) -> None:
    first = one(1, LANGCHAIN, 0, 100, response="a", response_kind="chatcmpl", process=("id 1", "pid 1"))
    assert match([first, other]) == {}


def test_an_equal_id_is_stronger_than_different_content() -> None:
    first = one(1, LANGCHAIN, 0, 100, response="a", answers=("with reasoning",))
    assert numbers(match([first, one(2, OPENAI, 10, 90, response="a", models=("deployment",))])) == {2: 1}


def test_an_equal_id_at_another_time_is_a_cache() -> None:
    assert match([one(1, LANGCHAIN, 0, 100, response="a"), one(2, OPENAI, 200, 300, response="a")]) == {}


def test_ids_of_different_kinds_can_be_of_one_call() -> None:
    first = one(1, LANGCHAIN, 0, 100, response="a", response_kind="msg")
    assert numbers(match([first, one(2, OPENAI, 10, 90, response="b", response_kind="resp")])) == {2: 1}


def test_a_server_that_gives_all_answers_one_id_is_matched_by_content() -> None:
    spans = [
        one(number + 10 * inner, OPENAI if inner else LANGCHAIN, inner, 100 - inner, response="a", asked=str(number))
        for number in (1, 2, 3)
        for inner in (0, 1)
    ]
    assert numbers(match(spans)) == {11: 1, 12: 2, 13: 3}


def test_calls_that_share_an_id_by_chance_are_matched_by_their_content() -> None:
    """Ollama draws its ids from 999 numbers, so that calls under way at one time get the same one."""
    spans = [
        one(1, LANGCHAIN, 0, 100, response="a", asked="a", answers=("a",)),
        one(2, LANGCHAIN, 1, 90, response="a", asked="b", answers=("b",)),
        one(11, OPENAI, 2, 80, response="a", asked="a", answers=("a",)),
        one(12, OPENAI, 3, 70, response="a", asked="b", answers=("b",)),
    ]
    assert numbers(match(spans)) == {11: 1, 12: 2}


def test_calls_with_one_answer_in_common_are_matched_by_all_their_answers() -> None:
    """One question asked twice at one time with two choices each (`n=2`): the first choices are equal."""
    spans = [
        one(1, LANGCHAIN, 0, 100, answers=("yes", "no")),
        one(2, LANGCHAIN, 1, 90, answers=("yes", "perhaps")),
        one(11, OPENAI, 2, 80, answers=("yes", "no")),
        one(12, OPENAI, 3, 70, answers=("yes", "perhaps")),
    ]
    assert numbers(match(spans)) == {11: 1, 12: 2}


def test_an_instrumentation_that_records_only_the_first_choice_writes_the_same_call() -> None:
    assert numbers(
        match([one(1, LANGCHAIN, 0, 100, answers=("yes", "no")), one(2, OPENAI, 10, 90, answers=("yes",))])
    ) == {2: 1}


def test_equal_calls_that_fail_at_one_time_are_as_many_as_the_application_made() -> None:
    spans = [
        one(number + 10 * inner, OPENAI if inner else LANGCHAIN, inner, 100 - inner, failed=True, answers=())
        for number in (1, 2)
        for inner in (0, 1)
    ]
    assert len(match(spans)) == 2


def test_one_question_to_twelve_models_at_one_time_is_twelve_calls() -> None:
    """The first span that is compared belongs to the call that ends last: eleven others end nearer to it."""
    spans = [
        one(number + 100 * inner, OPENAI if inner else LANGCHAIN, inner, end, models=(f"model-{chr(96 + number)}",))
        for number in range(1, 13)
        for inner, end in ((0, 300 - number), (1, 200 - number))
    ]
    assert numbers(match(spans)) == {number + 100: number for number in range(1, 13)}


def test_a_span_without_its_answer_belongs_to_the_call_of_its_model_among_twelve() -> None:
    spans = [one(number, LANGCHAIN, 0, 100, models=(f"model-{chr(96 + number)}",)) for number in range(1, 13)]
    assert numbers(match([*spans, one(20, OPENAI, 10, 90, answers=(), models=("model-c",))])) == {20: 3}


def test_callbacks_that_end_in_either_order_are_one_call() -> None:
    assert numbers(match([one(1, LANGCHAIN, 0, 99), one(2, TRACELOOP, 1, 101)])) == {2: 1}


def test_three_instrumentations_make_one_call() -> None:
    spans = [one(1, LANGCHAIN, 0, 100), one(2, OPENAI, 10, 90), one(3, TRACELOOP, 11, 89)]
    assert numbers(match(spans)) == {2: 1, 3: 1}


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("scopes", [(LANGCHAIN,), (LANGCHAIN, OPENAI), (LANGCHAIN, OPENAI, TRACELOOP)])
def test_200_calls_at_once_with_equal_texts_stay_200(scopes: tuple[str, ...], ids: bool) -> None:
    chance = random.Random(7)
    spans = []
    for number in range(200):
        start, length = chance.randrange(1000), chance.randrange(500, 2000)
        for depth, scope in enumerate(scopes):
            known = {"response": f"{number}", "response_kind": "chatcmpl"} if ids else {}
            spans.append(one(number + 1000 * depth, scope, start + depth, start + length - depth, **known))
    found = match(spans)
    assert len(spans) - len(found) == 200
    assert not ids or all(loser % 1000 == winner % 1000 for loser, winner in numbers(found).items())


def test_the_application_s_own_retries_stay() -> None:
    spans = [
        one(1, LANGCHAIN, 0, 300),
        one(2, OPENAI, 10, 90, failed=True, answers=()),
        one(3, OPENAI, 100, 190, failed=True, answers=()),
        one(4, OPENAI, 200, 290),
    ]
    assert numbers(match(spans)) == {4: 1}


def test_a_failed_call_in_two_spans_is_one() -> None:
    spans = [one(1, LANGCHAIN, 0, 100, failed=True, answers=()), one(2, OPENAI, 5, 90, failed=True, answers=())]
    assert numbers(match(spans)) == {2: 1}


def test_calls_of_one_scope_below_each_other_stay_as_many() -> None:
    spans = [one(number, LANGCHAIN, 100 * number, 100 * number + 90) for number in range(1, 9)]
    below = [replace(span, parent=spans[at - 1].span if at else "") for at, span in enumerate(spans)]
    assert match(below) == {}


def test_a_child_span_without_content_is_the_same_call() -> None:
    above = one(1, LANGCHAIN, 0, 100)
    below = one(2, OPENAI, 10, 90, asked="", answers=(), parent=above.span, richness=(0,))
    assert numbers(match([above, below])) == {2: 1}


def test_a_child_span_with_another_question_is_another_call() -> None:
    above = one(1, LANGCHAIN, 0, 100)
    assert match([above, one(2, OPENAI, 10, 90, asked="a judge's", answers=("fine",), parent=above.span)]) == {}


def test_a_span_without_its_answer_belongs_to_the_only_one_that_has_it() -> None:
    silent = one(2, OPENAI, 10, 90, answers=(), richness=(0,))
    assert numbers(match([one(1, LANGCHAIN, 0, 100), silent])) == {2: 1}
    assert match([one(1, LANGCHAIN, 0, 100), one(3, LANGCHAIN, 5, 95), silent]) == {}


def test_the_span_that_logfire_writes_at_the_end_of_a_stream_is_no_call_of_its_own() -> None:
    begun = one(1, "logfire.openai", 0, 10, answers=(), richness=(1,))
    echo = one(2, "logfire.openai", 80, 80, echo=True, richness=(2,))
    assert numbers(match([begun, echo])) == {1: 2}
    assert numbers(match([begun, echo, one(3, LANGCHAIN, 0, 81)])) == {1: 2, 3: 2}


def test_200_streams_of_logfire_at_once_stay_200() -> None:
    begun = [one(number, "logfire.openai", number, number + 10, answers=()) for number in range(200)]
    echoes = [one(1000 + number, "logfire.openai", 500 + number, 500 + number, echo=True) for number in range(200)]
    assert len(match([*begun, *echoes])) == 200


def test_a_span_that_was_sent_is_kept_whatever_comes_after_it() -> None:
    sent, late = one(2, OPENAI, 10, 90), one(1, LANGCHAIN, 0, 100, richness=(9,))
    assert numbers(match([sent, late], {sent.key: sent.key})) == {1: 2}


def test_a_call_that_has_a_span_of_a_scope_takes_no_second_one() -> None:
    sent, alias = one(2, OPENAI, 10, 90), one(1, LANGCHAIN, 0, 100)
    other = one(3, LANGCHAIN, 1, 99)
    assert match([sent, alias, other], {sent.key: sent.key, alias.key: sent.key}) == {}


def test_two_that_were_sent_stay_two() -> None:
    spans = [one(1, LANGCHAIN, 0, 100), one(2, OPENAI, 10, 90)]
    assert match(spans, {span.key: span.key for span in spans}) == {}


def test_a_dropped_span_still_stands_for_the_kept_one_that_is_gone() -> None:
    alias, late = one(1, LANGCHAIN, 0, 100), one(3, TRACELOOP, 11, 89)
    gone = one(2, OPENAI, 10, 90).key
    assert match([alias, late], {alias.key: gone}) == {late.key: gone}


FINGERPRINTS = st.lists(
    st.builds(
        one,
        st.integers(1, 10**6),
        st.sampled_from([LANGCHAIN, OPENAI, TRACELOOP]),
        st.integers(0, 20),
        st.integers(21, 40),
        asked=st.sampled_from(["", "a", "b"]),
        answers=st.sampled_from([(), ("x",), ("x", "y"), ("z",)]),
        response=st.sampled_from(["", "", "1", "2"]),
        response_kind=st.just("chatcmpl"),
        models=st.sampled_from([(), ("gpt-4o",), ("gpt-4o-mini", "gpt-4o-mini-2026"), ("claude",)]),
        process=st.sampled_from([(), ("",), ("1",), ("2",)]),
        failed=st.booleans(),
        echo=st.booleans(),
        richness=st.tuples(st.integers(0, 3)),
    ),
    max_size=12,
    unique_by=lambda one: one.key,
)


@given(FINGERPRINTS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(fingerprints: list[Fingerprint], chance: random.Random) -> None:
    shuffled = list(fingerprints)
    chance.shuffle(shuffled)
    assert match(shuffled) == match(fingerprints)


@given(FINGERPRINTS, st.data())
def test_no_span_is_both_kept_and_dropped_and_no_scope_is_twice_in_a_call(
    fingerprints: list[Fingerprint], data: st.DataObject
) -> None:
    sent = data.draw(st.sets(st.sampled_from(fingerprints))) if fingerprints else set()
    by_key = {one.key: one for one in fingerprints}
    found = match(fingerprints, {one.key: one.key for one in sent})
    assert not set(found) & set(found.values())
    assert not set(found) & {one.key for one in sent}
    calls: dict[str, list[Fingerprint]] = {}
    for loser, winner in found.items():
        calls.setdefault(winner, [by_key[winner]]).append(by_key[loser])
    for members in calls.values():
        scopes = [one.scope for one in members if not one.echo]
        assert len(set(scopes)) == len(scopes)


@given(FINGERPRINTS)
def test_what_was_decided_is_not_decided_again(fingerprints: list[Fingerprint]) -> None:
    found = match(fingerprints)
    assert match(fingerprints, {one.key: found.get(one.key, one.key) for one in fingerprints}) == {}


@given(FINGERPRINTS)
def test_a_fingerprint_is_decoded_as_it_was_encoded(fingerprints: list[Fingerprint]) -> None:
    assert [Fingerprint.decode(one.encode()) for one in fingerprints] == fingerprints


@pytest.mark.parametrize("text", ["", "7", "{}", '{"key": "a"}', "[]", "null"])
def test_a_text_that_is_no_fingerprint_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Fingerprint.decode(text)


def test_a_field_of_a_newer_version_is_ignored() -> None:
    written = one(1, OPENAI, 0, 9).encode()
    assert Fingerprint.decode(f'{{"new": 1, {written[1:]}') == one(1, OPENAI, 0, 9)


def test_thousands_of_equal_calls_in_a_window_cost_no_more_than_sorting_them() -> None:
    spans = [
        one(2 * number + inner, OPENAI if inner else LANGCHAIN, number + inner, 10**6 - number - inner)
        for number in range(5000)
        for inner in (0, 1)
    ]
    began = time.process_time()
    assert len(match(spans)) == 5000
    assert time.process_time() - began < 5.0
