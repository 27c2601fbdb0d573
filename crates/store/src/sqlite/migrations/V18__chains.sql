-- What a handle says of its chains. `version` is the handle's when it last changed.
CREATE TABLE rulebooks (
    handle   TEXT NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    rulebook BLOB NOT NULL
) STRICT;

-- The origins in rulebooks, for browsers that ask before they say whom they mean. `*` is every origin.
CREATE TABLE context_origins (
    handle TEXT NOT NULL,
    origin TEXT NOT NULL,
    PRIMARY KEY (handle, origin)
) STRICT, WITHOUT ROWID;
CREATE INDEX context_origins_by_origin ON context_origins (origin);

-- How far the ledger of a session has come: the number of its last signal, and how many it holds.
CREATE TABLE sessions (
    handle     TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence   INTEGER NOT NULL,
    signals    INTEGER NOT NULL,
    PRIMARY KEY (handle, session_id)
) STRICT, WITHOUT ROWID;

-- The ledgers. What rules look at comes first, so that they do not read what they do not look at.
CREATE TABLE signals (
    handle     TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sequence   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT,
    confidence REAL NOT NULL,
    source     TEXT,
    metadata   TEXT,
    PRIMARY KEY (handle, session_id, sequence)
) STRICT, WITHOUT ROWID;

-- Retention.
CREATE INDEX signals_by_age ON signals (at);

-- The last decision of a rule in a session, and until when the rule rests there.
CREATE TABLE cooldowns (
    handle      TEXT NOT NULL,
    session_id  TEXT NOT NULL,
    rule_id     TEXT NOT NULL,
    decision_id BLOB NOT NULL,
    decided_at  INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    PRIMARY KEY (handle, session_id, rule_id)
) STRICT, WITHOUT ROWID;

-- Retention.
CREATE INDEX cooldowns_by_end ON cooldowns (until);
