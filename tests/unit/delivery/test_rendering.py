"""What a dialect of another package can do to a batch."""

from __future__ import annotations

import pytest

from label_studio_otel.delivery.rendering import fingerprint_of
from label_studio_otel.errors import DialectError
from label_studio_otel.generation import Generation
from label_studio_otel.testing import span


def test_a_generation_of_other_types_cannot_be_compared_and_parks_its_span_alone() -> None:
    with pytest.raises(DialectError, match=r"^span .* cannot be compared: TypeError$"):
        fingerprint_of(span(number=1), Generation("chat", None, ()))  # type: ignore[arg-type]
