-- What the operator says of a handle, as JSON; none for one that exists by virtue of credentials.
ALTER TABLE accounts ADD COLUMN account BLOB;
-- 0: the handle is there. 1: it was deleted, and what it had is being removed. 2: nothing is left.
ALTER TABLE accounts ADD COLUMN removal INTEGER NOT NULL DEFAULT 0;

-- What to go on with after a restart.
CREATE INDEX accounts_leaving ON accounts (handle) WHERE removal = 1;

-- How many writes a plan has paid for. `day` is YYYYMMDD where the handle is.
CREATE TABLE writes_by_day (
    handle TEXT NOT NULL,
    day    INTEGER NOT NULL,
    used   INTEGER NOT NULL,
    PRIMARY KEY (handle, day)
) STRICT, WITHOUT ROWID;
