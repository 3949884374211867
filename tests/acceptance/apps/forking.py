"""Forks again and again while other threads are in the middle of calls; the children call, and leave by os._exit."""

import faulthandler
import os
import sys
import threading
import time

from asking import ask

PATIENCE = 20
done = threading.Event()


def hammer(name):
    number = 0
    while not done.is_set():
        ask(f"{name} {number}")
        number += 1
        time.sleep(0.001)


def child(name):
    faulthandler.dump_traceback_later(PATIENCE / 2)
    code = 1
    try:
        ask(f"{name} first")
        ask(f"{name} second")
        code = 0
    finally:
        os._exit(code)


def wait(pid):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, 9)
    return "hangs"


ask("Before")  # LangChain imports in its first call: a child forked in the middle of that hangs, with or without us
threads = [threading.Thread(target=hammer, args=(f"Thread {number}",)) for number in range(2)]
for thread in threads:
    thread.start()
codes = []
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        child(f"Fork {number}")
    codes.append(wait(pid))
done.set()
for thread in threads:
    thread.join()
sys.exit(f"children ended with {codes}" if any(codes) else 0)
