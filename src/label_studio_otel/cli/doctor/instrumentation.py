"""Check that an instrumentation makes spans of LLM calls, and that only one does for each library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from label_studio_otel.cli.doctor.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import Package, SetUp

__all__ = ["instrumentations"]


class Library(NamedTuple):
    """A library that calls LLMs."""

    package: str
    #: Package of the instrumentation to install, without its prefix `opentelemetry-instrumentation-`.
    instrumentation: str
    #: Names of the entry points of its instrumentations.
    names: tuple[str, ...]


#: Frameworks come first: their instrumentation covers each provider.
LIBRARIES = (
    Library("langchain-core", "langchain", ("langchain",)),
    Library("llama-index-core", "llamaindex", ("llama-index", "llama_index", "llamaindex")),
    Library("haystack-ai", "haystack", ("haystack-ai", "haystack")),
    Library("crewai", "crewai", ("crewai",)),
    Library("litellm", "litellm", ("litellm",)),
    Library("openai-agents", "openai-agents", ("openai_agents",)),
    Library("agno", "agno", ("agno",)),
    Library("openai", "openai", ("openai", "openai_v2")),
    Library("anthropic", "anthropic", ("anthropic",)),
    Library("boto3", "bedrock", ("boto3", "bedrock")),
    Library("google-genai", "google-generativeai", ("google_generativeai", "google-genai", "google_genai")),
    Library("google-cloud-aiplatform", "vertexai", ("google_cloud_aiplatform", "vertexai")),
    Library("mistralai", "mistralai", ("mistralai",)),
    Library("cohere", "cohere", ("cohere",)),
    Library("ollama", "ollama", ("ollama",)),
    Library("groq", "groq", ("groq",)),
    Library("together", "together", ("together",)),
    Library("replicate", "replicate", ("replicate",)),
    Library("transformers", "transformers", ("transformers",)),
)


class Instrumentation(NamedTuple):
    """An installed instrumentation of a library that is installed too."""

    point: EntryPoint
    package: Package
    library: Library

    def import_error(self) -> str | None:
        """Return why it cannot be imported; OpenTelemetry logs a missing module at debug level only."""
        try:
            self.point.load()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None


def instrumentations(set_up: SetUp) -> Iterator[Finding]:
    """Check the instrumentations: none, skipped, switched off, broken, or two of one library."""
    there = [one for one in _all(set_up) if set_up.installation.get(one.library.package)]
    active = []
    for one in there:
        # Code that sets tracing up reads neither extras nor the list, and gets import errors itself.
        if found := None if set_up.in_code else _obstacle(set_up, one):
            yield found
        else:
            active.append(one)
            yield ok("instrumentation", f"{one.package.name} {one.package.version} instruments {one.library.package}")
    yield from _duplicates(active)
    if not there:
        yield _missing(set_up)


def _obstacle(set_up: SetUp, one: Instrumentation) -> Finding | None:
    """Return a finding where `opentelemetry-instrument` does not use an instrumentation, None where it uses it."""
    off = [name.strip() for name in set_up.value("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS").split(",")]
    if one.point.name in off or "*" in off:
        return warning(
            "instrumentation",
            f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches {one.package.name} off",
            f"take {one.point.name if '*' not in off else '*'} out of OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        )
    if unmet := one.package.unmet(set_up.installation):
        return _skipped(one, unmet)
    why = one.import_error()
    return _broken(one, why) if why else None


def _all(set_up: SetUp) -> Iterator[Instrumentation]:
    for package, point in set_up.installation.offers("opentelemetry_instrumentor"):
        for library in LIBRARIES:
            if point.name in library.names:
                yield Instrumentation(point, package, library)


def _skipped(one: Instrumentation, unmet: str) -> Finding:
    beside = "" if unmet.startswith(one.library.package) else f"; {one.library.package} alone is not enough"
    return error(
        "instrumentation",
        f"opentelemetry-instrument skips {one.package.name}, because {unmet} is not installed{beside}",
        f'pip install "{unmet.partition(" or ")[0]}"',
    )


def _broken(one: Instrumentation, why: str) -> Finding:
    missing = re.search(r"No module named '([^'.]+)'", why)
    return error(
        "instrumentation",
        f"{one.package.name} cannot be imported ({why}), so opentelemetry-instrument leaves it out",
        f"pip install {missing[1]}" if missing else f"pip install --upgrade {one.package.name} {one.library.package}",
    )


def _duplicates(active: list[Instrumentation]) -> Iterator[Finding]:
    by_library: dict[str, list[Instrumentation]] = {}
    for one in active:
        by_library.setdefault(one.library.package, []).append(one)
    for library, ones in by_library.items():
        if len(ones) > 1:
            packages = [one.package.name for one in ones]
            # The list of disabled instrumentations is no help: it switches off both where they have one name.
            yield error(
                "instrumentation",
                f"{library} is instrumented {len(ones)} times ({', '.join(packages)}): each call has as many spans, in "
                "traces of their own, and may become as many tasks",
                f"pip uninstall {packages[-1]}",
            )


def _missing(set_up: SetUp) -> Finding:
    for library in LIBRARIES:
        if set_up.installation.get(library.package):
            return error(
                "instrumentation",
                f"{library.package} is installed and nothing instruments it: there are no spans of its LLM calls",
                f"pip install opentelemetry-instrumentation-{library.instrumentation}",
            )
    return warning(
        "instrumentation",
        "no library that calls LLMs was found here: spans of LLM calls can only come from the application's own code",
        "run this with the application's Python, or install the instrumentation of the library that it uses",
    )
