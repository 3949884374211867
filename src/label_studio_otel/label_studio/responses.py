"""Turns Label Studio's responses into errors, by one table.

Label Studio echoes the tasks that it refuses, and our errors go into logs. So of the text of an error only the parts
are used that cannot quote what was said to an LLM.
"""

from __future__ import annotations

import re

from label_studio_otel.errors import BatchTooLarge, DestinationBlocked, ItemRejected, Retryable, Uncertain
from label_studio_otel.label_studio.transport import Response


def is_import(path: str) -> bool:
    """Return whether a path is that of an import, the one request that may not be repeated without a look-up."""
    return path.partition("?")[0].endswith("/import")


def refusal(url: str, method: str, path: str, response: Response, now: float) -> Exception:
    """Return the error of a response with a status of 300 or more."""
    status, importing = response.status, is_import(path)
    where = f"{url} answered {status} to {method} {path.partition('?')[0]}"
    detail = _detail(response)
    if status in (301, 302, 303, 307, 308):
        return DestinationBlocked(f"{where}: it redirects; set LABEL_STUDIO_URL to where it redirects to")
    if status == 401:
        return DestinationBlocked(f"{where}: {detail}; set LABEL_STUDIO_API_KEY to a valid token")
    if status == 403:
        return DestinationBlocked(f"{where}: {detail}; the token's user may not do this", refused=True)
    if status == 404:
        return _not_found(where, response)
    if status == 413 or (status in (414, 431) and not importing):
        return BatchTooLarge(f"{where}: the request is too large")
    if status == 429:
        return Retryable(f"{where}: too many requests", retry_after=response.retry_after(now))
    if status < 500:
        if importing:
            return ItemRejected(f"{where}: {detail}", reasons=_reasons(response))
        return DestinationBlocked(f"{where}: {detail}", refused=True)
    if importing:
        return Uncertain(f"{where}: {detail}", status=status)
    return Retryable(f"{where}: {detail}", retry_after=response.retry_after(now))


def not_label_studio(url: str, method: str, path: str, response: Response) -> DestinationBlocked:
    """Return the error of a response that Label Studio would not send, as that of another server or of a proxy."""
    return DestinationBlocked(
        f"{url} answered {response.status} to {method} {path.partition('?')[0]}, but not as Label Studio does; is "
        "LABEL_STUDIO_URL the address of Label Studio?"
    )


def _not_found(where: str, response: Response) -> DestinationBlocked:
    # A proxy's page tells nothing about the project: after it, an uncertain batch must not be sent again.
    if not isinstance(response.json(), dict):
        return DestinationBlocked(f"{where}, but not as Label Studio does; is LABEL_STUDIO_URL its address?")
    return DestinationBlocked(f"{where}: there is no such project, or the token's user may not see it", missing=True)


def _reasons(response: Response) -> dict[int, str]:
    """Return the reasons of a validation error by the position of the task; the list has `{}` for each good task."""
    body = response.json()
    errors = body.get("validation_errors") if isinstance(body, dict) else None
    listed = errors.get("non_field_errors") if isinstance(errors, dict) else None
    if not isinstance(listed, list):
        return {}
    reasons: dict[int, str] = {}
    for text in listed:
        match = re.match(r"Error at item (\d+): (.*)", text, re.DOTALL) if isinstance(text, str) else None
        if match:
            reasons[int(match[1])] = _without_content(match[2])
    return reasons


def _detail(response: Response) -> str:
    """Return the reason that the response gives, without the task that it echoes."""
    body = response.json()
    if not isinstance(body, dict):
        return "no explanation"
    if response.status >= 500:
        return cause(str(body.get("detail") or "no explanation"))
    errors = body.get("validation_errors")
    texts = [str(body.get("detail") or "no explanation")]
    if isinstance(errors, dict):
        for name, messages in errors.items():
            texts += [f"{name}: {text}" for text in messages if isinstance(text, str)][:3]
    return "; ".join(_without_content(text) for text in texts)[:500]


def cause(text: str) -> str:
    """Return an exception's text up to the first sign that may begin quoted content, as in PostgreSQL's errors."""
    return re.split(r"""[\n:'"`{\[(<]""", text, maxsplit=1)[0].strip()[:120] or "no explanation"


def _without_content(text: str) -> str:
    text = re.split(r" ::|\bGot: ", text, maxsplit=1)[0]
    return re.sub(r"(data\[[^\]]*\])=.* is of type", r"\1 is of type", text, flags=re.DOTALL)[:300]
