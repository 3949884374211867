"""Asks without end, until it is killed."""

import itertools
import sys
import time

from asking import ask

for number in itertools.count():
    ask(f"{sys.argv[1]} {number}")
    time.sleep(0.002)
