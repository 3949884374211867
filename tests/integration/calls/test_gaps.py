"""What calls lack is said in the log, once for each cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.testing import span

if TYPE_CHECKING:
    import pytest

    from support.delivering import Bench


def test_the_log_names_the_setting_once_for_all_calls(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.put(*(span(number=number, dropped_attributes=3) for number in range(1, 4)))
    bench.run()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "opentelemetry.instrumentation.langchain' are incomplete: 3 attributes of the span were dropped" in said
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in said
