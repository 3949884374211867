"""Of an image for an <Image> tag, how much of it a task holds."""

from __future__ import annotations

import pytest

from label_studio_otel import reading
from label_studio_otel.settings import load
from label_studio_otel.tasks import labeling_config, task
from label_studio_otel.testing import span

CONFIG = labeling_config.parse('<View><Image name="i" value="$x"/><TextArea name="response" toName="i"/></View>')
NO_IMAGE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def rendered(uri: str) -> dict[str, object]:
    call = span([{"role": "user", "parts": [{"type": "uri", "modality": "image", "uri": uri}]}])
    return task.render(call, reading.read(call), CONFIG, max_image_bytes=1_000)["data"]


def test_an_svg_in_a_data_url_counts_by_the_length_of_the_url() -> None:
    drawing = "data:image/svg+xml," + "x" * 981
    assert rendered(drawing)["x"] == drawing
    assert rendered(drawing + "x")["x"] == NO_IMAGE
    assert rendered(drawing + "x")["incomplete"] == (
        "An image is too large to be shown: [image: data:image/svg+xml,xxxxxxxxxxxxxxxxxxxxx… (1.0 KB)]"
    )


@pytest.mark.parametrize("name", ["max_task_bytes", "max_image_bytes"])
def test_the_sizes_are_settings(name: str) -> None:
    variable = f"LABEL_STUDIO_OTEL_{name.upper()}"
    assert getattr(load({}, {variable: "123456"}), name) == 123_456
    assert getattr(load({name: 123_456}, {variable: "1000000"}), name) == 123_456


@pytest.mark.parametrize("value", ["1 MiB", "-1", "1e6", "True"])
def test_a_size_that_is_no_number_of_bytes_is_a_problem_of_the_settings(value: str) -> None:
    settings = load({"max_task_bytes": value}, {})
    assert settings.max_task_bytes == 1_048_576
    assert settings.problems == (
        f"max_task_bytes={value!r} cannot be used: it must be a number of bytes, 16384 or more; using 1048576",
    )


def test_a_task_has_room_for_its_metadata_and_an_image_may_be_forbidden() -> None:
    settings = load({"max_task_bytes": 16_383, "max_image_bytes": 0}, {})
    assert (settings.max_task_bytes, settings.max_image_bytes) == (1_048_576, 0)
    assert len(settings.problems) == 1
