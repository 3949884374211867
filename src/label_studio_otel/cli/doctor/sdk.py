"""Check the variables of OpenTelemetry's SDK: those that switch it off, sample, limit attributes, or make it raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from label_studio_otel.cli.doctor.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import SetUp

__all__ = ["batch_processor", "disabled", "limits", "sampler"]

DEFAULT_COUNT_LIMIT = 128
ENOUGH_ATTRIBUTES = 1000
COUNT_LIMITS = ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
LENGTH_LIMITS = ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
OTHER_LIMITS = (
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
)
RATIOS = ("traceidratio", "parentbased_traceidratio")
SAMPLERS = (*RATIOS, "always_on", "always_off", "parentbased_always_on", "parentbased_always_off")


def disabled(set_up: SetUp) -> Iterator[Finding]:
    """Check the switch that turns the SDK off."""
    if set_up.value("OTEL_SDK_DISABLED").lower() == "true":
        yield error("SDK", "OTEL_SDK_DISABLED=true: there are no spans at all", "unset OTEL_SDK_DISABLED")


def limits(set_up: SetUp) -> Iterator[Finding]:
    """Check the limits of a span: the SDK drops its oldest attributes and truncates long values."""
    invalid = [name for name in (*COUNT_LIMITS, *LENGTH_LIMITS, *OTHER_LIMITS) if not _is_limit(set_up.value(name))]
    for name in invalid:
        yield error(
            "limits",
            f"{name}={set_up.value(name)!r} is no number of 0 or more: the SDK raises, which ends all tracing",
            f"unset {name}",
        )
    if not invalid:
        yield from _count_limit(set_up)
        yield from _length_limit(set_up)


def _is_limit(value: str) -> bool:
    return not value or value.isdecimal()


def _count_limit(set_up: SetUp) -> Iterator[Finding]:
    limit = _attribute_limit(set_up)
    flat = set_up.installation.requiring("openinference-instrumentation")
    if limit is not None and (limit < DEFAULT_COUNT_LIMIT or (flat and limit < ENOUGH_ATTRIBUTES)):
        why = "" if limit < DEFAULT_COUNT_LIMIT else f" ({flat[0].name} writes several for each message)"
        yield warning(
            "limits",
            f"a span keeps {limit} attributes{why}; the SDK drops the first ones, the system message before all",
            f"export {COUNT_LIMITS[0]}={ENOUGH_ATTRIBUTES}",
        )
    else:
        yield ok("limits", f"a span keeps {'any number of' if limit is None else limit} attributes")


def _attribute_limit(set_up: SetUp) -> int | None:
    """Return how many attributes a span keeps, None for all; the span's own variable, even empty, is preferred."""
    own, shared = COUNT_LIMITS
    if own in set_up.environ:
        return int(set_up.value(own)) if set_up.value(own) else None
    return int(set_up.value(shared) or DEFAULT_COUNT_LIMIT)


def _length_limit(set_up: SetUp) -> Iterator[Finding]:
    name = next((name for name in LENGTH_LIMITS if name in set_up.environ), None)
    value = set_up.value(name or "")
    if name and value.isdecimal():
        yield warning(
            "limits",
            f"{name}={value}: messages are one attribute and longer ones are cut there, in the middle of their JSON",
            f"unset {name}",
        )


def sampler(set_up: SetUp) -> Iterator[Finding]:
    """Check which share of the traces is recorded."""
    name = set_up.value("OTEL_TRACES_SAMPLER").lower()
    if not name or name.endswith("always_on"):
        return
    if name.endswith("always_off"):
        yield error("sampler", f"OTEL_TRACES_SAMPLER={name}: no call is recorded", "unset OTEL_TRACES_SAMPLER")
    elif name in RATIOS:
        yield from _ratio(set_up, name)
    elif name not in SAMPLERS:
        there = [point.name for _, point in set_up.installation.offers("opentelemetry_traces_sampler")]
        if name not in there:
            yield warning(
                "sampler",
                f"OTEL_TRACES_SAMPLER={name} is not known here; the SDK takes every call instead",
                "unset OTEL_TRACES_SAMPLER",
            )


def _ratio(set_up: SetUp, name: str) -> Iterator[Finding]:
    argument = set_up.value("OTEL_TRACES_SAMPLER_ARG")
    try:
        ratio = float(argument)
    except ValueError:
        return  # the SDK uses 1.0
    if not 0 <= ratio <= 1:
        yield warning(
            "sampler",
            f"OTEL_TRACES_SAMPLER_ARG={argument} is not between 0 and 1; the SDK takes every call instead",
            "unset OTEL_TRACES_SAMPLER",
        )
    elif ratio < 1:
        yield warning(
            "sampler",
            f"OTEL_TRACES_SAMPLER={name} records {ratio:.2%} of the traces; the other calls never become tasks",
            "unset OTEL_TRACES_SAMPLER, and sample behind the application (tail sampling) where traces are too many",
        )


def batch_processor(set_up: SetUp) -> Iterator[Finding]:
    """Check the sizes of the batch processor: with wrong ones the SDK raises, which ends all tracing."""
    queue = _number(set_up, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    batch = _number(set_up, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
    delay = _number(set_up, "OTEL_BSP_SCHEDULE_DELAY", 5000)
    if queue <= 0 or batch <= 0 or delay <= 0:
        yield error(
            "batch processor",
            "an OTEL_BSP_ variable is 0 or less: the SDK raises, which ends all tracing",
            "unset OTEL_BSP_MAX_QUEUE_SIZE OTEL_BSP_MAX_EXPORT_BATCH_SIZE OTEL_BSP_SCHEDULE_DELAY",
        )
    elif batch > queue:
        yield error(
            "batch processor",
            f"the batch ({batch}) is larger than the queue ({queue}): the SDK raises, which ends all tracing",
            f"export OTEL_BSP_MAX_EXPORT_BATCH_SIZE={queue}",
        )


def _number(set_up: SetUp, name: str, default: int) -> int:
    try:
        return int(set_up.environ[name])
    except (KeyError, ValueError):
        return default  # the SDK does the same
