"""What is read of the recorded runs, against what went over the wire.

A cell that changes is shown by the test; `pytest tests/corpus --inline-snapshot=fix` writes the tables anew.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from inline_snapshot import snapshot

from corpus.recordings import runs, variants
from corpus.score import COLUMNS, scores

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests/cases"
#: The whole corpus that the selection was made from, where it stands beside the repository.
WHOLE = ROOT.parent / "shared/spans"


def families(folder: Path) -> dict[str, str]:
    """Return the cells of each family that are not 0, and the share of observable leaves that were read."""
    counts: dict[str, Counter[str]] = {}
    for score in scores(folder):
        counts.setdefault(score.name.partition("/")[0], Counter()).update(score.counts)
    return {family: row(count) for family, count in counts.items()}


def row(count: Counter[str]) -> str:
    cells = [f"{count[name]} {name}" for name in COLUMNS if count[name]]
    lost = count["leaves"] - count["recovered"]
    return ", ".join([*cells, f"{lost} of {count['leaves']} leaves lost"])


def test_the_recorded_calls_of_a_fresh_clone_are_read() -> None:
    assert families(CASES) == snapshot(
        {
            "autogen": "46 calls, 20 found, 20 wrong, 26 no span, 20 of 172 leaves lost",
            "crewai": "30 calls, 30 no span, 0 of 0 leaves lost",
            "double": "169 calls, 168 found, 150 exact, 16 observable, 2 wrong, 1 no span, 1 of 1589 leaves lost",
            "dspy": "18 calls, 18 found, 18 wrong, 18 of 74 leaves lost",
            "google-adk": "110 calls, 110 found, 3 exact, 2 observable, 105 wrong, 106 of 745 leaves lost",
            "haystack": "61 calls, 61 found, 2 observable, 59 wrong, 59 of 592 leaves lost",
            "langfuse": "87 calls, 87 found, 11 exact, 73 observable, 3 wrong, 3 of 756 leaves lost",
            "langsmith": "99 calls, 99 found, 90 exact, 9 observable, 0 of 953 leaves lost",
            "litellm": "29 calls, 29 found, 21 exact, 8 observable, 0 of 283 leaves lost",
            "llamaindex": "64 calls, 28 found, 1 exact, 26 observable, 1 wrong, 36 no span, 1 of 267 leaves lost",
            "logfire": "86 calls, 86 found, 65 exact, 12 observable, 9 wrong, 9 of 840 leaves lost",
            "mlflow": "62 calls, 62 found, 30 exact, 8 observable, 24 wrong, 29 of 572 leaves lost",
            "oi-langchain": "99 calls, 99 found, 73 exact, 12 observable, 14 wrong, 12 of 976 leaves lost",
            "oi-openai": "130 calls, 130 found, 87 exact, 5 observable, 38 wrong, 41 of 1080 leaves lost",
            "openai-agents": "95 calls, 57 found, 1 exact, 20 observable, 36 wrong, 38 no span, 38 of 430 leaves lost",
            "openlit": "94 calls, 93 found, 44 exact, 16 observable, 33 wrong, 1 no span, 37 of 877 leaves lost",
            "otel-genai-langchain": "76 calls, 74 found, 68 exact, 6 observable, 2 no span, 0 of 701 leaves lost",
            "otel-genai-openai": "134 calls, 130 found, 90 exact, 5 observable, 35 wrong, 4 no span, 36 of 1085 leaves lost",
            "otel-openai-v2": "194 calls, 182 found, 130 exact, 52 observable, 12 no span, 0 of 1572 leaves lost",
            "pydantic-ai": "119 calls, 119 found, 115 exact, 3 observable, 1 wrong, 1 of 1206 leaves lost",
            "semantic-kernel": "34 calls, 34 found, 1 exact, 33 observable, 0 of 315 leaves lost",
            "strands": "73 calls, 73 found, 3 exact, 68 observable, 2 wrong, 2 of 773 leaves lost",
            "tl-anthropic": "144 calls, 142 found, 63 exact, 59 observable, 20 wrong, 2 no span, 22 of 1561 leaves lost",
            "tl-langchain": "353 calls, 353 found, 156 exact, 134 observable, 63 wrong, 160 of 2841 leaves lost",
            "tl-openai": "194 calls, 193 found, 134 exact, 24 observable, 35 wrong, 1 no span, 36 of 1669 leaves lost",
            "vercel": "182 calls, 182 found, 174 exact, 6 observable, 2 wrong, 1 of 2072 leaves lost",
        }
    )


if WHOLE.is_dir():

    def test_the_calls_of_the_whole_corpus_are_read() -> None:
        assert families(WHOLE) == snapshot(
            {
                "autogen": "64 calls, 32 found, 32 wrong, 32 no span, 32 of 284 leaves lost",
                "crewai": "44 calls, 44 no span, 0 of 0 leaves lost",
                "double": "690 calls, 685 found, 604 exact, 75 observable, 6 wrong, 5 no span, 1 of 7053 leaves lost",
                "dspy": "34 calls, 34 found, 34 wrong, 34 of 138 leaves lost",
                "google-adk": "176 calls, 176 found, 6 exact, 2 observable, 168 wrong, 169 of 1330 leaves lost",
                "haystack": "104 calls, 104 found, 4 observable, 100 wrong, 100 of 1270 leaves lost",
                "langfuse": "279 calls, 279 found, 40 exact, 228 observable, 11 wrong, 11 of 2988 leaves lost",
                "langsmith": "251 calls, 251 found, 235 exact, 14 observable, 2 wrong, 2 of 3036 leaves lost",
                "litellm": "58 calls, 58 found, 45 exact, 12 observable, 1 wrong, 1 of 794 leaves lost",
                "llamaindex": "127 calls, 75 found, 3 exact, 69 observable, 3 wrong, 52 no span, 3 of 653 leaves lost",
                "logfire": "244 calls, 244 found, 170 exact, 50 observable, 24 wrong, 24 of 2942 leaves lost",
                "mlflow": "199 calls, 199 found, 64 exact, 28 observable, 107 wrong, 138 of 2155 leaves lost",
                "oi-langchain": "312 calls, 312 found, 225 exact, 33 observable, 54 wrong, 45 of 2937 leaves lost",
                "oi-openai": "316 calls, 316 found, 249 exact, 8 observable, 59 wrong, 65 of 2955 leaves lost",
                "openai-agents": "228 calls, 152 found, 1 exact, 26 observable, 125 wrong, 76 no span, 123 of 1513 leaves lost",
                "openlit": "323 calls, 318 found, 167 exact, 67 observable, 84 wrong, 5 no span, 105 of 3492 leaves lost",
                "otel-genai-langchain": "276 calls, 266 found, 242 exact, 24 observable, 10 no span, 0 of 2860 leaves lost",
                "otel-genai-openai": "460 calls, 443 found, 363 exact, 25 observable, 55 wrong, 17 no span, 58 of 4485 leaves lost",
                "otel-openai-v2": "726 calls, 667 found, 567 exact, 100 observable, 59 no span, 0 of 6985 leaves lost",
                "pydantic-ai": "279 calls, 279 found, 268 exact, 6 observable, 5 wrong, 5 of 3627 leaves lost",
                "semantic-kernel": "50 calls, 50 found, 2 exact, 48 observable, 0 of 695 leaves lost",
                "strands": "144 calls, 144 found, 6 exact, 134 observable, 4 wrong, 4 of 1593 leaves lost",
                "tl-anthropic": "530 calls, 520 found, 206 exact, 246 observable, 68 wrong, 10 no span, 72 of 5234 leaves lost",
                "tl-langchain": "1145 calls, 1144 found, 564 exact, 428 observable, 152 wrong, 1 no span, 561 of 10262 leaves lost",
                "tl-openai": "726 calls, 720 found, 575 exact, 76 observable, 69 wrong, 6 no span, 72 of 6704 leaves lost",
                "vercel": "602 calls, 602 found, 568 exact, 29 observable, 5 wrong, 4 of 7040 leaves lost",
            }
        )


def test_the_selection_has_every_family_and_scenario() -> None:
    found = variants(CASES)
    assert len(found) == 91
    assert sorted({variant.family for variant in found}) == snapshot(
        [
            "autogen",
            "crewai",
            "double",
            "dspy",
            "google-adk",
            "haystack",
            "langfuse",
            "langsmith",
            "litellm",
            "llamaindex",
            "logfire",
            "mlflow",
            "oi-langchain",
            "oi-openai",
            "openai-agents",
            "openlit",
            "otel-genai-langchain",
            "otel-genai-openai",
            "otel-openai-v2",
            "pydantic-ai",
            "semantic-kernel",
            "strands",
            "tl-anthropic",
            "tl-langchain",
            "tl-openai",
            "vercel",
        ]
    )
    assert sorted({run.scenario for variant in found for run in runs(variant)}) == snapshot(
        [
            "agent",
            "audio",
            "chat",
            "completion",
            "embed",
            "empty",
            "error",
            "filter",
            "lcel",
            "long",
            "many",
            "maxtokens",
            "multimodal",
            "multiturn",
            "n2",
            "paralleltool",
            "rag",
            "reasoning",
            "responses",
            "session",
            "stream",
            "streamtool",
            "structured",
            "tool",
            "tricky",
            "unicode",
        ]
    )
    assert sum(path.stat().st_size for path in CASES.rglob("*") if path.is_file()) < 10_000_000


def test_the_scorer_is_a_command() -> None:
    command = [sys.executable, "tests/corpus/score.py", "tests/cases", "--family", "pydantic-ai", "--details", "1"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert [line.split()[0] for line in ran.stdout.splitlines()[-6:]] == [
        "variant",
        "pydantic-ai/2.x-v2",
        "pydantic-ai/2.x-v5",
        "pydantic-ai/2.x-v6",
        "pydantic-ai/logfire",
        "all",
    ]
