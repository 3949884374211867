"""Check the state directory: its disk, its permissions, and the calls and files in it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from label_studio_otel.cli.doctor.finding import Finding, Findings, counted, error, ok, warning
from label_studio_otel.cli.doctor.installation import SetUp
from label_studio_otel.cli.status import server_directories, summary_of, unsent
from label_studio_otel.delivery.deliverer import OUTBOX
from label_studio_otel.errors import OutboxError
from label_studio_otel.outbox.database import newer_schema, repeated_span_ids
from label_studio_otel.pipeline import spool_directory
from label_studio_otel.spool.reader import is_of_another_version, spool_files

MOUNTS = Path("/proc/self/mountinfo")
CONTAINER_LAYER = ("overlay", "aufs", "fuse-overlayfs", "fuse.fuse-overlayfs")
NETWORK = (
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre", "afs",
    "9p", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "gpfs", "beegfs", "fuse.rclone",
)  # fmt: skip
#: What endangers the calls on a disk, by the type of its file system.
DANGERS = {
    **dict.fromkeys(("tmpfs", "ramfs", "rootfs"), "in memory: what waits there is lost when the machine restarts"),
    **dict.fromkeys(CONTAINER_LAYER, "in the container's own layer: what waits there is lost with the container"),
    **dict.fromkeys(NETWORK, "on a network disk, where SQLite and the locks cannot be trusted"),
}
#: Number of waiting calls, and age in seconds of the oldest, from which on there is a warning.
MANY_WAITING = 1000
LONG_WAITING_S = 3600.0
ELSEWHERE = "export LABEL_STUDIO_OTEL_STATE_DIR=a directory on a disk of this machine"


def state_directory(set_up: SetUp, mounts: str | None = None) -> Findings:
    """Check that the state directory can be written, and that its disk keeps what is written.

    Args:
        set_up: names the directory.
        mounts: text of /proc/self/mountinfo; None reads it.
    """
    directory = set_up.settings.state_dir
    existing = next(one for one in (directory, *directory.parents) if one.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        why = f"cannot be written by this user ({existing}): calls wait in memory and are lost at exit"
        yield error("state directory", f"{directory} {why}", "make it writable, or " + ELSEWHERE)
        return
    kind = file_system(existing.resolve(), MOUNTS.read_text() if mounts is None and MOUNTS.exists() else mounts or "")
    if kind in DANGERS:
        mend = "mount a volume there, or " + ELSEWHERE if kind in CONTAINER_LAYER else ELSEWHERE
        yield warning("state directory", f"{directory} is {DANGERS[kind]} ({kind})", mend)
    else:
        yield ok("state directory", f"{directory} can be written" + (f" ({kind})" if kind else ""))


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system of a path, "" where it is not known.

    Fields of a line: id, parent, device, root, mount point, options, …, a dash, type (man 5 proc_pid_mountinfo).
    """
    found_point = found_kind = ""
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        if not dash:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        # Of several mounts on one point the last one is in use.
        if path.is_relative_to(point) and len(point) >= len(found_point):
            found_point, found_kind = point, after.split()[0]
    return found_kind


def waiting(set_up: SetUp) -> Findings:
    """Check for calls that did not arrive yet."""
    for directory in server_directories(set_up.settings.state_dir):
        try:
            summary = summary_of(directory)
        except OutboxError as problem:
            yield error("state directory", str(problem), "move that file away; a new one is made")
            continue
        number = unsent(summary)
        age = time.time() - summary.oldest if summary.oldest else 0.0
        if number >= MANY_WAITING or (number and age > LONG_WAITING_S):
            oldest = f", the oldest for {age / 3600:.1f} hours" if age > LONG_WAITING_S else ""
            met = f"{counted(number, 'call')} in {directory} did not arrive yet{oldest}"
            yield warning("waiting", met, "label-studio-otel status says why; label-studio-otel deliver sends them")
        if parked := summary.states["parked"]:
            met = f"{counted(parked, 'call')} in {directory}: refused by Label Studio and parked"
            yield warning("waiting", met, "label-studio-otel status says why; then label-studio-otel retry")


def versions(set_up: SetUp) -> Findings:
    """Check for files of another version of this package."""
    upgrade = "pip install --upgrade label-studio-otel"
    for directory in server_directories(set_up.settings.state_dir):
        if schema := newer_schema(directory / OUTBOX):
            found, known = schema
            met = f"{directory / OUTBOX} was written by a newer version (schema {found}, this one knows {known})"
            yield error("state directory", met, f"{upgrade}, here as well")
        for path in filter(is_of_another_version, spool_files(spool_directory(directory))):
            met = f"{path.name} in {path.parent} has records of another version; this one cannot read them"
            yield error("state directory", met, f"{upgrade}, then label-studio-otel deliver")


def span_ids(set_up: SetUp) -> Findings:
    """Check for span ids that came twice with different start times: the application seeds `random`."""
    for directory in server_directories(set_up.settings.state_dir):
        if number := repeated_span_ids(directory / OUTBOX):
            yield repeated(number, f"in {directory}")


def repeated(number: int, where: str) -> Finding:
    """Return the finding about span ids that are not unique."""
    return warning(
        "span ids",
        f"{counted(number, 'span id')} came more than once {where}: OpenTelemetry draws them from `random`, and the "
        "application seeds it. Each call is still a task; in trace backends they overwrite each other",
        "seed a generator of your own, random.Random(seed), instead of random.seed(seed)",
    )
