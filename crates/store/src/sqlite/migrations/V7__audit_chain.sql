-- `before` and `after` are JSON texts without secrets. `hash` is over all other columns;
-- rows that are older than this step get theirs when the store is opened, and none later.
ALTER TABLE audit ADD COLUMN ip       TEXT;
ALTER TABLE audit ADD COLUMN before   TEXT;
ALTER TABLE audit ADD COLUMN after    TEXT;
ALTER TABLE audit ADD COLUMN previous BLOB;
ALTER TABLE audit ADD COLUMN hash     BLOB;

-- A handle's rows, newest first.
CREATE INDEX audit_by_handle ON audit (handle, number);

-- Against accidents: whoever may write the file can drop them, and the chain is for that.
CREATE TRIGGER audit_rows_do_not_change BEFORE UPDATE ON audit WHEN OLD.hash IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
