"""Who and what a call belonged to: the attributes that every instrumentation can have beside its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_otel.reading.attributes import first_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["identities"]

# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md
CONVERSATION_ID = "gen_ai.conversation.id"
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
# https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/
SESSION_ID = "session.id"
USER_ID = "user.id"
# https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
ASSOCIATION = "traceloop.association.properties."  # metadata of LangChain's RunnableConfig ends here
GEN_AI_USER = "gen_ai.user"
TRACELOOP_PROMPT_KEY = "traceloop.prompt.key"
TRACELOOP_PROMPT_VERSION = "traceloop.prompt.version"


def identities(attributes: Mapping[str, Any], *user_names: str) -> dict[str, str | None]:
    """Return the fields of `Generation`; the application's own words come after the conventions'.

    Args:
        attributes: the span's.
        user_names: where else the dialect writes the user.
    """
    return {
        "conversation_id": first_text(
            attributes, CONVERSATION_ID, f"{ASSOCIATION}conversation_id", f"{ASSOCIATION}thread_id"
        ),
        "session_id": first_text(attributes, SESSION_ID, f"{ASSOCIATION}session_id"),
        "user_id": first_text(attributes, USER_ID, f"{ASSOCIATION}user_id", GEN_AI_USER, *user_names),
        "run_id": first_text(attributes, f"{ASSOCIATION}run_id"),
        "prompt_name": first_text(attributes, PROMPT_NAME, f"{ASSOCIATION}prompt_name", TRACELOOP_PROMPT_KEY),
        "prompt_version": first_text(
            attributes, PROMPT_VERSION, f"{ASSOCIATION}prompt_version", TRACELOOP_PROMPT_VERSION
        ),
    }
