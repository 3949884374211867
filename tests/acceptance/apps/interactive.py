"""Asks what it reads, line by line; some words end it in a particular way."""

import os
import sys

from asking import ask

for line in sys.stdin:
    question = line.strip()
    if question == "raise":
        raise RuntimeError("the application's own")
    if question == "_exit":
        os._exit(7)
    ask(question)
