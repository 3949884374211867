"""The forms of requests, responses and messages in an attribute, whichever emitter wrote it.

In come values of any type; out go the messages, choices and tools of a `Generation`. A file reads one form. A form is
recognized by the keys of a value; `request_of`, `response_of` and `message_of` read a value in any form. They raise
no error and lose nothing: a value of no known form is kept as it is, as a text or an `UnknownPart`.

- `anthropic`, `bedrock`, `google`, `openai`, `openai_responses`: the providers' forms; `openai_chunks`: streamed chunks
- `gen_ai`: OpenTelemetry's GenAI conventions; `langchain`, `llama_index`, `haystack_repr`, `vercel`: forms of libraries
- `unwrapping`: JSON, JSON in JSON, a Python `repr`, bytes; `parts`, `media`: what several forms need
- `any_message`, `request`, `response`: recognize the form
"""

from label_studio_otel.reading.forms.any_message import message_of, messages_of
from label_studio_otel.reading.forms.request import Request, known_request, operation_of, request_of
from label_studio_otel.reading.forms.response import Response, known_response, response_of

__all__ = [
    "Request",
    "Response",
    "known_request",
    "known_response",
    "message_of",
    "messages_of",
    "operation_of",
    "request_of",
    "response_of",
]
