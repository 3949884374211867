"""A small disk for the state of applications and deliverers, which can be filled to the last byte.

It is mounted where this process and its children alone see it, so that it is gone when they are. Only root may mount:
for others the state is an ordinary directory, and the disk is never full.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIZE = "256m"
CLONE_NEWNS = 0x00020000
CHUNK = 1 << 20


class SmallDisk:
    """A directory, on a small file system where that may be; what it holds stays when the context ends."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"
        self.mounted = False

    def __enter__(self) -> SmallDisk:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.mounted = _sees_its_own_mounts() and _ran(
            "mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(self.directory)
        )
        return self

    def __exit__(self, *error: object) -> None:
        if self.mounted:
            kept = self.directory.with_suffix(".kept")
            self.free()
            shutil.copytree(self.directory, kept)
            _ran("umount", "--lazy", str(self.directory))
            self.directory.rmdir()
            kept.rename(self.directory)

    def fill(self, spare: int) -> None:
        """Leave this many bytes; at most, as others write too."""
        with self._ballast.open("wb", buffering=0) as file:
            size = 0
            try:
                while written := file.write(bytes(CHUNK)):
                    size += written
            except OSError:
                file.truncate(max(0, size - spare))

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


def _sees_its_own_mounts() -> bool:
    alone = os.geteuid() == 0 and ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0
    return alone and _ran("mount", "--make-rprivate", "/")


def _ran(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
