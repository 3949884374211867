"""An application that makes LLM calls in two threads, forks, and ends by itself after some calls, or when told to.

Arguments: the ledger, a seed, the number of calls. Everything else is said by the product's own variables.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from ledger import Ledger, answer
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import LabelStudioSpanProcessor

#: Seconds between two calls of a thread, on average.
PAUSE = 0.05
FORKS = 0.02
CHILD_CALLS = 5

if os.environ.get("CHAOS_SABOTAGE"):
    import sabotage

    sabotage.apply(os.environ["CHAOS_SABOTAGE"])

ledger = Ledger(Path(sys.argv[1]))
choice = random.Random(sys.argv[2])  # one of its own: the ids of spans come from the module's
left = int(sys.argv[3])
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
provider = TracerProvider()
provider.add_span_processor(LabelStudioSpanProcessor())
tracer = provider.get_tracer("chaos")


def messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def call() -> None:
    span = tracer.start_span("chat model")
    context = span.get_span_context()
    key = f"{context.trace_id:032x}:{context.span_id:016x}:{span.start_time}"
    span.set_attributes(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "model",
            "gen_ai.input.messages": messages("user", f"Question {key}"),
            "gen_ai.output.messages": messages("assistant", answer(key)),
        }
    )
    ledger.begun(key)
    span.end()
    ledger.taken(key)


def child(leaves_at_once: bool) -> None:
    signal.alarm(20)  # a child that hangs is seen in the ledger, and must not stay
    for _ in range(CHILD_CALLS):
        call()
        time.sleep(PAUSE)
    if not leaves_at_once:
        provider.shutdown()
    os._exit(0)


def other_thread(seed: str) -> None:
    pause = random.Random(seed)
    while not told.is_set():
        call()
        time.sleep(pause.expovariate(1 / PAUSE))


thread = threading.Thread(target=other_thread, args=(f"{sys.argv[2]} thread",))
thread.start()
while left > 0 and not told.is_set():
    call()
    left -= 1
    if choice.random() < FORKS and os.fork() == 0:
        child(choice.random() < 0.5)
    time.sleep(choice.expovariate(1 / PAUSE))
told.set()
thread.join()
provider.shutdown()
