"""The outbox: every LLM call, from the spool or the receiver until its task is known to be in Label Studio.

Comes in: `NewItem` and `NewEvent` (`accept`), and what `salvage` reads from a damaged outbox (`restore`). Goes out:
items to send, batches to look up, counts. The rule: each method of `Outbox` and of its parts is one transaction,
durable when it returns, and only the process that holds the state directory's lock writes.

States of an item. Each arrow is the query of that name in `queries.sql`::

                    accept
                      │
                      ↓              lease              mark_delivered
    restore ───→  pending  ────────────────→  leased  ────────────────→  delivered  ─── expire ──→ gone
    (any state    │ ↑ ↑ ↑                     │ │ │                       ↑ ↑
    but leased    │ │ │ └────── release ──────┘ │ │ mark_uncertain        │ │
    and           │ │ │     (nothing arrived)   │ │ mark_all_uncertain    │ │
    uncertain)    │ │ │                         │ ↓                       │ │
                  │ │ │  mark_not_arrived       │ uncertain ──────────────┘ │
                  │ │ └─────────────────────────│─┘       mark_delivered    │
                  │ │                           │         (was found)       │
                  │ │ retry           park      │                           │
                  │ └────────── parked ←────────┘                           │
                  │   park       ↑ │                                        │
                  ├──────────────┘ └── give_up, drop ──→ gone               │
                  ├── give_up, drop ──→ gone                                │
                  ├── mark_merged ──→ doubled ─── expire ──→ gone           │
                  └── mark_found (its task was found before it was sent) ───┘

- pending: waits for `due_at`. A blocked destination's items stay pending.
- leased: part of a batch; committed before the request begins, so that a process that dies leaves a trace.
- uncertain: the request ended without a proof; the batch is looked up by its keys until the answer is known.
- parked: Label Studio refuses this item or it cannot be read. `retry` makes it pending again: the command
  `label-studio-otel retry` writes a record for that into the spool, which `pipeline.ingest` reads.
- delivered, doubled (merged into another span of the same call): only the key stays, so that nothing is sent twice.

A destination is open or blocked: `block` says why and until when, `unblock` and `retry` open it.

Files: `items` (the values), `outbox` (items), `destinations`, `batches` (what is or was being sent), `overview`
(counts for people and metrics), `database` (one SQLite file: transactions and named queries), `migrations` (its
schema), `salvage` (damaged files). Only the last three and `queries.sql` know SQLite.
"""
