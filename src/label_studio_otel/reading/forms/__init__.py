"""The forms of requests, responses and messages in an attribute, whichever emitter wrote it.

In come values of any type; out go the messages, choices and tools of a `Generation`. A file reads one form. A form is
recognized by the keys of a value; `any_form` reads a value in any form. The files raise no error and lose nothing: a
value of no known form is kept as it is, as a text or an `UnknownPart`.

- `anthropic`, `bedrock`, `google`, `openai`: the providers' forms
- `gen_ai`: OpenTelemetry's GenAI conventions; `langchain`, `haystack_repr`, `vercel`: the forms of libraries
- `unwrapping`: JSON, JSON in JSON, a Python `repr`, bytes; `parts`: what several forms need
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
