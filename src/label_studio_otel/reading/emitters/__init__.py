"""One file or folder for each emitter: the instrumentation, SDK or gateway that writes spans.

Each has a `DIALECT`, a table (`reading.table`) that says what marks the emitter's LLM calls among its other spans and
which attributes hold what. A function beside the table reads what the table cannot say. No emitter imports another, but
for `gen_ai`, the conventions that many emitters follow in part.
"""

__all__: list[str] = []
