"""The pages of the documentation, and the commands that stand in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
    "examples/README.md",
    "collector/README.md",
    "benchmarks/README.md",
)


def commands(page: str, heading: str = "") -> list[str]:
    """Return the lines of the shell blocks of a page, or of its section of this heading."""
    text = (ROOT / page).read_text("utf-8")
    if heading:
        text = re.split(r"^#+ ", f"\n{text}".partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]
