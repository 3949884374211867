-- The queries of the outbox by name. `item.record` holds the records of schemas 1 and 2; later they are in `payload`.
-- Conditions such as `state <> 'delivered'` beside another state, and `destination IN (SELECT id FROM destination)`, let
-- SQLite use a partial index or one that begins with the destination.

-- ITEMS: WHAT COMES IN

-- accept: (new) -> pending. The same key for the same destination is the same call, and changes nothing.
INSERT INTO item (destination, key, state, taken_at, due_at, started, ended)
VALUES (:destination, :key, 'pending', :now, :due_at, :started, :ended)
ON CONFLICT (destination, key) DO NOTHING;

-- restore: (an item of a damaged outbox) -> pending, parked, delivered or doubled.
INSERT INTO item (destination, key, state, reason, taken_at, due_at, delivered_at)
VALUES (:destination, :key, :state, :reason, :now, :now,
        CASE WHEN :state IN ('delivered', 'doubled') THEN :now END)
ON CONFLICT (destination, key) DO NOTHING;

-- add_record: Triggers delete it when its item is delivered, merged or deleted.
INSERT INTO payload (item, record) VALUES (:item, :record);

-- add_event
INSERT INTO event (span, digest, record, taken_at) VALUES (:span, :digest, :record, :now)
ON CONFLICT (span, digest) DO NOTHING;

-- set_spool_position
INSERT INTO spool (name, position) VALUES (:name, :position)
ON CONFLICT (name) DO UPDATE SET position = excluded.position;

-- forget_spool
DELETE FROM spool WHERE name = :name;

-- spool_positions
SELECT name, position FROM spool;

-- ITEMS: STATES

-- retry: parked -> pending: an operator said `retry`.
UPDATE item INDEXED BY item_waiting SET state = 'pending', due_at = :now, attempts = 0, at_most = NULL, reason = NULL
WHERE destination IN (SELECT id FROM destination) AND state <> 'delivered' AND state = 'parked';

-- lease: pending -> leased: committed before the request begins.
UPDATE item SET state = 'leased', batch = :batch, predictions = :predictions, attempts = attempts + 1, reason = NULL
WHERE id = :id AND state = 'pending';

-- release: leased -> pending: nothing arrived.
UPDATE item SET state = 'pending', batch = NULL, due_at = :due_at, reason = :reason
WHERE batch = :batch AND state = 'leased';

-- mark_delivered: leased | uncertain -> delivered: the record is no longer needed, the key is.
UPDATE item SET state = 'delivered', task = :task, delivered_at = :now, record = NULL, batch = NULL, reason = NULL
WHERE id = :id AND state IN ('leased', 'uncertain');

-- mark_uncertain: leased -> uncertain: the batch may have arrived.
UPDATE item SET state = 'uncertain', reason = :reason WHERE batch = :batch AND state = 'leased';

-- mark_all_uncertain: leased -> uncertain: an error of ours ended the request.
UPDATE item INDEXED BY item_waiting SET state = 'uncertain', reason = :reason
WHERE destination = :destination AND state <> 'delivered' AND state = 'leased';

-- mark_not_arrived: uncertain -> pending.
UPDATE item SET state = 'pending', batch = NULL, due_at = :now, reason = :reason, at_most = COALESCE(:at_most, at_most),
                attempts = CASE WHEN :suspect THEN attempts ELSE 0 END
WHERE batch = :batch AND state = 'uncertain';

-- mark_found: pending -> delivered: its task was found before it was sent.
UPDATE item SET state = 'delivered', task = :task, delivered_at = :now, record = NULL, reason = NULL
WHERE id = :id AND state = 'pending';

-- mark_merged: pending -> doubled: another item is the same call; `reason` is the other item's key.
UPDATE item SET state = 'doubled', delivered_at = :now, record = NULL, reason = :winner
WHERE id = :id AND state = 'pending';

