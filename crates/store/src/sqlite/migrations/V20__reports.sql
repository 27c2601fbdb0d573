-- Reports to whoever runs the service. `kind` is 0 support, 1 escalation, 2 content.
-- `handle` is there where the reporter showed a credential for it: such a report goes with the handle.
CREATE TABLE reports (
    id     BLOB NOT NULL PRIMARY KEY,
    kind   INTEGER NOT NULL,
    handle TEXT,
    report BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX reports_by_kind ON reports (kind, id);
CREATE INDEX reports_by_handle ON reports (handle) WHERE handle IS NOT NULL;
