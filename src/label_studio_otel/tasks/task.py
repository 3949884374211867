"""`encode` renders an LLM call as a Label Studio task for the labeling config of its project.

- `data` has a value for each variable of the labeling config (tags.py) and the metadata (metadata.py).
- Each choice is a prediction. All predictions have one `model_version`: the label stream shows only the predictions of
  the project's own `model_version`, which the first import sets. The model's name is in `data.model`.
- Of several predictions the label stream shows the newest one, so the first choice comes last. The others also stand in
  `other_responses` (title and text), which our labeling configs show below.
- A labeling config that repeats something for `images`, as ours do, gets the inline images (images.py).
- A text that does not fit is truncated with a visible note, and `incomplete` says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from label_studio_otel.generation import Gap, Generation, Message, TextPart
from label_studio_otel.spans import Span
from label_studio_otel.tasks.images import NO_IMAGE, first_image, fitting, inline_images
from label_studio_otel.tasks.labeling_config import LabelConfig
from label_studio_otel.tasks.metadata import link_to, metadata_of
from label_studio_otel.tasks.size import sanitize, shrink_to_fit, truncate_middle
from label_studio_otel.tasks.tags import ShownCall, data_of
from label_studio_otel.tasks.text import anchor, response_text

MODEL_VERSION = "label-studio-otel"


def render(span: Span, generation: Generation, config: LabelConfig, **options: Any) -> dict[str, Any]:
    """Return the task without its JSON; for the options see `encode`."""
    return encode(span, generation, config, **options)[0]


def encode(
    span: Span,
    generation: Generation,
    config: LabelConfig,
    *,
    max_bytes: int = 1024 * 1024,
    max_image_bytes: int = 256 * 1024,
    trace_link: str | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Return the task and its JSON.

    Args:
        max_bytes: limit of the JSON in UTF-8; not below some 16 KiB, which the metadata need.
        max_image_bytes: of a larger inline image the task has only type, size and hash.
        trace_link: the setting, a URL with `{trace_id}` and `{span_id}`.

    Raises:
        DestinationBlocked: the labeling config has a variable that no LLM call can fill.
    """
    image, gaps = first_image(generation, max_image_bytes) if config.image else (NO_IMAGE, ())
    images, large = inline_images(generation, max_image_bytes) if config.images else ((), ())
    generation = _with_gaps(generation, *gaps, *large)
    link = link_to(span, trace_link) or ""
    task_of = partial(_task, span, config, image, link)
    task, body = _encoded(task_of(generation))
    if len(body) > max_bytes:
        # A part of an image's or a trace's URL is of no use.
        replaced = {link: "", anchor(link): "", image: NO_IMAGE}
        return _encoded(_shortened(task_of, generation, max_bytes, replaced))
    if not images:
        return task, body
    shown = fitting(images, max_bytes - len(body))
    if len(shown) < len(images):
        too_many = f"Not shown, because the task would be too large: {len(images) - len(shown)} images."
        task = task_of(_with_gaps(generation, Gap("images_left_out", too_many)))
    if shown:
        task["data"].setdefault("images", shown)
    return _encoded(task)


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode


def _encoded(task: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return a task that Label Studio can store, and its JSON; the task is sanitized only where its JSON needs it."""
    try:
        body = _to_json(task).encode()
        if b"\\u0000" not in body:
            return task, body
    except ValueError:  # a lone surrogate, NaN, an integer of thousands of digits
        pass
    sanitized = sanitize(task)
    return sanitized, _to_json(sanitized).encode()


def _shortened(
    task_of: Callable[[Generation], dict[str, Any]],
    generation: Generation,
    max_bytes: int,
    replaced: Mapping[str, str],
) -> dict[str, Any]:
    """Return a task of at most `max_bytes` for a call that is too large, without the images of its messages."""

    def shorten(text: str, limit: int) -> str:
        return replaced[text] if text in replaced else truncate_middle(text, limit)

    too_large = f"The call is too large for a task ({max_bytes:,} bytes): parts of it are cut."
    generation = _with_gaps(generation, Gap("task_too_large", too_large))
    for smaller in _smaller(generation):
        task = sanitize(task_of(smaller))
        if fitted := shrink_to_fit(task, max_bytes, shorten):
            return dict(fitted)
    return dict(shrink_to_fit(task, max_bytes, shorten, min_string=0))


def _with_gaps(generation: Generation, *gaps: Gap) -> Generation:
    return replace(generation, incomplete=generation.incomplete + gaps) if gaps else generation


def _smaller(generation: Generation) -> Iterator[Generation]:
    """Yield the call, then the call with fewer and fewer messages (the first and the last ones stay) and choices."""
    yield generation
    messages, keep = generation.messages, max(len(generation.messages), len(generation.choices))
    while keep > 1:
        keep //= 2
        shown = messages
        if len(messages) > keep:
            note = Message("note", (TextPart(f"[… {len(messages) - keep:,} messages cut …]"),))
            shown = (*messages[: keep // 2], note, *messages[keep // 2 - keep :])
        yield replace(generation, messages=shown, choices=generation.choices[:keep])


def _task(span: Span, config: LabelConfig, image: str, link: str, generation: Generation) -> dict[str, Any]:
    # An empty answer comes from the model only if answers were captured.
    not_captured = {"content_not_captured", "log_events_missing"} & {gap.reason for gap in generation.incomplete}
    responses = [response_text(choice) for choice in generation.choices if choice.message.parts or not not_captured]
    metadata = metadata_of(span, generation, responses, link or None)
    data = data_of(ShownCall(generation, metadata, image), config)
    if len(responses) > 1:
        others = enumerate(responses[1:], 2)
        titled = [{"title": f"Answer {number} of {len(responses)}", "text": text} for number, text in others]
        data.setdefault("other_responses", titled)
    predictions = []
    if config.response is not None:
        for index, response in reversed(tuple(enumerate(responses))):
            result = {
                "id": hashlib.sha256(f"{span.key}:{index}".encode("utf-8", "replace")).hexdigest()[:10],
                "from_name": config.response.name,
                "to_name": config.response.to_name,
                "type": "textarea",
                "value": {"text": [response]},
            }
            predictions.append({"model_version": MODEL_VERSION, "result": [result]})
    return {"data": data, "predictions": predictions}
