"""The span of the Anthropic SDK itself. It has no messages, but facts that the span of the instrumentation may lack.

It stands beside the span of an instrumentation of the SDK, so it is no LLM call of its own (`gen_ai`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from label_studio_otel.generation import Choice, Message
from label_studio_otel.reading.attributes import integer
from label_studio_otel.reading.emitters import gen_ai
from label_studio_otel.reading.finish_reason import finish_reason

if TYPE_CHECKING:
    from label_studio_otel.generation import Generation
    from label_studio_otel.spans import Span

__all__ = ["DIALECT"]

# https://github.com/anthropics/anthropic-sdk-python, scope com.anthropic.sdk.python 2.12.0
STOP_REASON = "anthropic.message.stop_reason"
CACHED_TOKENS = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens")


def _read(span: Span) -> Generation:
    """Return the facts; the only choice is empty and has the finish reason."""
    generation = gen_ai.DIALECT.read(span)
    reason = finish_reason(span.attributes.get(STOP_REASON))
    choices = (Choice(Message("assistant", ()), reason),)
    return replace(generation, choices=choices, input_tokens=_uncached(span, generation.input_tokens))


def _uncached(span: Span, count: int | None) -> int | None:
    """Return the provider's count of input tokens: the SDK's count without those of the cache, which it adds."""
    cached = sum(integer(span.attributes, name) or 0 for name in CACHED_TOKENS)
    return count - cached if count is not None and count >= cached else None


DIALECT = replace(
    gen_ai.DIALECT,
    name="anthropic_sdk",
    marks={gen_ai.OPERATION: frozenset({"chat"})},
    scopes=gen_ai.SCOPES_WITHOUT_MESSAGES,
    tells=None,
    reads=_read,
)