-- park: pending | leased -> parked: Label Studio refused this item, or it cannot be read.
UPDATE item SET state = 'parked', batch = NULL, reason = :reason WHERE id = :id AND state IN ('pending', 'leased');

-- drop: pending | parked -> (deleted): it is stored elsewhere now.
DELETE FROM item WHERE id = :id AND state IN ('pending', 'parked');

-- give_up: pending | parked -> (deleted): it waited longer than LABEL_STUDIO_OTEL_MAX_AGE.
DELETE FROM item INDEXED BY item_waiting
WHERE destination IN (SELECT id FROM destination) AND state <> 'delivered' AND state IN ('pending', 'parked')
      AND taken_at < :before;

-- expire: delivered | doubled -> (deleted). Until then the key stays, so that nothing is sent twice.
DELETE FROM item WHERE id IN (
    SELECT id FROM (
        SELECT id, delivered_at FROM item WHERE state = 'delivered' AND delivered_at < :before
        UNION ALL
        SELECT id, delivered_at FROM item WHERE state = 'doubled' AND delivered_at < :before
        ORDER BY delivered_at LIMIT :limit
    )
);

-- ITEMS: QUESTIONS

-- due_items
SELECT id, key, COALESCE(payload.record, item.record, x''), attempts, COALESCE(predictions, 0), taken_at, at_most
FROM item INDEXED BY item_pending LEFT JOIN payload ON payload.item = item.id
WHERE destination = :destination AND state = 'pending' AND due_at <= :now AND id > :after
ORDER BY id LIMIT :limit;

-- movable
SELECT id, key, COALESCE(payload.record, item.record, x''), attempts, COALESCE(predictions, 0), taken_at, at_most
FROM item LEFT JOIN payload ON payload.item = item.id
WHERE state IN ('pending', 'parked') ORDER BY id LIMIT :limit;

-- batch_items
SELECT id, key, COALESCE(payload.record, item.record, x''), attempts, COALESCE(predictions, 0), taken_at, at_most
FROM item LEFT JOIN payload ON payload.item = item.id
WHERE batch = :batch ORDER BY id;

-- record
SELECT COALESCE(payload.record, item.record, x'') AS record
FROM item LEFT JOIN payload ON payload.item = item.id WHERE id = :id;

-- is_pending
SELECT 1 FROM item WHERE id = :id AND key = :key AND state = 'pending';

-- next_due
SELECT MIN(due_at) AS at FROM item INDEXED BY item_waiting
WHERE destination = :destination AND state <> 'delivered' AND state = 'pending';

-- skip_settling
UPDATE item SET due_at = :now WHERE state = 'pending' AND due_at > :now AND attempts = 0;

-- postpone
UPDATE item SET due_at = :due_at WHERE id = :id AND state = 'pending';

-- overlapping
SELECT id, key, state, reason, fingerprint FROM item
WHERE destination = :destination AND started BETWEEN :earliest AND :ended AND ended >= :started
      AND (state = 'pending' OR (state <> 'parked' AND fingerprint IS NOT NULL))
ORDER BY started LIMIT :limit;

-- note_fingerprint
UPDATE item SET fingerprint = :fingerprint WHERE id = :id;

-- forget_fingerprints: Of items that were delivered or merged before then; reads only those since the last time.
WITH last (time) AS (SELECT COALESCE((SELECT value FROM fact WHERE name = 'fingerprints_forgotten_to'), 0))
UPDATE item SET fingerprint = NULL WHERE fingerprint IS NOT NULL AND id IN (
    SELECT id FROM item WHERE state = 'delivered' AND delivered_at >= (SELECT time FROM last) AND delivered_at < :before
    UNION ALL
    SELECT id FROM item WHERE state = 'doubled' AND delivered_at >= (SELECT time FROM last) AND delivered_at < :before
);

-- LOG EVENTS

-- has_events
SELECT 1 FROM event LIMIT 1;

-- events
SELECT record FROM event WHERE span = :span ORDER BY id;

