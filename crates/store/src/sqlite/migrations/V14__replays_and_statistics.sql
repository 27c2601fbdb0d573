-- The replay job that made a delivery.
ALTER TABLE deliveries ADD COLUMN replay_id BLOB;

-- A handle's dead, those that were replayed or discarded included: what is reconciled by age.
CREATE INDEX deliveries_dead ON deliveries (handle, id) WHERE state IN (4, 5);

-- Retention of jobs that have ended. The milliseconds are those of their record.
ALTER TABLE replays ADD COLUMN finished_at INTEGER;
UPDATE replays
    SET finished_at = unixepoch(json_extract(CAST(job AS TEXT), '$.finishedAt')) * 1000
    WHERE running = 0;
CREATE INDEX replays_ended ON replays (finished_at) WHERE running = 0;

-- What came of attempts, in spans of time: a subscription's `span` is 300 or 3600 seconds, and
-- `begun_at` is the second at which it began.
CREATE TABLE statistics (
    handle          TEXT NOT NULL,
    subscription_id BLOB NOT NULL,
    span            INTEGER NOT NULL,
    begun_at        INTEGER NOT NULL,
    tally           BLOB NOT NULL,
    PRIMARY KEY (handle, subscription_id, span, begun_at)
) STRICT, WITHOUT ROWID;

-- Retention.
CREATE INDEX statistics_by_age ON statistics (span, begun_at);
