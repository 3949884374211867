"""Which processes live, as the operating system sees it."""

from __future__ import annotations

import os
from pathlib import Path


def processes_mentioning(text: str) -> list[str]:
    """Return the command lines of all other processes that have the text in their arguments or environment."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and int(directory.name) != os.getpid():
            try:
                arguments = (directory / "cmdline").read_bytes()
                environment = (directory / "environ").read_bytes()
            except OSError:  # it ended, or it is another user's
                continue
            if text.encode() in arguments + environment:
                found.append(arguments.replace(b"\0", b" ").decode("utf-8", "replace"))
    return found
