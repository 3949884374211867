"""Brings the tables of an outbox file to the newest schema, in steps. A released step is never changed.

Each step and its number (`PRAGMA user_version`) are committed together. The SQL here and in queries.sql uses neither
STRICT nor RETURNING: Python 3.11 on an enterprise Linux has SQLite 3.26.
"""

from __future__ import annotations

import sqlite3

from label_studio_otel.errors import OutboxError

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE destination (
            id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL,      -- 0: found by its name
            project_name TEXT NOT NULL,
            mode TEXT NOT NULL,
            default_name INTEGER NOT NULL,
            project_config TEXT,
            state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'blocked')),
            reason TEXT,
            passing INTEGER NOT NULL DEFAULT 0, -- 1: waiting may mend it
            project INTEGER,                  -- the id it was resolved to
            watermark INTEGER,                -- a task id; those of later imports are higher
            failures INTEGER NOT NULL DEFAULT 0,
            retry_at REAL NOT NULL DEFAULT 0,
            UNIQUE (project_id, project_name, mode, default_name)
        )
        """,
        """
        CREATE TABLE batch (
            id INTEGER PRIMARY KEY,
            destination INTEGER NOT NULL REFERENCES destination (id),
            project INTEGER NOT NULL,
            watermark INTEGER NOT NULL,
            sent_at REAL NOT NULL,
            looked_at REAL,
            lookups INTEGER NOT NULL DEFAULT 0
        )
        """,
        """
        CREATE TABLE item (
            id INTEGER PRIMARY KEY,
            destination INTEGER NOT NULL REFERENCES destination (id),
            key TEXT NOT NULL,
            record BLOB,
            state TEXT NOT NULL
                CHECK (state IN ('pending', 'leased', 'uncertain', 'delivered', 'parked', 'doubled')),
            batch INTEGER REFERENCES batch (id),
            attempts INTEGER NOT NULL DEFAULT 0,
            taken_at REAL NOT NULL,
            due_at REAL NOT NULL,
            delivered_at REAL,
            reason TEXT,
            task INTEGER,
            predictions INTEGER,
            UNIQUE (destination, key)
        )
        """,
        "CREATE INDEX item_waiting ON item (destination, state, due_at) WHERE state <> 'delivered'",
        "CREATE INDEX item_batch ON item (batch) WHERE batch IS NOT NULL",
        "CREATE INDEX item_delivered ON item (delivered_at) WHERE state = 'delivered'",
        "CREATE TABLE spool (name TEXT PRIMARY KEY, position INTEGER NOT NULL)",
    ),
    (
        "ALTER TABLE destination ADD COLUMN created TEXT",  # the project's created_at: another server's can have its id
        "ALTER TABLE batch ADD COLUMN reason TEXT",
        "ALTER TABLE batch ADD COLUMN answer INTEGER",  # HTTP status of the response, NULL for none
        "ALTER TABLE batch ADD COLUMN import_id INTEGER",  # where Label Studio carries the import out later
        "ALTER TABLE item ADD COLUMN at_most INTEGER",  # largest batch that may contain it
        "ALTER TABLE item ADD COLUMN fingerprint TEXT",  # by which another span of the same call is recognized
        "ALTER TABLE item ADD COLUMN started INTEGER NOT NULL DEFAULT 0",  # nanoseconds since the epoch
        "ALTER TABLE item ADD COLUMN ended INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX item_started ON item (destination, started, ended)",
        # Which instrumentations wrote spans for a destination: one alone writes no call twice.
        "CREATE TABLE scope (destination INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (destination, name))",
        # Without this index each page of due items sorts all pending ones.
        "CREATE INDEX item_pending ON item (destination, id) WHERE state = 'pending'",
        "CREATE INDEX item_doubled ON item (delivered_at) WHERE state = 'doubled'",
        # Log events, by trace_id:span_id, until their call's span is delivered.
        """
        CREATE TABLE event (
            id INTEGER PRIMARY KEY,
            span TEXT NOT NULL,
            digest TEXT NOT NULL,
            record BLOB NOT NULL,
            taken_at REAL NOT NULL,
            UNIQUE (span, digest)
        )
        """,
        "CREATE INDEX event_taken ON event (taken_at)",
        # Rechecks: calls of an uncertain batch that were found are looked up once more. `keys` is a JSON list.
        """
        CREATE TABLE watch (
            id INTEGER PRIMARY KEY,
            project INTEGER NOT NULL,
            watermark INTEGER NOT NULL,
            look_at REAL NOT NULL,
            keys TEXT NOT NULL
        )
        """,
        "CREATE TABLE fact (name TEXT PRIMARY KEY, value REAL NOT NULL)",
    ),
    (
        # Records in a table of their own: deleting a row frees its pages, emptying a column of `item` does not.
        # Records that older versions wrote stay in item.record until their item is delivered.
        "CREATE TABLE payload (item INTEGER PRIMARY KEY, record BLOB NOT NULL)",
        """
        CREATE TRIGGER item_done AFTER UPDATE OF state ON item WHEN NEW.state IN ('delivered', 'doubled') BEGIN
            DELETE FROM payload WHERE item = NEW.id;
            DELETE FROM event WHERE span = substr(NEW.key, 1, 49) AND NOT EXISTS (
                SELECT 1 FROM destination JOIN item ON item.destination = destination.id
                AND item.key > substr(NEW.key, 1, 49) || ':' AND item.key < substr(NEW.key, 1, 49) || ';'
                WHERE item.state NOT IN ('delivered', 'doubled')
            );
        END
        """,
        """
        CREATE TRIGGER item_gone AFTER DELETE ON item WHEN OLD.state NOT IN ('delivered', 'doubled') BEGIN
            DELETE FROM payload WHERE item = OLD.id;
        END
        """,
    ),
    (
        # The same trigger, with the index of destination and key: the join read all items for each log event's item.
        "DROP TRIGGER item_done",
        """
        CREATE TRIGGER item_done AFTER UPDATE OF state ON item WHEN NEW.state IN ('delivered', 'doubled') BEGIN
            DELETE FROM payload WHERE item = NEW.id;
            DELETE FROM event WHERE span = substr(NEW.key, 1, 49) AND NOT EXISTS (
                SELECT 1 FROM item
                WHERE destination IN (SELECT id FROM destination)
                      AND key > substr(NEW.key, 1, 49) || ':' AND key < substr(NEW.key, 1, 49) || ';'
                      AND state NOT IN ('delivered', 'doubled')
            );
        END
        """,
    ),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date.

    Raises:
        OutboxError: a newer version of this package wrote the file.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(STEPS):
        raise OutboxError(
            f"the outbox was written by a newer version of label-studio-otel (schema {version}, this one knows "
            f"{len(STEPS)}); upgrade this installation"
        )
    for number, step in enumerate(STEPS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in step:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
