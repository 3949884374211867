"""The span processor: what is not an LLM call costs a microsecond, what is one is durable when `on_end` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor

from label_studio_otel.sdk.boundary import Capture

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["LabelStudioSpanProcessor"]


class LabelStudioSpanProcessor(SpanProcessor):
    """Turns LLM calls into Label Studio tasks.

    Making one does nothing and never raises; a setting that cannot be used is replaced by its default and logged.
    Of several processors for one server, the first that has an `api_key` decides it; the first one decides
    `trace_link`, `delivery`, `uncertain_wait`, `max_task_bytes`, `max_image_bytes`, `max_state_bytes` and `max_age`.

    Args:
        url: base URL of Label Studio (`LABEL_STUDIO_URL`, else http://localhost:8080).
        api_key: legacy token or personal access token (`LABEL_STUDIO_API_KEY`).
        project_id: the project's number (`LABEL_STUDIO_PROJECT_ID`).
        project_name: its exact title, made where there is none; `%` directives are filled with the date of the call
            (`LABEL_STUDIO_OTEL_PROJECT_NAME`, else `LangChain-%Y-%m-%d`).
        project_config: labeling config for a new project, XML or a file's path
            (`LABEL_STUDIO_OTEL_PROJECT_CONFIG`).
        mode: `prompt` or `chat`: the labeling config of a new project (`LABEL_STUDIO_OTEL_MODE`, else `prompt`).
        state_dir: where calls wait until they have arrived (`LABEL_STUDIO_OTEL_STATE_DIR`).
        delivery: `thread` delivers in this process, `off` leaves it to `label-studio-otel deliver`
            (`LABEL_STUDIO_OTEL_DELIVERY`).
        shutdown_timeout: seconds, in all, that the exit may take because of us
            (`LABEL_STUDIO_OTEL_SHUTDOWN_TIMEOUT`, 2).
        flush: what `force_flush` waits for: `durable`, until calls survive the end of this process, or `delivered`,
            until they are tasks (`LABEL_STUDIO_OTEL_FLUSH`, `durable`).
        uncertain_wait: seconds of looking before a batch without an answer counts as not arrived
            (`LABEL_STUDIO_OTEL_UNCERTAIN_WAIT`, 900).
        include_errors: make tasks of failed calls too (`LABEL_STUDIO_OTEL_INCLUDE_ERRORS`).
        operations: take calls of these operations only, as they are read: `{"chat"}`, `{"text_completion"}`
            (`LABEL_STUDIO_OTEL_OPERATIONS`).
        trace_link: URL of a trace in your tracing backend, with `{trace_id}` and `{span_id}`; each task links to it
            (`LABEL_STUDIO_OTEL_TRACE_LINK`).
        max_task_bytes: of a task's JSON; what does not fit is cut, and the task says so
            (`LABEL_STUDIO_OTEL_MAX_TASK_BYTES`, 1 MiB).
        max_image_bytes: of an inline image for an <Image> tag; of a larger one only type, size and hash are given
            (`LABEL_STUDIO_OTEL_MAX_IMAGE_BYTES`, 256 KiB).
        max_state_bytes: that may wait on the disk for one Label Studio; beyond, it counts as full, and 0 is without end
            (`LABEL_STUDIO_OTEL_MAX_STATE_BYTES`, 1 GiB).
        max_age: seconds after which a call that could not be delivered is given up, counted and said; 0 keeps all
            (`LABEL_STUDIO_OTEL_MAX_AGE`, 0).
        **other: unknown settings are logged and ignored.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        api_key: str | None = None,
        project_id: int | str | None = None,
        project_name: str | None = None,
        project_config: str | None = None,
        mode: str | None = None,
        state_dir: str | PathLike[str] | None = None,
        delivery: str | None = None,
        shutdown_timeout: float | None = None,
        flush: str | None = None,
        uncertain_wait: float | None = None,
        include_errors: bool | None = None,
        operations: Iterable[str] | None = None,
        trace_link: str | None = None,
        max_task_bytes: int | None = None,
        max_image_bytes: int | None = None,
        max_state_bytes: int | None = None,
        max_age: float | None = None,
        **other: Any,
    ) -> None:
        arguments = {
            "url": url,
            "api_key": api_key,
            "project_id": project_id,
            "project_name": project_name,
            "project_config": project_config,
            "mode": mode,
            "state_dir": state_dir,
            "delivery": delivery,
            "shutdown_timeout": shutdown_timeout,
            "flush": flush,
            "uncertain_wait": uncertain_wait,
            "include_errors": include_errors,
            "operations": operations,
            "trace_link": trace_link,
            "max_task_bytes": max_task_bytes,
            "max_image_bytes": max_image_bytes,
            "max_state_bytes": max_state_bytes,
            "max_age": max_age,
        }
        self._capture = Capture({**other, **arguments})
        self._capture.say_problems()
        self._capture.agree()

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span where it is an LLM call."""
        self._capture.take(span)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True when every call that ended before is durable, or delivered where `flush` says so.

        False when the time is up.
        """
        return self._capture.force_flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Deliver what is there, for at most the shutdown time-out; what is left is kept."""
        self._capture.shutdown()
