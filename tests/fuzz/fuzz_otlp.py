"""Coverage-guided fuzzing from OTLP to tasks: decoding, dialects, log events, duplicates, `convert` and tasks.

    pip install atheris
    python tests/fuzz/fuzz_otlp.py [--strict] -max_total_time=300 FOLDER

FOLDER keeps the inputs that reached new code; the recorded runs of tests/cases are put into it first. The options are
those of libFuzzer. For every input, only `DecodeError` and `DialectError` may be raised, every call can be printed, and
every task is JSON in UTF-8 that PostgreSQL accepts. With `--strict`, the place where a dialect raised another error,
which `reading.read` turned into a `DialectError`, is printed once.
"""

from __future__ import annotations

import json
import os
import random
import sys
import traceback
from pathlib import Path
from typing import Any

import atheris

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

with atheris.instrument_imports(include=["label_studio_otel"]):
    from label_studio_otel import reading
    from label_studio_otel.calls import assembly, log_events
    from label_studio_otel.cli.genai_json import call_to_json
    from label_studio_otel.errors import DecodeError, DialectError
    from label_studio_otel.otlp import files as otlp
    from label_studio_otel.spans import LogRecord, Span
    from label_studio_otel.tasks import labeling_config, task

from corpus.otlp_json import json_of  # noqa: E402
from corpus.recordings import runs, variants  # noqa: E402

LARGEST_SEED = 12_000

_CONFIGS = [labeling_config.parse(labeling_config.template(mode)) for mode in ("prompt", "chat")]


def test_one_input(data: bytes) -> None:
    """Read bytes, and render the tasks of their calls."""
    try:
        telemetry = otlp.decode(data, "fuzz")
    except DecodeError:
        return
    spans = log_events.join(map(Span.from_fields, telemetry.spans), map(LogRecord.from_fields, telemetry.logs))
    for call in assembly.calls(spans, _unreadable):
        json.dumps(call_to_json(call))
        for config in _CONFIGS:
            text = json.dumps(task.render(call.span, call.generation, config), ensure_ascii=False, allow_nan=False)
            assert "\\u0000" not in text.replace("\\\\", "")  # an escaped backslash begins no escape
            text.encode()


def _unreadable(_span: Span, _error: DialectError) -> None:
    """A span may be unreadable."""


def _print_other_errors() -> None:
    noted: set[tuple[str, str, int]] = set()
    read = reading._read

    def noting(dialect: Any, span: Span) -> Any:
        try:
            return dialect.read(span)
        except DialectError:
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = (type(error).__name__, place.filename, place.lineno or 0)
            if where not in noted:
                noted.add(where)
                print("other error:", *where, "of", dialect.name, str(error)[:100], file=sys.stderr)
            return read(dialect, span)

    reading._read = noting


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change one value of a request in JSON, else any byte: most bytes in protobuf are then no protobuf any more."""
    chance = random.Random(seed)
    try:
        request = json.loads(data)
        holders = list(_holders(request))
    except (ValueError, RecursionError):
        holders = []
    if not holders or chance.random() < 0.1:
        return atheris.Mutate(data, max_size)
    holder, key = chance.choice(holders)
    holder[key] = _changed(holder[key], chance)
    changed = json.dumps(request).encode()
    return changed if len(changed) <= max_size else atheris.Mutate(data, max_size)


def _holders(value: Any) -> list[tuple[Any, Any]]:
    """Return the places of all attributes' values, however deep, and of their names."""
    found = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "key" in one and "value" in one:
                found += [(one, "value"), (one, "key")]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def _changed(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and isinstance(value.get("stringValue"), str) and chance.random() < 0.8:
        return {"stringValue": _text(value["stringValue"], chance)}
    if isinstance(value, str):
        return _bytes(value)
    return chance.choice(
        [
            {"intValue": "7"},
            {"doubleValue": "NaN"},
            {"boolValue": True},
            {"stringValue": ""},
            {"stringValue": "null"},
            {"arrayValue": {"values": [value, {"stringValue": "[]"}]}},
            {"kvlistValue": {"values": [{"key": "content", "value": value}, {"key": "role", "value": {}}]}},
            {"bytesValue": "AAEC"},
            {},
        ]
    )


def _text(text: str, chance: random.Random) -> str:
    """Change JSON in its structure, other text in its bytes."""
    try:
        inner = json.loads(text)
    except (ValueError, RecursionError):
        inner = None
    if not isinstance(inner, (dict, list)) or not inner or chance.random() < 0.2:
        return text[: chance.randrange(len(text) + 1)] if chance.random() < 0.2 else _bytes(text)
    places = [(inner, key) for key in (inner if isinstance(inner, dict) else range(len(inner)))]
    for _ in range(chance.randrange(6)):
        below = places[chance.randrange(len(places))]
        child = below[0][below[1]]
        if isinstance(child, (dict, list)) and child:
            places = [(child, key) for key in (child if isinstance(child, dict) else range(len(child)))]
    holder, key = chance.choice(places)
    holder[key] = chance.choice(
        [
            None,
            0,
            -1.5,
            True,
            "",
            "text",
            "{",
            "[]",
            [],
            {},
            [holder[key]],
            {"type": "text", "text": holder[key]},
            [None],
        ]
    )
    return json.dumps(inner)


def _bytes(text: str) -> str:
    return atheris.Mutate(text.encode("utf-8", "replace"), len(text) + 64).decode("utf-8", "replace")


def _seed(folder: Path) -> None:
    """Put recorded requests into the folder, as JSON where they are small enough."""
    folder.mkdir(parents=True, exist_ok=True)
    for variant in variants(TESTS / "cases"):
        for run in runs(variant):
            for name, body in run.requests:
                body = body if name.endswith("json") else json_of(body)  # noqa: PLW2901
                if len(body) <= LARGEST_SEED:
                    (folder / f"{variant.family}-{variant.name}-{name}.json").write_bytes(body)


def main() -> None:
    """Fuzz as long as the options of libFuzzer say."""
    arguments = [argument for argument in sys.argv if argument != "--strict"]
    if len(arguments) < len(sys.argv):
        _print_other_errors()
    folder = next((argument for argument in arguments[1:] if not argument.startswith("-")), None)
    if folder is not None and not os.path.isfile(folder):
        _seed(Path(folder))
    atheris.Setup(arguments, test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
