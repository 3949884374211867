"""The span of the Anthropic SDK itself. It has no messages, but facts that the span of the instrumentation may lack.

It stands beside the span of an instrumentation of the SDK, so it is no LLM call of its own (`gen_ai`).
"""

from __future__ import annotations

from dataclasses import replace

from label_studio_otel.generation import Choice, Generation, Message
from label_studio_otel.reading.attributes import first_integer
from label_studio_otel.reading.emitters import gen_ai
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.spans import Span


def _read(span: Span) -> Generation:
    """Return the facts; the only choice is empty and has the finish reason."""
    generation = gen_ai.DIALECT.read(span)
    # https://github.com/anthropics/anthropic-sdk-python, scope com.anthropic.sdk.python 2.12.0
    reason = finish_reason(span.attributes.get("anthropic.message.stop_reason"))
    # The provider's own count of the input, which the SDK adds those of the cache to.
    caches = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens")
    cached = sum(first_integer(span.attributes, name) or 0 for name in caches)
    count = generation.input_tokens
    return replace(
        generation,
        choices=(Choice(Message("assistant", ()), reason),),
        input_tokens=count - cached if count is not None and count >= cached else None,
    )


DIALECT = replace(
    gen_ai.DIALECT,
    name="anthropic_sdk",
    marks={gen_ai.OPERATION: frozenset({"chat"})},
    scopes=gen_ai.SCOPES_WITHOUT_MESSAGES,
    tells=None,
    reads=_read,
)
