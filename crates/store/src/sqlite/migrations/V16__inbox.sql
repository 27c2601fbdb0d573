-- What the inbox of a handle holds. `version` grows with every item that comes and every batch that
-- goes, `last` is the number of the newest item there ever was, `items` is how many there are.
CREATE TABLE inboxes (
    handle  TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    items   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Items. Numbers count from 1 in each inbox, in the order of the commits.
CREATE TABLE inbox_items (
    handle     TEXT NOT NULL,
    number     INTEGER NOT NULL,
    id         BLOB NOT NULL,
    item_type  TEXT NOT NULL,
    title      TEXT NOT NULL,
    body       TEXT,
    data       BLOB,
    action_url TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX inbox_items_by_number ON inbox_items (handle, number);
CREATE UNIQUE INDEX inbox_items_by_id ON inbox_items (handle, id);

-- Retention.
CREATE INDEX inbox_items_by_age ON inbox_items (created_at);
CREATE INDEX inbox_items_by_end ON inbox_items (expires_at) WHERE expires_at IS NOT NULL;

-- How far a reader is: `read` items are not unread, `seen` items are not unseen.
CREATE TABLE inbox_readings (
    handle  TEXT NOT NULL,
    reader  TEXT NOT NULL,
    version INTEGER NOT NULL,
    read    INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    PRIMARY KEY (handle, reader)
) STRICT, WITHOUT ROWID;

-- What a reader did with an item. Who did nothing has no row.
CREATE TABLE inbox_marks (
    handle      TEXT NOT NULL,
    reader      TEXT NOT NULL,
    number      INTEGER NOT NULL,
    seen_at     INTEGER,
    read_at     INTEGER,
    archived_at INTEGER,
    was_read    INTEGER NOT NULL,
    PRIMARY KEY (handle, reader, number)
) STRICT, WITHOUT ROWID;

-- Retention: the marks of an item go with it.
CREATE INDEX inbox_marks_by_item ON inbox_marks (handle, number);
