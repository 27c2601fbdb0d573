-- Deliveries of ordered subscriptions go one after the other by key, and not by subscription alone.

-- `ordering_key` is the event's, empty for events without one, and null for deliveries that wait for
-- nobody. `place` counts the deliveries of a key in the order in which they were committed.
-- `state` has one number more: -1, scheduled and waiting for an older one of its key; `state_at` is
-- when it is due once its turn has come. Of a key's unfinished deliveries only the first is anything
-- else, so `deliveries_due` holds those that may start and no others.
ALTER TABLE deliveries ADD COLUMN ordering_key TEXT;
ALTER TABLE deliveries ADD COLUMN place INTEGER;

UPDATE deliveries SET place = 0, ordering_key = COALESCE(
    (SELECT e.ordering_key FROM events AS e WHERE e.handle = deliveries.handle AND e.id = deliveries.event_id), '')
WHERE ordered = 1;

UPDATE deliveries SET place = places.place
FROM (
    SELECT handle, id, ROW_NUMBER() OVER (PARTITION BY handle, subscription_id, ordering_key ORDER BY id) AS place
    FROM deliveries WHERE ordered = 1 AND state <= 1
) AS places
WHERE deliveries.handle = places.handle AND deliveries.id = places.id;

UPDATE deliveries SET state = -1 WHERE ordered = 1 AND state = 0 AND place > 1;

-- What is unfinished of each key, first and last.
DROP INDEX deliveries_in_order;
CREATE INDEX deliveries_in_order ON deliveries (handle, subscription_id, ordering_key, place)
    WHERE ordered = 1 AND state <= 1;

-- Lanes whose subscription was removed, and whose deliveries are not all cancelled yet.
CREATE TABLE endings (
    handle          TEXT NOT NULL,
    subscription_id BLOB NOT NULL,
    PRIMARY KEY (handle, subscription_id)
) STRICT, WITHOUT ROWID;
