"""One file or folder for each emitter: the instrumentation, SDK or gateway that writes spans.

Each has a `DIALECT`, a table (`reading.table`). It says which attributes only the emitter's LLM calls have, and which
attributes hold which field. A function beside the table reads what a table cannot describe. No emitter imports another
one, except `gen_ai`, the conventions that many emitters follow in part.
"""
