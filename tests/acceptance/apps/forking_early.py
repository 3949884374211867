"""Forks while the first call's delivery is still being imported, which here takes long."""

import os
import sys
import threading
import time

from asking import ask

importing = threading.Event()


class Slow:
    """Stands for a busy machine, or a file system at the other end of a network."""

    def find_spec(self, name, path=None, target=None):
        if name == "label_studio_otel.delivery.sending" and not importing.is_set():
            importing.set()
            time.sleep(0.5)


sys.meta_path.insert(0, Slow())
ask("Parent")
importing.wait(10)
pid = os.fork()
if pid == 0:
    ask("Child")
    time.sleep(1)  # its own delivery begins
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
