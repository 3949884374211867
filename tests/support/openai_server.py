"""A small OpenAI-compatible server: its answers are a function of the request, so tests write them as literals.

======================  ==============================================================================
the request             the answer
======================  ==============================================================================
any model               `You said: <the last text>`; the answer's model is `<model>-2026-01-15`
`n` = 2                 the second choice is `Answer 2: You said: <the last text>`
`tools`                 a call of the first tool, each string argument being the last text; after its
                        result: `The tool said: <result>`
model `empty`           an empty text
model `long`            100,000 characters
model `status-429`      that status, with OpenAI's error object
model `broken-stream`   a stream that ends after its first word, without an ending
======================  ==============================================================================

Usage counts words, as prompts and answers of tests are short. `stream` is answered word by word, with a last chunk of
usage where `stream_options` asks for it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from support.http_server import Handler, HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator

#: 2026-01-15T12:00:00Z
CREATED = 1768478400


class OpenAIServer(HttpServer):
    """Runs while its context lasts, on a free loopback port.

    Attributes:
        url: what OPENAI_BASE_URL should be.
        requests: the decoded bodies, in the order they came.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.requests: list[dict[str, Any]] = []
        self.url += "/v1"


class _Handler(Handler):
    owner: OpenAIServer

    def do_POST(self) -> None:
        request = json.loads(self.body())
        self.owner.requests.append(request)
        kind = {"/v1/chat/completions": _Chat, "/v1/completions": _Completion}.get(self.path)
        if kind is None:
            return self._send(404, _error(f"no {self.path}"))
        if request["model"].startswith("status-"):
            return self._send(int(request["model"].removeprefix("status-")), _error("scripted failure"))
        answer = kind(request)
        if request.get("stream"):
            return self._stream(answer.chunks(), whole=request["model"] != "broken-stream")
        return self._send(200, answer.body())

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self.answer(status, "application/json", json.dumps(body).encode())

    def _stream(self, chunks: Iterator[dict[str, Any]], *, whole: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if not whole:  # a length that is never reached: the client sees the connection break
            self.send_header("Content-Length", "100000")
        self.end_headers()
        for count, chunk in enumerate(chunks):
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            if not whole and count:
                return
        self.wfile.write(b"data: [DONE]\n\n")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted", "param": None, "code": None}}


class _Answer:
    """What both endpoints have in common."""

    object_name = ""
    id_prefix = ""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.choices = [self.choice(index) for index in range(self.count())]

    def prompt(self) -> list[str]:
        """Return the texts of the prompt."""
        raise NotImplementedError

    def count(self) -> int:
        """Return how many choices the request wants."""
        return self.request.get("n") or 1

    def choice(self, index: int) -> dict[str, Any]:
        """Return one choice of a whole answer."""
        raise NotImplementedError

    def said(self, choice: dict[str, Any]) -> str:
        """Return what a choice says."""
        raise NotImplementedError

    def deltas(self, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the choices of the chunks that make up one choice."""
        raise NotImplementedError

    def text(self, last: str, index: int) -> str:
        model = self.request["model"]
        if model == "empty":
            return ""
        if model == "long":
            return "ten bytes\n" * 10_000
        return f"You said: {last}" if index == 0 else f"Answer {index + 1}: You said: {last}"

    def head(self, object_name: str) -> dict[str, Any]:
        model = f"{self.request['model']}-2026-01-15"
        return {"id": f"{self.id_prefix}-scripted", "object": object_name, "created": CREATED, "model": model}

    def body(self) -> dict[str, Any]:
        return {**self.head(self.object_name), "choices": self.choices, "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        asked = sum(len(text.split()) for text in self.prompt())
        answered = sum(len(self.said(choice).split()) for choice in self.choices)
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}

    def chunks(self) -> Iterator[dict[str, Any]]:
        head = self.head(self.object_name + (".chunk" if "chat" in self.object_name else ""))
        for choice in self.choices:
            for delta in self.deltas(choice):
                yield {**head, "choices": [delta]}
        if (self.request.get("stream_options") or {}).get("include_usage"):
            yield {**head, "choices": [], "usage": self.usage()}


class _Completion(_Answer):
    object_name = "text_completion"
    id_prefix = "cmpl"

    def prompt(self) -> list[str]:
        prompt = self.request["prompt"]
        return [prompt] if isinstance(prompt, str) else prompt

    def count(self) -> int:
        return super().count() * len(self.prompt())

    def choice(self, index: int) -> dict[str, Any]:
        prompt, which = divmod(index, super().count())
        text = self.text(self.prompt()[prompt], which)
        return {"index": index, "text": text, "finish_reason": "stop", "logprobs": None}

    def said(self, choice: dict[str, Any]) -> str:
        return str(choice["text"])

    def deltas(self, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for word in _words(choice["text"]):
            yield {**choice, "text": word, "finish_reason": None}
        yield {**choice, "text": ""}


class _Chat(_Answer):
    object_name = "chat.completion"
    id_prefix = "chatcmpl"

    def prompt(self) -> list[str]:
        return [_content_text(message.get("content")) for message in self.request["messages"]]

    def choice(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text(self.prompt()[-1], index), "refusal": None}
        after_tool = self.request["messages"][-1]["role"] == "tool"
        if after_tool:
            message["content"] = f"The tool said: {self.prompt()[-1]}"
        elif self.request.get("tools"):
            message.update(content=None, tool_calls=[self._tool_call(index)])
        reason = "tool_calls" if "tool_calls" in message else "stop"
        return {"index": index, "message": message, "finish_reason": reason, "logprobs": None}

    def deltas(self, choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
        rest = {"index": choice["index"], "finish_reason": None}
        yield {**rest, "delta": {"role": "assistant", "content": ""}}
        for word in _words(choice["message"]["content"] or ""):
            yield {**rest, "delta": {"content": word}}
        for call in choice["message"].get("tool_calls", ()):
            function = call["function"]
            yield {**rest, "delta": {"tool_calls": [{**call, "index": 0, "function": {**function, "arguments": ""}}]}}
            arguments = {"index": 0, "function": {"arguments": function["arguments"]}}
            yield {**rest, "delta": {"tool_calls": [arguments]}}
        yield {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}

    def said(self, choice: dict[str, Any]) -> str:
        calls = choice["message"].get("tool_calls", ())
        return (choice["message"]["content"] or "") + " ".join(call["function"]["arguments"] for call in calls)

    def _tool_call(self, index: int) -> dict[str, Any]:
        function = self.request["tools"][0]["function"]
        arguments = dict.fromkeys(function["parameters"]["properties"], self.prompt()[-1])
        call = {"name": function["name"], "arguments": json.dumps(arguments)}
        return {"id": f"call_{index + 1}", "type": "function", "function": call}


def _words(text: str) -> list[str]:
    """Split a text so that the parts joined are the text."""
    return re.findall(r"\S*\s*", text)[:-1]


def _content_text(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""
