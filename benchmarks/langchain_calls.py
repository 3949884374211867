"""Measures what one call of a fake LangChain model takes: `python langchain_calls.py OPTIONS`. Times in nanoseconds.

`way` is how the calls are watched: bare, instrumented (OpenLLMetry, batch processor, OTLP), ours (the same and our
processor), or handler (LangChain's LabelStudioCallbackHandler, no tracing).
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from typing import Any

from langchain_core.language_models import FakeListLLM

PROMPT = "Write a two-sentence description for an online shop.\n\nProduct: Fjord 2, a folding bicycle\n\nDescription:"
ANSWER = "The Fjord 2 folds in ten seconds and weighs 10.5 kg. Unfold it on the platform and be at work before the bus."


def handler(options: dict[str, Any]) -> Any:
    """Return LangChain's own handler."""
    from langchain_community.callbacks.labelstudio_callback import LabelStudioCallbackHandler

    return LabelStudioCallbackHandler(
        api_key=options["token"], url=options["label_studio"], project_name=options["project"], mode="prompt"
    )


def instrument(options: dict[str, Any]) -> Any:
    """Trace LangChain as `opentelemetry-instrument` does; return the provider."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{options['otlp']}/v1/traces")))
    if options["way"] == "ours":
        from label_studio_otel import LabelStudioSpanProcessor

        provider.add_span_processor(
            LabelStudioSpanProcessor(
                url=options["label_studio"],
                api_key=options["token"],
                project_name=options["project"],
                shutdown_timeout=0.5,
                state_dir=options["state_dir"],
            )
        )
    LangchainInstrumentor().instrument(tracer_provider=provider)
    return provider


def run(options: dict[str, Any]) -> list[int]:
    """Call the model for some seconds; return what each call took."""
    logging.disable(logging.WARNING)  # a full queue of the batch processor is not what is measured
    provider = instrument(options) if options["way"] in ("instrumented", "ours") else None
    callbacks = [handler(options)] if options["way"] == "handler" else []
    model = FakeListLLM(responses=[ANSWER], callbacks=callbacks)
    for _ in range(3):
        model.invoke(PROMPT)
    times = []
    end = time.perf_counter() + options["seconds"]
    while time.perf_counter() < end or len(times) < 5:
        begin = time.perf_counter_ns()
        model.invoke(PROMPT)
        times.append(time.perf_counter_ns() - begin)
    if provider is not None:
        provider.shutdown()
    return times


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(run(json.loads(sys.argv[1]))))
