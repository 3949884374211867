"""Whether the bridge's memory stays flat under load: `label-studio-otel serve` in a process, and all that clients do.

    python benchmarks/receiver_memory.py [--minutes 10] [--rate 20] [--quick]

A client for HTTP and one for gRPC send requests of 512 spans, 1 % of them LLM calls with new ids and new text, at a
steady rate; among them JSON, gzip, duplicates, what is no OTLP, what is too large, bombs, and connections that end in
the middle. A Label Studio that answers at once takes the tasks. The bridge's resident memory, files and threads are
read each second. What the figures mean: README.md.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import linear_regression, median
from typing import NamedTuple

from receiver_load import SPANS, Bodies, GrpcClient, HttpClient, Load
from servers import running

from label_studio_otel.testing import FakeLabelStudio

#: Seconds until imports, caches and pools have what they need.
WARM_UP = 180


class Sample(NamedTuple):
    """What the system says of the bridge's process."""

    second: float
    #: Resident, in MiB.
    memory: float
    files: int
    threads: int


def sample(pid: int, began: float) -> Sample:
    """Read what the system says."""
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads")}  # type: ignore[index]
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(time.monotonic() - began, numbers["VmRSS"] / 1024, files, numbers["Threads"])


def report(samples: list[Sample], warm_up: float) -> None:
    """Print the figures of those after the warm-up."""
    warm = [one for one in samples if one.second >= warm_up] or samples
    tenth = max(1, len(warm) // 10)
    slope = linear_regression([one.second / 60 for one in warm], [one.memory for one in warm]).slope
    for name, part in (("first", warm[:tenth]), ("last", warm[-tenth:])):
        memory = [one.memory for one in part]
        print(f"  memory: {name} tenth median {median(memory):.1f}, least {min(memory):.1f} MiB")
    print(f"          least {min(one.memory for one in warm):.1f}, most {max(one.memory for one in warm):.1f} MiB")
    print(f"          slope {slope:+.3f} MiB/min")
    for name in ("files", "threads"):
        values = [getattr(one, name) for one in warm]
        print(f"  {name}: first {values[0]}, last {values[-1]}, most {max(values)}")


def measure(seconds: float, rate: float, directory: Path, csv: Path | None) -> None:
    """Run the bridge under load, and print what came of it."""
    with running("forgetting", 0) as url:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LABEL_STUDIO_"))}
        environ |= {
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": FakeLabelStudio.token,
            "LABEL_STUDIO_OTEL_STATE_DIR": str(directory),
        }
        command = [sys.executable, "-m", "label_studio_otel", "serve", "--port", "0", "--grpc-port", "0"]
        with subprocess.Popen([*command, "--settle", "1"], env=environ, stdout=subprocess.PIPE, text=True) as bridge:
            try:
                _under_load(bridge, seconds, rate, csv)
            finally:
                bridge.terminate()
                bridge.communicate()
        print(f"it ended with {bridge.returncode}")
        _say_state(environ)


def _under_load(bridge: subprocess.Popen[str], seconds: float, rate: float, csv: Path | None) -> None:
    assert bridge.stdout is not None
    port, address = re.findall(r"127\.0\.0\.1:\d+", bridge.stdout.readline())
    bodies = Bodies()
    clients = (HttpClient(int(port.partition(":")[2]), bodies), GrpcClient(address, bodies))
    loads = [Load(client, rate / 2, seconds) for client in clients]
    began = time.monotonic()
    samples = [sample(bridge.pid, began)]
    for load in loads:
        load.start()
    while time.monotonic() - began < seconds and bridge.poll() is None:
        time.sleep(1)
        samples.append(sample(bridge.pid, began))
    for load in loads:
        load.join(60)
    if csv:
        csv.write_text("".join(f"{one.second:.1f},{one.memory:.2f},{one.files},{one.threads}\n" for one in samples))
    outcomes = loads[0].outcomes + loads[1].outcomes
    report(samples, min(WARM_UP, seconds / 2))
    print(f"requests: {outcomes.total()} in {seconds:g} s, {SPANS} spans each: {dict(sorted(outcomes.items()))}")
    seconds_of_cpu = sum(map(int, Path(f"/proc/{bridge.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    print(f"processor time of the bridge: {seconds_of_cpu / os.sysconf('SC_CLK_TCK'):.1f} s")


def _say_state(environ: dict[str, str]) -> None:
    """Print what the outbox knows of the calls."""
    command = [sys.executable, "-m", "label_studio_otel", "status", "--json"]
    print(subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False).stdout)


def main() -> None:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=20, help="requests per second, half of them by each client")
    parser.add_argument("--csv", type=Path, help="where to write all samples: second, MiB, files, threads")
    parser.add_argument("--quick", action="store_true", help="show in half a minute that it works")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure(30 if args.quick else args.minutes * 60, args.rate, Path(directory), args.csv)


if __name__ == "__main__":
    main()
