"""From the outbox to tasks in Label Studio, for the one process that holds the lock of a state directory.

What comes in are pending items of the outbox; what goes out are imports, and states of the items. One rule holds in all
files: if the response to an import does not prove what arrived, its items are looked up by their keys before any of
them is sent again. A task that is found has arrived. A missing task counts as not arrived after `uncertain_wait`.

A step of the `deliverer` (with `lock`, `retention`, `recovery`, and `hooks` to its caller) ingests the spool
and lets `destinations` deliver one batch to each destination: `prefetch` takes the due items, `rendering` makes tasks
of them, `merging` keeps one span per call, `sending` imports them (`backoff`: when).
`reconciliation` looks up the uncertain batches. `gap_warnings` logs what calls lack.
"""
