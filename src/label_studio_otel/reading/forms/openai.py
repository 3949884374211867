"""Requests and responses of OpenAI's APIs, as instrumentations copy them.

- Chat Completions: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/chat/chat_completion_message_param.py
- Completions: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/completion.py
- Responses: https://github.com/openai/openai-python/blob/v2.8.0/src/openai/types/responses/response_input_item_param.py

A turn of the model is items in a row in the Responses API: what it thought, what it said, each function that it calls.
They become one message, as in all other forms. Everybody who speaks OpenAI's form with an addition of their own is read
too: `reasoning_content` (DeepSeek, vLLM) and `reasoning` (OpenRouter) beside `content`, Anthropic's blocks inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from label_studio_otel.generation import (
    Choice,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
)
from label_studio_otel.reading.attributes import as_dict, as_list, identifier, index_of
from label_studio_otel.reading.finish_reason import finish_reason
from label_studio_otel.reading.forms import anthropic, parts

_RESULTS = ("function_call_output", "custom_tool_call_output", "computer_call_output", "shell_call_output")
CALLS = ("function_call", "custom_tool_call")


def messages_of(request: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """Return the messages of a request to one of the three APIs, or to Anthropic's; None if it is no such request."""
    asked, said = request.get("messages"), request.get("input")
    if isinstance(asked, list):
        messages = tuple(map(message_of, asked))
    elif isinstance(said, list):
        messages = messages_of_items(said)
    else:
        prompts = [said] if isinstance(said, str) else request.get("prompt")
        prompts = [prompts] if isinstance(prompts, str) else prompts
        if not isinstance(prompts, list) or not prompts or not all(isinstance(text, str) for text in prompts):
            return None
        messages = parts.prompts(prompts)
    system = anthropic.system_of(request.get("system") or request.get("instructions"))
    return (Message("system", system), *messages) if system else messages


def choices_of(response: Mapping[str, Any]) -> tuple[Choice, ...] | None:
    """Return the choices of a response of one of the three APIs, or of Anthropic's; None if it is no such response."""
    if isinstance(response.get("choices"), list):
        return tuple(map(_choice, sorted(response["choices"], key=index_of)))
    if isinstance(response.get("output"), list):
        return choices_of_items(response)
    return anthropic.choices_of(response)


def message_of(raw: Any, default_role: str = "user") -> Message:
    """Return one message of Chat Completions; a text becomes a message of the default role."""
    if not isinstance(raw, dict):
        return Message(default_role, (parts.text_or_unknown(raw),))
    role = identifier(raw, "role") or default_role
    if role in {"tool", "function"}:
        result = parts.result(joined(raw.get("content")), raw.get("tool_call_id"))
        return parts.message("tool", (result,), raw.get("name"))
    return parts.message(role, tuple(_message_parts(raw)), raw.get("name"))


def _message_parts(raw: Mapping[str, Any]) -> Iterator[Part]:
    yield from parts.thoughts(raw.get("reasoning_content") or raw.get("reasoning"))
    calls = list(map(tool_call_of, as_list(raw.get("tool_calls"))))
    if isinstance(raw.get("function_call"), dict):  # before tool_calls came, a message could have one
        calls.append(tool_call_of({"function": raw["function_call"]}))
    refusal = raw.get("refusal")
    content = raw.get("content")
    if isinstance(content, list):
        yield from map(part_of, content)
    elif content != "" or not (calls or refusal):  # beside which clients write an empty text for no content
        yield from parts.plain(content)
    if isinstance(refusal, str) and refusal:
        yield RefusalPart(refusal)
    yield from _spoken(raw.get("audio"))
    yield from calls


def _spoken(audio: Any) -> Iterator[Part]:
    """Yield the parts of a spoken answer: its transcript and its sound."""
    audio = as_dict(audio)
    if transcript := identifier(audio, "transcript"):
        yield TextPart(transcript)
    sound = parts.inline(audio.get("data"), "", "audio") or parts.by_id(audio.get("id"), "audio")
    if sound:
        yield sound


def _choice(raw: Any) -> Choice:
    if not isinstance(raw, dict):
        return Choice(Message("assistant", (UnknownPart(raw),)))
    said = raw.get("message") or raw.get("delta")
    if said is None:  # Completions
        said = {"content": raw.get("text")}
    return Choice(message_of(said, "assistant"), finish_reason(raw.get("finish_reason")))


