"""`python -m label_studio_otel` is the command line."""

from __future__ import annotations

import sys

from label_studio_otel.cli import main

if __name__ == "__main__":
    sys.exit(main())
