"""An application that makes LLM calls in two threads, forks, and ends by itself after some calls, or when told to.

Arguments: the ledger, a seed, the number of calls. Everything else is said by the product's own variables and by those
that begin with CHAOS. After SIGUSR1 its threads call without a pause: it will be killed in the middle of `span.end()`.
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
from typing import NoReturn

from ledger import Ledger, answer
from opentelemetry.sdk.trace import TracerProvider

from label_studio_otel import LabelStudioSpanProcessor

#: Seconds between two calls of a thread, on average.
PAUSE = float(os.environ["CHAOS_PAUSE"])
#: There while the disk is full, and a little longer.
FULL = Path(os.environ["CHAOS_FULL"])
#: How often a call is followed by a fork.
FORKS = float(os.environ["CHAOS_FORKS"])
#: Whoever ends leaves a child behind this often.
LEAVES_A_CHILD = 0.5
#: Most calls of a child: it may outlive its parent.
CHILD_CALLS = 120
#: How often a child ends as the workers of many servers do, without a shutdown.
LEAVES_AT_ONCE = 0.8


class told:  # noqa: N801 - not events: their locks could be held at a fork, or by the thread that handles the signal
    """What signals said."""

    to_end = False
    to_hurry = False


if os.environ.get("CHAOS_SABOTAGE"):
    import sabotage

    sabotage.apply(os.environ["CHAOS_SABOTAGE"])

signal.signal(signal.SIGTERM, lambda *_: setattr(told, "to_end", True))
signal.signal(signal.SIGUSR1, lambda *_: setattr(told, "to_hurry", True))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
ledger = Ledger(Path(sys.argv[1]))
choice = random.Random(sys.argv[2])  # one of its own: the ids of spans come from the module's
left = int(sys.argv[3])
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


def pause(choice: random.Random) -> None:
    end = time.monotonic() + choice.expovariate(1 / PAUSE)
    while not (told.to_end or told.to_hurry) and (seconds := end - time.monotonic()) > 0:
        time.sleep(min(seconds, 0.02))


def be_durable() -> None:
    """Wait for the disk where it is full: until then calls are in memory, and lost with the process, as is said."""
    while FULL.exists() and not provider.force_flush():
        time.sleep(0.05)


def child(seed: str) -> NoReturn:
    signal.alarm(40)  # a child that hangs is seen in the ledger, and must not stay
    choice = random.Random(seed)
    leaves_at_once = choice.random() < LEAVES_AT_ONCE
    for _ in range(choice.randint(1, CHILD_CALLS)):
        if told.to_end:
            break
        call()
        pause(choice)
    be_durable()
    if not leaves_at_once:
        provider.shutdown()
    os._exit(0)


def other_thread(seed: str) -> None:
    choice = random.Random(seed)
    while not told.to_end:
        call()
        pause(choice)


thread = threading.Thread(target=other_thread, args=(f"{sys.argv[2]} thread",))
thread.start()
while left > 0 and not told.to_end:
    call()
    left -= 1
    if choice.random() < FORKS and os.fork() == 0:
        child(f"{sys.argv[2]} child {left}")
    pause(choice)
was_told = told.to_end
told.to_end = True
thread.join()
if choice.random() < LEAVES_A_CHILD and os.fork() == 0:
    told.to_end = was_told
    child(f"{sys.argv[2]} last child")
be_durable()
provider.shutdown()
