"""Many calls at once: from threads, or from the tasks of one event loop."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from asking import ask, ask_later


async def gather():
    await asyncio.gather(*(ask_later(f"Task {number}") for number in range(200)))


if sys.argv[1] == "threads":
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, (f"Thread {number}" for number in range(200))))
else:
    asyncio.run(gather())
