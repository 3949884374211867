"""Measures what our in-process part costs an application over the bare SDK: `python start.py OPTIONS`.

Prints processor seconds and bytes of resident memory at two moments: with the processor registered, and with the
delivery thread at work (its imports and first delivery included).
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: F401 - part of every application's SDK
from spans import makers


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not Linux: the highest so far, in kilobytes or, on macOS, in bytes
        import resource

        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return highest if sys.platform == "darwin" else highest * 1024


def run(options: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the costs by moment."""
    provider = TracerProvider(resource=Resource.create({"service.name": "overhead"}), shutdown_on_exit=False)
    make = makers(provider)
    make["llm_2kb"](0)
    gc.collect()
    cpu, memory = time.process_time(), resident()

    def cost() -> dict[str, float]:
        return {"cpu": time.process_time() - cpu, "memory": resident() - memory}

    from label_studio_otel import LabelStudioSpanProcessor

    where = {"url": options["label_studio"], "api_key": options["token"], "state_dir": options["state_dir"]}
    provider.add_span_processor(LabelStudioSpanProcessor(**where, project_name="Overhead", shutdown_timeout=5))
    registered = cost()
    make["llm_2kb"](1)
    provider.shutdown()  # returns when the delivery is done
    return {"registered": registered, "delivering": cost()}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
