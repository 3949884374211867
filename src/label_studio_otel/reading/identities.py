"""The attributes for the user, the session and the conversation of a call, which any instrumentation can write."""

from __future__ import annotations

__all__ = ["ASSOCIATION", "IDENTITIES", "USER_ID"]

# https://github.com/traceloop/openllmetry/blob/0.62.4/packages/opentelemetry-semantic-conventions-ai/opentelemetry/semconv_ai/__init__.py
ASSOCIATION = "traceloop.association.properties."  # metadata of LangChain's RunnableConfig ends here
USER_ID = ("user.id", f"{ASSOCIATION}user_id", "gen_ai.user")

#: Fields of `Generation` by the attributes that hold them; the application's own words come after the conventions':
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/gen-ai.md and
#: https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/registry/attributes/
IDENTITIES = {
    "conversation_id": ("gen_ai.conversation.id", f"{ASSOCIATION}conversation_id", f"{ASSOCIATION}thread_id"),
    "session_id": ("session.id", f"{ASSOCIATION}session_id"),
    "user_id": USER_ID,
    "run_id": (f"{ASSOCIATION}run_id",),
    "prompt_name": ("gen_ai.prompt.name", f"{ASSOCIATION}prompt_name", "traceloop.prompt.key"),
    "prompt_version": ("gen_ai.prompt.version", f"{ASSOCIATION}prompt_version", "traceloop.prompt.version"),
}
