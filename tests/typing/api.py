"""The public use of the package, as mypy must accept or refuse it; nobody runs this file.

`warn_unused_ignores` makes each ignored error a test: mypy fails where the error is not there any more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from label_studio_otel import (
    LabelStudioLogRecordProcessor,
    LabelStudioOtelError,
    LabelStudioSpanExporter,
    LabelStudioSpanProcessor,
    __version__,
)

provider = TracerProvider()
provider.add_span_processor(LabelStudioSpanProcessor())
provider.add_span_processor(
    LabelStudioSpanProcessor(
        url="https://labels.example.com",
        api_key=os.environ.get("KEY"),
        project_id=7,
        project_name="Support %Y-%m-%d",
        project_config="config.xml",
        mode="chat",
        operations={"chat"},
        include_errors=True,
        trace_link="http://localhost:16686/trace/{trace_id}",
        state_dir=Path("state"),
        delivery="thread",
        shutdown_timeout=2,
        flush="delivered",
        uncertain_wait=900.0,
        max_task_bytes=1 << 20,
        max_image_bytes=1 << 18,
        max_state_bytes=0,
        max_age=86400,
    )
)
provider.add_span_processor(BatchSpanProcessor(LabelStudioSpanExporter(project_id="7", operations=["chat"])))
LoggerProvider().add_log_record_processor(LabelStudioLogRecordProcessor(state_dir="state"))

LabelStudioSpanProcessor(colour="red")  # type: ignore[call-arg]
LabelStudioSpanExporter(project_id=7.5)  # type: ignore[arg-type]
LabelStudioLogRecordProcessor(mode=1)  # type: ignore[arg-type]
LabelStudioSpanProcessor("https://labels.example.com")  # type: ignore[call-arg]

settings: dict[str, Any] = {"mode": "chat"}
LabelStudioSpanProcessor(**settings)

flushed: bool = LabelStudioSpanProcessor().force_flush(timeout_millis=1000)
exported: SpanExportResult = LabelStudioSpanExporter().export([])
version: str = __version__
error: type[Exception] = LabelStudioOtelError
