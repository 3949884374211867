"""The forms in which requests, responses and messages stand in an attribute, whoever wrote it.

In come values of any type; out go the messages, choices and tools of a `Generation`. A form is one file and is told
by the keys of a value; `request_of`, `response_of` and `message_of` read any value in any form. They raise nothing
and lose nothing: what has no known form stays as it came, as a text or an `UnknownPart`.

- `anthropic`, `bedrock`, `google`, `openai`, `openai_responses`: the providers' own; `openai_chunks`: a stream's pieces
- `gen_ai`: OpenTelemetry's GenAI conventions; `langchain`, `llama_index`, `haystack_repr`, `vercel`: the libraries'
- `unwrapping`: JSON, JSON in JSON, a Python `repr`, bytes; `parts`, `media`: what the forms have in common
- `any_message`, `request`, `response`: tell the forms apart
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
