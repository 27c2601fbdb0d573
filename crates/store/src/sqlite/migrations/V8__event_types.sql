-- The catalogue of event types. A rowid table: schemas may be large.
CREATE TABLE event_types (
    handle     TEXT NOT NULL,
    event_type TEXT NOT NULL,
    entry      BLOB NOT NULL,
    PRIMARY KEY (handle, event_type)
) STRICT;

-- The version of the handle at which its catalogue last changed; no row, if there never was one.
CREATE TABLE catalogs (
    handle  TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
