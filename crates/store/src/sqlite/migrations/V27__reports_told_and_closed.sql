-- Whether something is left to be done about a report.
ALTER TABLE reports ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;

CREATE INDEX reports_by_status ON reports (closed, id);
CREATE INDEX reports_by_status_and_kind ON reports (closed, kind, id);

-- What whoever runs the service was not told of yet: a row for each sort of report.
CREATE TABLE untold_reports (
    kind     INTEGER NOT NULL,
    stranger INTEGER NOT NULL,
    gathered INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_id  BLOB NOT NULL,
    due_at   INTEGER NOT NULL,
    PRIMARY KEY (kind, stranger)
) STRICT, WITHOUT ROWID;
