"""A web application that asks what it is asked."""

import os
from urllib.parse import unquote

from asking import ask


def application(environ, start_response):
    answer = ask(unquote(environ["QUERY_STRING"]))
    body = f"{os.getpid()} {answer}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
