"""Python imports this at its start where `doctor --in-code -- command` put this folder first on PYTHONPATH.

It listens to the tracer providers that the application will make, after the `sitecustomize` that would have been
imported without it.
"""

import contextlib
import importlib
import os
import sys


def _import_the_other() -> None:
    """Import the `sitecustomize` that Python would have imported without this one, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path = [path for path in sys.path if os.path.abspath(path or ".") != here]
    ours = sys.modules.pop("sitecustomize")
    with contextlib.suppress(ImportError):
        importlib.import_module("sitecustomize")
    sys.modules.setdefault("sitecustomize", ours)


def _observe() -> None:
    try:
        from label_studio_otel.sdk.observer import observe

        observe()
    except Exception as error:
        sys.stderr.write(f"label-studio-otel doctor cannot look at this process: {type(error).__name__}\n")


if __name__ == "sitecustomize":
    _import_the_other()
    _observe()
