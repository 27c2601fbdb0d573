-- Ids are 16 bytes that sort by time, times are milliseconds. Every key that a caller can name
-- begins with the handle, or is read together with one.

-- What the store knows about itself.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The version of a handle grows with every change to its subscriptions and tokens.
CREATE TABLE accounts (
    handle  TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Both blobs are sealed: endpoints and headers carry the subscriber's credentials.
CREATE TABLE subscriptions (
    handle       TEXT NOT NULL,
    id           BLOB NOT NULL,
    subscription BLOB NOT NULL,
    keys         BLOB NOT NULL,
    PRIMARY KEY (handle, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    handle       TEXT NOT NULL,
    id           BLOB NOT NULL,
    token        BLOB NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (handle, id)
) STRICT, WITHOUT ROWID;

-- Notes of use name a token without its handle.
CREATE INDEX tokens_by_id ON tokens (id);

-- A rowid table, unlike the others: payloads may be large, and here they stay in the row up to a
-- page instead of a quarter of one.
CREATE TABLE events (
    handle       TEXT NOT NULL,
    id           BLOB NOT NULL,
    event_type   TEXT NOT NULL,
    occurred_at  TEXT NOT NULL,
    accepted_at  INTEGER NOT NULL,
    origin       TEXT NOT NULL,
    ordering_key TEXT,
    payload      BLOB NOT NULL,
    unreferenced INTEGER NOT NULL -- 1: no delivery points at it
) STRICT;

-- One event, and a handle's events by age.
CREATE UNIQUE INDEX events_by_id ON events (handle, id);
-- Retention: what may be forgotten once it is old. Empty in good times.
CREATE INDEX events_unreferenced ON events (id) WHERE unreferenced = 1;

-- `state` is 0 scheduled, 1 in flight, 2 delivered, 3 cancelled, 4 dead letter, 5 dead and replayed
-- or discarded. `state_at` is the time that belongs to the state: due, end of lease, or end.
CREATE TABLE deliveries (
    handle            TEXT NOT NULL,
    id                BLOB NOT NULL,
    event_id          BLOB NOT NULL,
    event_type        TEXT NOT NULL,
    origin            TEXT NOT NULL,
    subscription_id   BLOB NOT NULL,
    ordered           INTEGER NOT NULL,
    replay_of         BLOB,
    endpoint_override TEXT,
    state             INTEGER NOT NULL,
    state_at          INTEGER NOT NULL,
    cause             TEXT,
    attempts_made     INTEGER NOT NULL,
    interruptions     INTEGER NOT NULL,
    last_outcome      TEXT,
    discarded_at      INTEGER,
    token             INTEGER NOT NULL,
    replayed_by       BLOB,
    PRIMARY KEY (handle, id)
) STRICT, WITHOUT ROWID;

-- A delivery that is born in flight and delivered at the first attempt writes the first two of
-- these once, passes through the third, and ends in the fourth. The others hold only what waits or
-- what died.

-- The log of a subscription, and when it was last triggered.
CREATE INDEX deliveries_by_subscription ON deliveries (subscription_id, handle, id);
-- The deliveries of an event, and whether it has any left.
CREATE INDEX deliveries_by_event ON deliveries (event_id, handle, id);
-- Leases that are void.
CREATE INDEX deliveries_in_flight ON deliveries (state_at) WHERE state = 1;
-- Retention.
CREATE INDEX deliveries_finished ON deliveries (state, state_at) WHERE state >= 2;
-- Lanes with work, and what is due in each.
CREATE INDEX deliveries_due ON deliveries (handle, subscription_id, state_at, id) WHERE state = 0;
-- The head of a lane that must stay in order.
CREATE INDEX deliveries_in_order ON deliveries (handle, subscription_id, id) WHERE ordered = 1 AND state <= 1;
-- A handle's dead letters.
CREATE INDEX deliveries_dead_letters ON deliveries (handle, id) WHERE state = 4;

-- Keyed by the delivery alone, so that the attempts of all handles are appended to the same pages.
CREATE TABLE attempts (
    delivery_id BLOB NOT NULL,
    number      INTEGER NOT NULL,
    record      BLOB NOT NULL,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE replays (
    handle  TEXT NOT NULL,
    id      BLOB NOT NULL,
    running INTEGER NOT NULL,
    job     BLOB NOT NULL,
    PRIMARY KEY (handle, id)
) STRICT, WITHOUT ROWID;

-- What to go on with after a restart.
CREATE INDEX replays_running ON replays (handle, id) WHERE running = 1;

-- `body` is sealed: an answer may hold a secret that is shown once.
CREATE TABLE idempotency (
    scope       TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    status      INTEGER NOT NULL,
    body        BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Retention.
CREATE INDEX idempotency_by_end ON idempotency (expires_at);

-- Append-only.
CREATE TABLE audit (
    number     INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    handle     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
