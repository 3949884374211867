"""Turns spans and log events into LLM calls: each call once, with all its messages.

In come spans and log records; out come `Call`s or, for delivery, the decision which spans are one call. Two calls never
become one: in doubt, two spans stay two calls.

`selection` leaves out the spans that the settings exclude. `log_events` adds the log events to their spans. `matching`
compares the `fingerprint`s of spans, grouped by `call_group`. `supplements` finds the call of each span without
messages. `assembly` does all that if all spans are available at once, as for `convert`.
"""
