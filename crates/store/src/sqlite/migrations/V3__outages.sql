-- Since when a subscription does nothing but fail, for those that may be switched off for it. Kept
-- apart from the subscription, so that a receiver that comes and goes makes no new version of its
-- handle.
CREATE TABLE outages (
    handle          TEXT NOT NULL,
    subscription_id BLOB NOT NULL,
    since           INTEGER NOT NULL,
    warned_at       INTEGER, -- when the owner was told
    PRIMARY KEY (handle, subscription_id)
) STRICT, WITHOUT ROWID;
