"""Finds the provider by the name of the class that called it, for spans that do not name their provider."""

from __future__ import annotations

import re

_CLASS = re.compile(r"(?:Azure)?(?:Chat)?(Anthropic|Cohere|DeepSeek|Groq|Mistral|OpenAI)")
#: Instrumentations of a provider's own library: `opentelemetry.instrumentation.openai.v1`.
_SCOPE = re.compile(r"\w+\.instrumentation\.(anthropic|cohere|groq|openai)(?:\.v\d+)?")


def provider_of_class(span_name: str, scope_name: str) -> str | None:
    """Return the provider of a class by the name of the span, as `ChatOpenAI.chat`, else by the name of the scope.

    None if neither contains a known provider.
    """
    found = _CLASS.match(span_name)
    scope = _SCOPE.fullmatch(scope_name)
    if found is None:
        return scope[1] if scope else None
    # As `gen_ai.provider.name` has it:
    # https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
    return "mistral_ai" if found[1] == "Mistral" else found[1].lower()
