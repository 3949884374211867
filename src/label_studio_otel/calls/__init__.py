"""LLM calls out of spans and log events: each call once, with all its messages.

In come spans and log records; out come `Call`s, or for the delivery the decision which spans are one call. A call is
never made of two calls: in doubt two spans stay two calls.

`selection` leaves out the spans that the settings exclude. `log_events` adds the log events to their spans. `matching`
compares the `fingerprint`s of spans, grouped by `call_group`. `supplements` finds the call of spans that have no
messages. `assembly` does all that for spans that are there at once.
"""
