"""Begins as a reproducible experiment does, so that OpenTelemetry draws the same ids in every run."""

import random

random.seed(0)

from asking import ask  # noqa: E402

random.seed(0)
for number in range(5):
    ask(f"Experiment {number}")
