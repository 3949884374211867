"""What was said, as leaves that can be compared: of the truth (the provider's wire) and of a line of `convert`.

A leaf is (role, kind, value). Both sides are brought to one form: the conventions' finish reasons, tool arguments as
objects, media by their bytes, one message for each tool result. Empty texts say nothing and are left out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any, NamedTuple

#: Statuses in observable.json that say: it is not there, or not whole.
NOT_WHOLE = {"missing", "truncated", "payload-truncated"}

#: The wire's word, what the conventions make of it; where a wire has one word for two things, either.
FINISH_REASONS = {
    "stop": ("stop",),
    "end_turn": ("stop",),
    "completed": ("stop", "tool_call"),
    "STOP": ("stop", "tool_call"),
    "tool_calls": ("tool_call",),
    "tool_use": ("tool_call",),
    "length": ("length",),
    "max_tokens": ("length",),
    "MAX_TOKENS": ("length",),
    "incomplete:max_output_tokens": ("length",),
    "content_filter": ("content_filter",),
    "refusal": ("content_filter",),
    "SAFETY": ("content_filter",),
    "incomplete:content_filter": ("content_filter",),
}


class Leaf(NamedTuple):
    """One thing that was said."""

    role: str
    kind: str
    value: Any
    #: Of the truth: how observable.json says that it can be recovered.
    status: str = "exact"
    #: A tool's call or result: the id of the call.
    id: str | None = None

    @property
    def said(self) -> tuple[str, str, Any]:
        return self[:3]


def true_messages(call: dict[str, Any], observable: dict[str, Any]) -> list[list[Leaf]]:
    """Return the leaves of each message that was sent."""
    return [
        _true_message(message, status) for message, status in zip(call["messages"], observable["messages"], strict=True)
    ]


def true_choices(call: dict[str, Any], observable: dict[str, Any]) -> list[list[Leaf]]:
    """Return the leaves of each choice, without the finish reasons."""
    choices = (call.get("response") or {}).get("choices") or []
    statuses = observable.get("response") or [{}] * len(choices)
    return [_true_message(choice, status) for choice, status in zip(choices, statuses, strict=True)]


def _true_message(message: dict[str, Any], status: dict[str, Any]) -> list[Leaf]:
    role = message["role"]
    leaves = []
    if message.get("reasoning"):
        leaves.append(Leaf(role, "reasoning", message["reasoning"], status.get("reasoning", "missing")))
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    known = [one[1] for one in status.get("content", ())]
    for part, state in zip(parts, known + ["missing"] * (len(parts) - len(known)), strict=True):
        if role == "tool":
            leaves.append(Leaf(role, "result", _result(part.get("text")), state, message.get("tool_call_id")))
        elif (leaf := _true_part(role, part, state)) is not None:
            leaves.append(leaf)
    if message.get("refusal"):
        leaves.append(Leaf(role, "refusal", message["refusal"], status.get("refusal", "missing")))
    known_calls = status.get("tool_calls") or []
    for number, tool_call in enumerate(message.get("tool_calls") or ()):
        state = "missing" if number >= len(known_calls) or "missing" in known_calls[number][1:] else "exact"
        leaves.append(_call(role, tool_call, state))
    return leaves


def _true_part(role: str, part: dict[str, Any], state: str) -> Leaf | None:
    match part["type"]:
        case "text":
            return Leaf(role, "text", part["text"], state) if part["text"] else None
        case "image":
            return Leaf(role, "image", _url(part["url"]), state)
        case "audio":
            return Leaf(role, "audio", _bytes(part["data"]), state)
        case "file" if part.get("data") or part.get("url"):
            return Leaf(role, "file", _url(part.get("data") or part["url"]), state)
        case kind:
            return Leaf(role, kind, _json(part), state)


def messages(line: dict[str, Any], side: str) -> list[list[Leaf]]:
    """Return the leaves of each message of a line, `input` or `output`; each tool result is a message of its own."""
    found = []
    for message in line[side]:
        rest: list[Leaf] = []
        results = []
        for part in message["parts"]:
            leaf = _part(message["role"], part)
            if leaf is not None:
                (results if leaf.kind == "result" else rest).append(leaf)
        found += [[result] for result in results]
        if rest or not results:
            # Writers differ in whether a call stands before the text that goes with it.
            found.append(sorted(rest, key=lambda leaf: (leaf.kind == "call") - (leaf.kind == "reasoning")))
    return found


def _part(role: str, part: Any) -> Leaf | None:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "text" | "reasoning" | "refusal" if isinstance(part.get("content"), str):
            return Leaf(role, kind, part["content"]) if part["content"] else None
        case "tool_call":
            return _call(role, part, "exact")
        case "tool_call_response":
            return Leaf("tool" if role == "user" else role, "result", _result(part["response"]), id=part["id"])
        case "blob":
            return Leaf(role, part["modality"], _bytes(part["content"]))
        case "uri":
            return Leaf(role, part["modality"], _url(part["uri"]))
        case "file":
            return Leaf(role, "file", part["file_id"])
    return Leaf(role, "unknown", _json(part))


def _call(role: str, call: dict[str, Any], state: str) -> Leaf:
    return Leaf(role, "call", (call["name"], _json(call["arguments"])), state, call.get("id"))


def _result(value: Any) -> str:
    """Return what a tool answered, JSON without its spacing."""
    if isinstance(value, str):
        try:
            decoded = json.loads(value)
        except ValueError:
            return value
        value = decoded if isinstance(decoded, (dict, list)) else value
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Return a value with 1.0 as 1: JavaScript has no other way to write it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _url(url: str) -> str:
    header, _, data = url.partition(",")
    return _bytes(data) if header.startswith("data:") and header.endswith("base64") else url


def _bytes(data: str) -> str:
    """Return a digest of base64 data in either alphabet."""
    try:
        whole = base64.b64decode(data.replace("-", "+").replace("_", "/") + "===")
    except (binascii.Error, ValueError):
        return f"no base64: {data[:60]}"
    return f"{len(whole)} bytes {hashlib.sha256(whole).hexdigest()[:16]}"