-- expire_unclaimed_events: Those that no waiting call needs: it was delivered or given up, or settings leave it out.
DELETE FROM event WHERE id IN (
    SELECT id FROM event WHERE taken_at < :before AND NOT EXISTS (
        SELECT 1 FROM item
        WHERE destination IN (SELECT id FROM destination) AND key >= event.span || ':' AND key < event.span || ';'
              AND state NOT IN ('delivered', 'doubled')
    ) ORDER BY taken_at LIMIT :limit
);

-- BATCHES

-- add_batch
INSERT INTO batch (destination, project, watermark, sent_at) VALUES (:destination, :project, :watermark, :now);

-- set_reason
UPDATE batch SET reason = :reason, answer = :answer, import_id = :import_id WHERE id = :batch;

-- note_lookup
UPDATE batch SET looked_at = :now, lookups = lookups + 1 WHERE id = :batch;

-- end_batch
DELETE FROM batch WHERE id = :batch AND NOT EXISTS (SELECT 1 FROM item WHERE batch = :batch);

-- leased_batches
SELECT DISTINCT batch FROM item INDEXED BY item_batch WHERE batch IS NOT NULL AND state = 'leased';

-- uncertain_batches
SELECT id, destination, project, watermark, sent_at, looked_at, lookups, reason, answer, import_id
FROM batch WHERE EXISTS (SELECT 1 FROM item WHERE item.batch = batch.id AND item.state = 'uncertain') ORDER BY id;

-- key_of
SELECT key FROM item WHERE id = :id;

-- schedule_recheck
INSERT INTO watch (project, watermark, look_at, keys)
SELECT project, watermark, :look_at, :keys FROM batch WHERE id = :batch;

-- due_rechecks
SELECT id, project, watermark, keys FROM watch WHERE look_at <= :now ORDER BY look_at;

-- postpone_recheck
UPDATE watch SET look_at = :look_at WHERE id = :recheck;

-- finish_recheck
DELETE FROM watch WHERE id = :recheck;

-- DESTINATIONS

-- add_destination: A known destination gets the latest labeling config that was given.
INSERT INTO destination (project_id, project_name, mode, default_name, project_config)
VALUES (:project_id, :project_name, :mode, :default_name, :project_config)
ON CONFLICT (project_id, project_name, mode, default_name)
DO UPDATE SET project_config = COALESCE(excluded.project_config, project_config);

-- destination_id
SELECT id FROM destination
WHERE project_id = :project_id AND project_name = :project_name AND mode = :mode AND default_name = :default_name;

-- destinations
SELECT * FROM destination ORDER BY id;

-- pending_destinations: Goes through the index from one destination to the next: neither the number of items nor that
-- of destinations without pending items matters.
WITH RECURSIVE pending (destination) AS (
    SELECT MIN(destination) FROM item INDEXED BY item_pending WHERE state = 'pending'
    UNION ALL
    SELECT (
        SELECT MIN(destination) FROM item INDEXED BY item_pending
        WHERE state = 'pending' AND destination > pending.destination
    )
    FROM pending WHERE pending.destination IS NOT NULL
)
SELECT destination.*, (
    SELECT MIN(due_at) FROM item INDEXED BY item_waiting
    WHERE item.destination = destination.id AND item.state <> 'delivered' AND item.state = 'pending'
) AS due_at
FROM pending CROSS JOIN destination ON destination.id = pending.destination;

-- set_project
UPDATE destination SET project = :project, watermark = :watermark, created = :created WHERE id = :destination;

-- raise_watermark
UPDATE destination SET watermark = MAX(COALESCE(watermark, 0), :watermark)
WHERE id = (SELECT destination FROM batch WHERE id = :batch);

-- block: open | blocked -> blocked.
UPDATE destination
SET state = 'blocked', reason = :reason, passing = :passing, failures = failures + 1, retry_at = :retry_at
WHERE id = :destination;

-- unblock: blocked -> open: one destination, or all where none is given.
UPDATE destination SET state = 'open', reason = NULL, failures = 0, retry_at = 0
WHERE :destination IS NULL OR id = :destination;

