"""Check that an instrumentation makes spans of LLM calls, and that only one does for each library."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from typing import NamedTuple

from label_studio_otel.cli.doctor.finding import Finding, Findings, error, ok, warning
from label_studio_otel.cli.doctor.installation import Package, SetUp


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


def instrumentations(set_up: SetUp) -> Findings:
    """Check the instrumentations: none, skipped, switched off, broken, or two of one library."""
    there = [
        Instrumentation(point, package, library)
        for package, point in set_up.installation.offers("opentelemetry_instrumentor")
        for library in LIBRARIES
        if point.name in library.names and set_up.installation.get(library.package)
    ]
    active: dict[str, list[str]] = {}
    for one in there:
        # Code that sets tracing up reads neither extras nor the list, and gets import errors itself.
        if found := None if set_up.in_code else _obstacle(set_up, one):
            yield found
        else:
            active.setdefault(one.library.package, []).append(one.package.name)
            yield ok("instrumentation", f"{one.package.name} {one.package.version} instruments {one.library.package}")
    for library, packages in active.items():
        if len(packages) > 1:
            # The list of disabled instrumentations is no help: it switches off both where they have one name.
            yield error(
                "instrumentation",
                f"{library} is instrumented {len(packages)} times ({', '.join(packages)}): each call has as many "
                "spans, in traces of their own, and may become as many tasks",
                f"pip uninstall {packages[-1]}",
            )
    if not there:
        yield _missing(set_up)


def _obstacle(set_up: SetUp, one: Instrumentation) -> Finding | None:
    """Return a finding where `opentelemetry-instrument` does not use an instrumentation, None where it uses it."""
    package, library = one.package.name, one.library.package
    variable = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
    off = [name.strip() for name in set_up.value(variable).split(",")]
    if one.point.name in off or "*" in off:
        fix = f"take {one.point.name if '*' not in off else '*'} out of {variable}"
        return warning("instrumentation", f"{variable} switches {package} off", fix)
    if unmet := one.package.unmet(set_up.installation):
        beside = "" if unmet.startswith(library) else f"; {library} alone is not enough"
        met = f"opentelemetry-instrument skips {package}, because {unmet} is not installed{beside}"
        return error("instrumentation", met, f'pip install "{unmet.partition(" or ")[0]}"')
    try:
        one.point.load()
    except Exception as problem:  # OpenTelemetry logs a missing module at debug level only
        missing = re.search(r"No module named '([^'.]+)'", str(problem))
        why = f"{type(problem).__name__}: {problem}"
        met = f"{package} cannot be imported ({why}), so opentelemetry-instrument leaves it out"
        fix = f"pip install {missing[1]}" if missing else f"pip install --upgrade {package} {library}"
        return error("instrumentation", met, fix)
    return None


def _missing(set_up: SetUp) -> Finding:
    for library in LIBRARIES:
        if set_up.installation.get(library.package):
            met = f"{library.package} is installed and nothing instruments it: there are no spans of its LLM calls"
            fix = f"pip install opentelemetry-instrumentation-{library.instrumentation}"
            return error("instrumentation", met, fix)
    return warning(
        "instrumentation",
        "no library that calls LLMs was found here: spans of LLM calls can only come from the application's own code",
        "run this with the application's Python, or install the instrumentation of the library that it uses",
    )
