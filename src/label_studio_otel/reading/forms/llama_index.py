"""Messages of LlamaIndex, which have their content in `blocks`.

https://github.com/run-llama/llama_index/blob/v0.14.0/llama-index-core/llama_index/core/base/llms/types.py
"""

from __future__ import annotations

from typing import Any

__all__ = ["is_message", "with_content"]


def is_message(raw: dict[str, Any]) -> bool:
    """Return whether a value is a message with `blocks`."""
    return "content" not in raw and isinstance(raw.get("blocks"), list)


def with_content(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the message with its blocks as `content`, each in the form of a LangChain block."""
    return {**raw, "content": list(map(_block, raw["blocks"]))}


def _block(raw: Any) -> Any:
    kind = raw.get("block_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        return raw
    return {"type": kind, **raw, "data": raw.get(kind), "mime_type": raw.get(f"{kind}_mimetype")}