def choices_of_items(response: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return the one choice of a response."""
    said = tuple(part for raw in response["output"] for part in _item(raw)[1])
    return (Choice(Message("assistant", said), finish_of(response, said)),)


def messages_of_items(items: Iterable[Any]) -> tuple[Message, ...]:
    """Return the messages of items; the items of one turn of the model become one message."""
    messages: list[Message] = []
    for raw in items:
        role, said = _item(raw)
        last = messages[-1] if messages else None
        # A second text or thought starts a new turn, a call never does.
        if (
            last
            and role == last.role == "assistant"
            and (as_dict(raw).get("type") in CALLS or all(isinstance(part, ReasoningPart) for part in last.parts))
        ):
            messages[-1] = Message(role, last.parts + said)
        else:
            messages.append(Message(role, said))
    return tuple(messages)


def is_item(raw: Any) -> bool:
    """Return whether a value is an item that is no message: a tool call, a tool result or reasoning."""
    return isinstance(raw, dict) and raw.get("type") in (*_RESULTS, *CALLS, "reasoning")


def called_item(raw: Mapping[str, Any]) -> Part:
    """Return a tool call. Its id is the `call_id`, which the result has too; `id` is the id of the item."""
    arguments = parts.arguments_of(raw["arguments"]) if "arguments" in raw else raw.get("input")
    return parts.call(raw.get("name"), arguments, raw.get("call_id") or raw.get("id")) or UnknownPart(raw)


def reasoning_of(raw: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the reasoning of an item: the whole text if the provider gives it, else the summary; often nothing."""
    for key in ("content", "summary"):
        texts = [part.get("text") for part in as_list(raw.get(key)) if isinstance(part, dict)]
        if thoughts := tuple(ReasoningPart(text) for text in texts if isinstance(text, str) and text):
            return thoughts
    return ()


def _item(raw: Any) -> tuple[str, tuple[Part, ...]]:
    """Return the role and the parts of an item."""
    if not isinstance(raw, dict):
        return "user", (part_of(raw),)
    kind = raw.get("type")
    if kind in _RESULTS:
        return "tool", (parts.result(joined(raw.get("output")), raw.get("call_id")),)
    if kind in CALLS:
        return "assistant", (called_item(raw),)
    if kind == "reasoning":
        return "assistant", reasoning_of(raw)
    role, content = raw.get("role"), raw.get("content")
    if not isinstance(role, str) or content is None:
        return "assistant", (UnknownPart(raw),)
    return role, tuple(map(part_of, content if isinstance(content, list) else [content]))


def finish_of(response: Mapping[str, Any], said: tuple[Part, ...]) -> str | None:
    """Return the finish reason of a response, None if it is not known.

    It is the reason of an incomplete response, else `tool_call` if a complete one has tool calls, else its `status`.
    """
    status = response.get("status")
    if reason := as_dict(response.get("incomplete_details")).get("reason"):
        return finish_reason(reason)
    if status == "completed" and any(isinstance(part, ToolCallPart) for part in said):
        return "tool_call"
    return finish_reason(status)


def part_of(raw: Any) -> Part:
    """Return one part of a message's content in the form of OpenAI or Anthropic; an unknown one as an `UnknownPart`."""
    return parts.part_by_type(raw, _READERS, anthropic.block_of)


def tool_call_of(raw: Any) -> Part:
    """Return one of a message's `tool_calls`: of a function, or of a custom tool, whose `input` is a text."""
    if not isinstance(raw, dict):
        return UnknownPart(raw)
    return parts.called(raw) or UnknownPart(raw)


def joined(content: Any) -> Any:
    """Return the result of a tool; a list that contains only texts as one text, as the model reads it."""
    return parts.joined_texts(content, part_of)


def _text(raw: Mapping[str, Any]) -> Part | None:
    text = raw.get("text")
    return parts.text(text.get("value") if isinstance(text, dict) else text)  # an object in the Assistants API


def _image(raw: Mapping[str, Any]) -> Part | None:
    image = raw.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return parts.by_reference(url, "image") or parts.by_id(raw.get("file_id"), "image")


def _audio(raw: Mapping[str, Any]) -> Part | None:
    audio = as_dict(raw.get("input_audio"))
    kind = audio.get("format")
    return parts.inline(audio.get("data"), f"audio/{kind}" if isinstance(kind, str) and kind else "", "audio")


def _file(raw: Mapping[str, Any]) -> Part | None:
    nested = raw.get("file")
    file = nested if isinstance(nested, dict) else raw
    return (
        parts.inline(file.get("file_data"), "", "file")
        or parts.by_reference(file.get("file_url"), "file")
        or parts.by_id(file.get("file_id"), "file")
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Part | None]] = {
    **dict.fromkeys(("text", "input_text", "output_text"), _text),
    "refusal": lambda raw: parts.refusal(raw.get("refusal")),
    **dict.fromkeys(("image_url", "input_image"), _image),
    "input_audio": _audio,
    **dict.fromkeys(("file", "input_file"), _file),
}

#: The values of `type` that are read.
KINDS = frozenset(_READERS) | anthropic.KINDS
