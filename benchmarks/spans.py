"""Spans as applications make them: through a tracer of the SDK, with the attributes that instrumentations write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["KINDS", "attributes_of", "conversation", "http_attributes", "makers"]

#: Kinds of spans, and the bytes of messages in an LLM span.
KINDS = {"other": 0, "llm_2kb": 2_000, "llm_100kb": 100_000}

_SENTENCE = "When the axle counter fails, check the headway and then the semaphore; it takes about 60 minutes. "


def makers(provider: TracerProvider) -> dict[str, Callable[[int], None]]:
    """Return, by kind, a function that starts and ends one span; its number makes the content differ."""
    llm = provider.get_tracer("opentelemetry.instrumentation.langchain", "0.62.4")
    http = provider.get_tracer("opentelemetry.instrumentation.requests", "0.66b1")

    def other(number: int) -> None:
        span = http.start_span("GET", attributes=http_attributes(number))
        span.set_attribute("http.response.status_code", 200)
        span.end()

    def maker(size: int) -> Callable[[int], None]:
        def make(number: int) -> None:
            span = llm.start_span("ChatOpenAI.chat")
            for name, value in _chat(number, size).items():
                span.set_attribute(name, value)
            span.end()

        return make

    return {kind: maker(size) if size else other for kind, size in KINDS.items()}


def conversation(provider: TracerProvider) -> Callable[[int], None]:
    """Return a function that starts and ends the span of a chat whose task is 2.4 KB: four messages and an answer."""
    tracer = provider.get_tracer("opentelemetry.instrumentation.langchain", "0.62.4")
    roles = (("system", 150), ("user", 350), ("assistant", 300), ("user", 200))

    def make(number: int) -> None:
        messages = [message for role, size in roles for message in json.loads(_messages(role, number, size))]
        attributes = {**_chat(number, 800), "gen_ai.input.messages": json.dumps(messages)}
        tracer.start_span("ChatOpenAI.chat", attributes=attributes).end()

    return make


def attributes_of(kind: str, number: int) -> dict[str, Any]:
    """Return what a span of this kind has."""
    if size := KINDS[kind]:
        return _chat(number, size)
    return {**http_attributes(number), "http.response.status_code": 200}


def http_attributes(number: int) -> dict[str, Any]:
    """Return what an instrumentation of an HTTP client writes."""
    return {
        "http.request.method": "GET",
        "url.full": f"https://shop.example.com/orders/{number}?expand=items",
        "url.scheme": "https",
        "url.path": f"/orders/{number}",
        "server.address": "shop.example.com",
        "server.port": 443,
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "network.peer.address": "192.0.2.17",
        "network.peer.port": 443,
        "user_agent.original": "python-requests/2.32.5",
    }


def _chat(number: int, size: int) -> dict[str, Any]:
    """Return what opentelemetry-instrumentation-langchain 0.62.4 writes for a chat call of ChatOpenAI."""
    versions = {"langchain-core": "1.7.2", "langchain": "1.4.7", "langchain-openai": "1.7.3"}
    return {
        "traceloop.workflow.name": "",
        "traceloop.entity.path": "",
        "traceloop.association.properties.ls_provider": "openai",
        "traceloop.association.properties.ls_model_name": "gpt-4o-mini",
        "traceloop.association.properties.ls_model_type": "chat",
        "traceloop.association.properties.ls_temperature": 0.89,
        "traceloop.association.properties.ls_max_tokens": 512,
        "traceloop.association.properties.ls_integration": "langchain_chat_model",
        "traceloop.association.properties.lc_versions": json.dumps(versions),
        "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.max_tokens": 512,
        "gen_ai.request.temperature": 0.89,
        "gen_ai.input.messages": _messages("user", number, size // 2),
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": f"chatcmpl-{number}",
        "gen_ai.usage.input_tokens": 64,
        "gen_ai.usage.output_tokens": 72,
        "gen_ai.usage.total_tokens": 136,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.output.messages": _messages("assistant", number, size // 2),
        "gen_ai.response.finish_reasons": ["stop"],
    }


def _messages(role: str, number: int, size: int) -> str:
    text = f"[case {number}] {_SENTENCE * (size // len(_SENTENCE) + 1)}"[:size]
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
