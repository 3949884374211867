"""What the receivers take of recorded requests is what reading them whole would take."""

from __future__ import annotations

from pathlib import Path

from recordings import runs, variants

from label_studio_otel import reading
from label_studio_otel.otlp import request
from label_studio_otel.otlp.files import decode
from label_studio_otel.spans import MESSAGE_EVENTS

CASES = Path(__file__).parents[1] / "cases"


def test_no_call_of_a_recorded_request_is_passed_over() -> None:
    calls = read = 0
    for variant in variants(CASES):
        for run in runs(variant):
            for name, body in run.requests:
                if ".otlp" not in name:
                    continue
                whole = [
                    span
                    for span in decode(body, name).spans
                    if reading.is_llm_call(span["attributes"], span["scope"]["name"])
                ]
                picked = request.select("traces", body, reading.keys(), is_json=name.endswith(".json"))
                taken = [one for one in picked.items if reading.is_llm_call(one["attributes"], one["scope"]["name"])]
                assert taken == whole, f"{run.name} {name}"
                calls += len(whole)
                read += len(picked.items)
    assert calls > 2000
    assert read > calls  # wrappers have the same attributes


def test_no_event_of_a_recorded_request_is_passed_over() -> None:
    events = 0
    for variant in variants(CASES):
        for run in runs(variant):
            for name, body in run.requests:
                if ".logs" not in name:
                    continue
                whole = [
                    record
                    for record in decode(body, name).logs
                    if (record["eventName"] or record["attributes"].get("event.name")) in MESSAGE_EVENTS
                ]
                found = request.select("logs", body, reading.keys(), is_json=name.endswith(".json")).items
                assert [one for one in found if one in whole] == whole, f"{run.name} {name}"
                events += len(whole)
    assert events > 100