-- has_delivered
SELECT 1 FROM item INDEXED BY item_delivered
WHERE state = 'delivered' AND delivered_at >= :since AND destination = :destination LIMIT 1;

-- add_scope: Only two of each destination: nobody asks for more, and whoever sends spans chooses the names.
INSERT INTO scope (destination, name) SELECT :destination, :name
WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM scope WHERE destination = :destination LIMIT 2)) < 2
ON CONFLICT (destination, name) DO NOTHING;

-- scopes
SELECT name FROM scope WHERE destination = :destination ORDER BY name LIMIT 2;

-- forget_destinations: Those without keys; the newest one stays, so that no id is given a second time.
DELETE FROM destination
WHERE id < (SELECT MAX(id) FROM destination)
      AND NOT EXISTS (SELECT 1 FROM item WHERE item.destination = destination.id)
      AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.destination = destination.id);
-- Scopes of destinations without items, and all beyond two, which older versions stored.
DELETE FROM scope WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.destination = scope.destination) OR (
    SELECT COUNT(*) FROM (SELECT 1 FROM scope AS other WHERE other.destination = scope.destination
                          AND other.name < scope.name LIMIT 2)
) = 2;

-- TIME

-- take_over: Blocked destinations are tried at once, and nothing waits until a clock that was set back shows that time
-- again. No item waits for 3000 s.
UPDATE destination SET retry_at = 0 WHERE state = 'blocked';
UPDATE item SET due_at = :now + 900 WHERE state = 'pending' AND due_at > :now + 3000;
UPDATE event SET taken_at = :now WHERE taken_at > :now;
UPDATE batch SET sent_at = MIN(sent_at, :now), looked_at = MIN(looked_at, :now) WHERE sent_at > :now OR looked_at > :now;
UPDATE watch SET look_at = :now + 900 WHERE look_at > :now + 86400;

-- shift_times: The clock was set by so many seconds.
UPDATE item INDEXED BY item_waiting SET due_at = due_at + :by, taken_at = taken_at + :by
WHERE destination IN (SELECT id FROM destination) AND state <> 'delivered'
      AND state IN ('pending', 'leased', 'uncertain', 'parked');
UPDATE event SET taken_at = taken_at + :by;
UPDATE batch SET sent_at = sent_at + :by, looked_at = looked_at + :by;
UPDATE watch SET look_at = look_at + :by;
UPDATE destination SET retry_at = retry_at + :by WHERE state = 'blocked';

-- COUNTERS

-- counters
SELECT name, value FROM fact;

-- set_counter
INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- add_to_counter
INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value;

-- is_used
SELECT 1 WHERE EXISTS (SELECT 1 FROM item) OR EXISTS (SELECT 1 FROM event) OR EXISTS (SELECT 1 FROM spool)
               OR EXISTS (SELECT 1 FROM fact);

-- OVERVIEW

-- not_done: Reads an index only: the records of 100,000 items are a gigabyte.
SELECT destination, state, COUNT(*) AS number, MIN(id) AS first FROM item INDEXED BY item_waiting
WHERE destination IN (SELECT id FROM destination) AND state <> 'delivered'
      AND state IN ('pending', 'leased', 'uncertain', 'parked')
GROUP BY destination, state;

-- taken_at
SELECT taken_at FROM item WHERE id = :id;

-- last_delivered_at
SELECT MAX(delivered_at) FROM item WHERE state = 'delivered';

-- states_of
SELECT state FROM item WHERE destination IN (SELECT id FROM destination) AND key = :key;

-- counts
SELECT destination, state, COUNT(*) AS number, MIN(taken_at) AS oldest FROM item GROUP BY destination, state;

-- parked_reasons
SELECT destination, reason, COUNT(*) AS number FROM item INDEXED BY item_waiting
WHERE destination IN (SELECT id FROM destination) AND state <> 'delivered' AND state = 'parked'
GROUP BY destination, reason ORDER BY number DESC LIMIT 20;
