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
TABLE = (*COLUMNS, "leaves", "lost")


def families(folder: Path) -> str:
    """Return the table of families: calls by what became of them, and observable leaves that were not read."""
    counts: dict[str, Counter[str]] = {}
    for score in scores(folder):
        counts.setdefault(score.name.partition("/")[0], Counter()).update(score.counts)
    for count in counts.values():
        count["lost"] = count["leaves"] - count["recovered"]
    rows = [(family, *(str(count[name]) for name in TABLE)) for family, count in counts.items()]
    widths = [max(map(len, counts)), *(max(len(name) + 2, 7) for name in TABLE)]
    return "\n".join(
        "".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(line))
        for line in (zip(row, widths, strict=True) for row in [("", *TABLE), *rows])
    )


def test_the_recorded_calls_of_a_fresh_clone_are_read() -> None:
    assert families(CASES) == snapshot("""\
                      calls  found  exact  observable  wrong  missed  no span  extra  unreadable  leaves   lost
autogen                  46     20      0          20      0       0       26      0           0     152      0
crewai                   30      0      0           0      0       0       30      0           0       0      0
double                  169    168    151          17      0       0        1      0           0    1589      0
dspy                     18     18      2          16      0       0        0      0           0      74      0
google-adk              110    110      3         107      0       0        0      0           0     681      0
haystack                 61     61      0          61      0       0        0      0           0     532      0
langfuse                 87     87     27          60      0       0        0      0           0     775      0
langsmith                99     99     90           9      0       0        0      0           0     953      0
litellm                  29     29     21           8      0       0        0      0           0     283      0
llamaindex               64     28      1          27      0       0       36      0           0     266      0
logfire                  86     86     74          12      0       0        0      0           0     840      0
mlflow                   62     62     33          29      0       0        0      0           0     548      0
oi-langchain             99     99     83          16      0       0        0      0           0     973      0
oi-openai               130    130     87          43      0       0        0      0           0    1075      0
openai-agents            95     57      1          56      0       0       38      0           0     418      0
openlit                  94     93     46          47      0       0        1      0           0     848      0
otel-genai-langchain     76     74     68           6      0       0        2      0           0     701      0
otel-genai-openai       134    130     90          40      0       0        4      0           0    1086      0
otel-openai-v2          194    182    130          52      0       0       12      0           0    1572      0
pydantic-ai             119    119    115           4      0       0        0      0           0    1206      0
semantic-kernel          34     34      1          33      0       0        0      0           0     315      0
strands                  73     73      3          70      0       0        0      0           0     771      0
tl-anthropic            144    142     86          56      0       0        2      0           0    1624      0
tl-langchain            353    353    197         156      0       0        0      0           0    2863      0
tl-openai               194    193    140          53      0       0        1      0           0    1677      0
vercel                  182    182    175           7      0       0        0      0           0    2072      0\
""")


if WHOLE.is_dir():

    def test_the_calls_of_the_whole_corpus_are_read() -> None:
        assert families(WHOLE) == snapshot("""\
                      calls  found  exact  observable  wrong  missed  no span  extra  unreadable  leaves   lost
autogen                  64     32      0          32      0       0       32      0           0     252      0
crewai                   44      0      0           0      0       0       44      0           0       0      0
double                  690    685    610          75      0       0        5      0           0    7054      0
dspy                     34     34      4          30      0       0        0      0           0     138      0
google-adk              176    176      6         170      0       0        0      0           0    1203      0
haystack                104    104      0         104      0       0        0      0           0    1168      0
langfuse                279    279     73         206      0       0        0      0           0    3025      0
langsmith               251    251    235          16      0       0        0      0           0    3034      0
litellm                  58     58     45          13      0       0        0      0           0     793      0
llamaindex              127     75      3          72      0       0       52      0           0     650      0
logfire                 244    244    195          49      0       0        0      0           0    2943      0
mlflow                  199    199     85         114      0       0        0      0           0    2058      0
oi-langchain            312    312    272          40      0       0        0      0           0    2931      0
oi-openai               316    316    249          67      0       0        0      0           0    2947      0
openai-agents           228    152      2         150      0       0       76      0           0    1422      0
openlit                 323    318    176         142      0       0        5      0           0    3411      0
otel-genai-langchain    276    266    244          22      0       0       10      0           0    2862      0
otel-genai-openai       460    443    363          80      0       0       17      0           0    4487      0
otel-openai-v2          726    667    567         100      0       0       59      0           0    6985      0
pydantic-ai             279    279    268          11      0       0        0      0           0    3627      0
semantic-kernel          50     50      2          48      0       0        0      0           0     695      0
strands                 144    144      6         138      0       0        0      0           0    1589      0
tl-anthropic            530    520    274         246      0       0       10      0           0    5412      0
tl-langchain           1145   1144    664         480      0       0        1      0           0   10344      0
tl-openai               726    720    596         124      0       0        6      0           0    6717      0
vercel                  602    602    572          30      0       0        0      0           0    7040      0\
""")


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
