-- Of which failures owners are still to be told, by subscription; `gathered` is 0 where they were told
-- lately of all. `last` is the newest failure.
CREATE TABLE alerts (
    handle          TEXT NOT NULL,
    subscription_id BLOB NOT NULL,
    due_at          INTEGER NOT NULL,
    gathered        INTEGER NOT NULL,
    since           INTEGER NOT NULL,
    last            BLOB NOT NULL,
    PRIMARY KEY (handle, subscription_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX alerts_by_time ON alerts (due_at);
