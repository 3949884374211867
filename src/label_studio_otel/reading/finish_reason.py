"""Translates the reason why a model stopped into the words of OpenTelemetry's GenAI conventions.

The conventions' words are stop, length, content_filter, tool_call and error
(https://github.com/open-telemetry/semantic-conventions/blob/v1.37.0/docs/gen-ai/gen-ai-output-messages.json,
FinishReason). The table holds the providers' own:

- OpenAI: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/chat/chat_completion.py
  and, for the Responses API, `status` and `incomplete_details.reason` of …/types/responses/response.py
- Anthropic: https://github.com/anthropics/anthropic-sdk-python/blob/v0.75.0/src/anthropic/types/stop_reason.py
- Google: https://github.com/googleapis/python-genai/blob/v1.50.0/google/genai/types.py (FinishReason)
- Amazon: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (stopReason)
- Cohere: https://docs.cohere.com/reference/chat (finish_reason)
- Vercel: https://github.com/vercel/ai/blob/ai%406.0.0/packages/ai/src/types/language-model.ts (FinishReason)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from label_studio_otel.generation import Part, ToolCallPart

_WORDS = {
    "stop": "stop end_turn stop_sequence completed complete eos eos_token end",
    "length": "length max_tokens max_output_tokens model_length max_length incomplete model_context_window_exceeded",
    "tool_call": "tool_call tool_calls tool_use function_call function_calls",
    "content_filter": (
        "content_filter content_filtered refusal guardrail_intervened safety image_safety recitation blocklist "
        "prohibited_content spii error_toxic"
    ),
    "error": "error failed malformed_function_call malformed_model_output malformed_tool_use",
}
_CONVENTIONS = {raw: word for word, raws in _WORDS.items() for raw in raws.split()}

#: Words for an unknown reason.
_UNKNOWN = frozenset({"", "none", "null", "unknown", "unspecified", "finish_reason_unspecified"})

#: A Python enum's member, as `str` writes it: `FinishReason.STOP`.
_ENUM_CLASS = re.compile(r"[A-Za-z]\w*Reason\.")


def finish_reason(raw: Any) -> str | None:
    """Return the conventions' word for a provider's finish reason.

    A word that is not in the table is returned unchanged. None for an unknown reason or a value that is no text.
    """
    if not isinstance(raw, str):
        return None
    if raw in _CONVENTIONS:  # most are there as they are
        return _CONVENTIONS[raw]
    word = _ENUM_CLASS.sub("", raw, count=1).strip().replace("-", "_").lower()
    return None if word in _UNKNOWN else _CONVENTIONS.get(word, raw)


def implied_reason(parts: Sequence[Part]) -> str | None:
    """Return `tool_call` if the parts of an answer end with a complete tool call, else None."""
    last = parts[-1] if parts else None
    return "tool_call" if isinstance(last, ToolCallPart) and isinstance(last.arguments, dict) else None
