"""From the outbox to tasks in Label Studio, for the one process that holds the lock of a state directory.

What comes in are pending items of the outbox; what goes out are imports, and states of the items. The rule of the room:
after an import whose response does not prove what happened, its items are looked up by their keys before any of them
is sent again. A task that is found is believed at once, and a missing one after `uncertain_wait` of look-ups.

A step of the `deliverer` (with `lock`, `retention`, `recovery` and what it shares: `health`, `hooks`) ingests the spool
and lets `destinations` deliver one batch to each destination: `prefetch` takes the due items, `rendering` makes tasks
of them, `merging` keeps one span per call, `sending` imports them (`batch_size`, `backoff`: how much and when).
`reconciliation` looks up the uncertain batches. `gap_warnings` tells the log what calls lack.
"""

__all__: list[str] = []
