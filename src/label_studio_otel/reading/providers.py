"""Finds the provider by the name of the class that called it, for spans that do not name their provider."""

from __future__ import annotations

import re

__all__ = ["provider_of_class"]

#: The names are those of `gen_ai.provider.name`
#: (https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md).
_PROVIDERS = {
    "Anthropic": "anthropic",
    "Cohere": "cohere",
    "DeepSeek": "deepseek",
    "Groq": "groq",
    "Mistral": "mistral_ai",
    "OpenAI": "openai",
}
_CLASS = re.compile(rf"(?:Azure)?(?:Chat)?({'|'.join(_PROVIDERS)})")
#: Instrumentations of a provider's own library: `opentelemetry.instrumentation.openai.v1`.
_SCOPE = re.compile(r"\w+\.instrumentation\.(anthropic|cohere|groq|openai)(?:\.v\d+)?")


def provider_of_class(span_name: str, scope_name: str) -> str | None:
    """Return the provider of a class by the name of the span, as `ChatOpenAI.chat`, else by the name of the scope.

    None if neither contains a known provider.
    """
    found = _CLASS.match(span_name)
    scope = _SCOPE.fullmatch(scope_name)
    return _PROVIDERS[found[1]] if found else scope[1] if scope else None
