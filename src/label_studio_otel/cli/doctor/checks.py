"""What `doctor` looks at: one module per subject, each a few functions from the set-up to findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from label_studio_otel.cli.doctor.finding import Finding
    from label_studio_otel.cli.doctor.installation import SetUp

__all__ = ["findings"]


def findings(set_up: SetUp) -> Iterator[Finding]:
    """Yield what all checks find, subject by subject."""
    from label_studio_otel.cli.doctor import content, exporters, instrumentation, python, sdk, server, state

    everywhere: tuple[Callable[[SetUp], Iterator[Finding]], ...] = (
        python.interpreter,
        sdk.disabled,
        instrumentation.instrumentations,
        content.traceloop,
        content.gen_ai,
        content.openinference,
        sdk.limits,
        sdk.sampler,
        sdk.batch_processor,
        server.settings,
        server.label_studio,
        state.state_directory,
        state.waiting,
        state.versions,
        state.span_ids,
    )
    configured = (exporters.distro, exporters.declarative, exporters.named, exporters.installed, exporters.listeners)
    for check in everywhere[:2] + (() if set_up.in_code else configured) + everywhere[2:]:
        yield from check(set_up)
