"""Check the variables of OpenTelemetry's SDK: those that switch it off, sample, limit attributes, or make it raise."""

from __future__ import annotations

from label_studio_otel.cli.doctor.finding import Finding, Findings, error, ok, warning
from label_studio_otel.cli.doctor.installation import SetUp

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


def disabled(set_up: SetUp) -> Findings:
    """Check the switch that turns the SDK off."""
    if set_up.value("OTEL_SDK_DISABLED").lower() == "true":
        yield error("SDK", "OTEL_SDK_DISABLED=true: there are no spans at all", "unset OTEL_SDK_DISABLED")


def limits(set_up: SetUp) -> Findings:
    """Check the limits of a span: the SDK drops its oldest attributes and truncates long values."""
    values = {name: set_up.value(name) for name in (*COUNT_LIMITS, *LENGTH_LIMITS, *OTHER_LIMITS)}
    invalid = {name: value for name, value in values.items() if value and not value.isdecimal()}
    for name, value in invalid.items():
        met = f"{name}={value!r} is no number of 0 or more: the SDK raises, which ends all tracing"
        yield error("limits", met, f"unset {name}")
    if not invalid:
        yield _count_limit(set_up)
        length_limit = next((name for name in LENGTH_LIMITS if name in set_up.environ), None)
        if length_limit and values[length_limit]:
            met = "messages are one attribute and longer ones are cut there, in the middle of their JSON"
            yield warning("limits", f"{length_limit}={values[length_limit]}: {met}", f"unset {length_limit}")


def _count_limit(set_up: SetUp) -> Finding:
    limit = _attribute_limit(set_up)
    flat = set_up.installation.requiring("openinference-instrumentation")
    if limit is None or limit >= (ENOUGH_ATTRIBUTES if flat else DEFAULT_COUNT_LIMIT):
        return ok("limits", f"a span keeps {'any number of' if limit is None else limit} attributes")
    why = "" if limit < DEFAULT_COUNT_LIMIT else f" ({flat[0].name} writes several for each message)"
    met = f"a span keeps {limit} attributes{why}; the SDK drops the first ones, the system message before all"
    return warning("limits", met, f"export {COUNT_LIMITS[0]}={ENOUGH_ATTRIBUTES}")


def _attribute_limit(set_up: SetUp) -> int | None:
    """Return how many attributes a span keeps, None for all; the span's own variable, even empty, is preferred."""
    own, shared = COUNT_LIMITS
    if own in set_up.environ:
        return int(set_up.value(own)) if set_up.value(own) else None
    return int(set_up.value(shared) or DEFAULT_COUNT_LIMIT)


def sampler(set_up: SetUp) -> Findings:
    """Check which share of the traces is recorded."""
    name = set_up.value("OTEL_TRACES_SAMPLER").lower()
    shown, fix = f"OTEL_TRACES_SAMPLER={name}", "unset OTEL_TRACES_SAMPLER"
    installed = [point.name for _, point in set_up.installation.offers("opentelemetry_traces_sampler")]
    if name.endswith("always_off"):
        yield error("sampler", f"{shown}: no call is recorded", fix)
    elif name in RATIOS:
        argument = set_up.value("OTEL_TRACES_SAMPLER_ARG")
        try:
            ratio = float(argument)
        except ValueError:
            return  # the SDK uses 1.0
        if not 0 <= ratio <= 1:
            met = f"OTEL_TRACES_SAMPLER_ARG={argument} is not between 0 and 1; the SDK takes every call instead"
            yield warning("sampler", met, fix)
        elif ratio < 1:
            met = f"{shown} records {ratio:.2%} of the traces; the other calls never become tasks"
            otherwise = ", and sample behind the application (tail sampling) where traces are too many"
            yield warning("sampler", met, fix + otherwise)
    elif name and not name.endswith("always_on") and name not in installed:
        yield warning("sampler", f"{shown} is not known here; the SDK takes every call instead", fix)


def batch_processor(set_up: SetUp) -> Findings:
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
