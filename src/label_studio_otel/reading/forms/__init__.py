"""The forms of requests, responses and messages in an attribute, whichever emitter wrote it.

In come values of any type; out go the messages, choices and tools of a `Generation`. A form is one file and is told
by the keys of a value; `any_form` tells the forms apart, and reads any value. The forms raise nothing and lose nothing:
what has no known form stays as it came, as a text or an `UnknownPart`.

- `anthropic`, `bedrock`, `google`, `openai`: the providers' own
- `gen_ai`: OpenTelemetry's GenAI conventions; `langchain`, `haystack_repr`, `vercel`: the libraries'
- `unwrapping`: JSON, JSON in JSON, a Python `repr`, bytes; `parts`: what the forms have in common
"""

from label_studio_otel.reading.forms.any_form import (
    Request,
    Response,
    known_request,
    known_response,
    operation_of,
    request_of,
    response_of,
)

__all__ = ["Request", "Response", "known_request", "known_response", "operation_of", "request_of", "response_of"]
