-- What the sessions of a handle hold together: sessions with a signal, and the bytes of their signals and
-- of the decisions whose rules rest, each with 64 for what a row costs beside its texts. Changed by every
-- transaction that changes those; a handle without any has no row.
CREATE TABLE chain_totals (
    handle   TEXT NOT NULL PRIMARY KEY,
    sessions INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO chain_totals (handle, sessions, bytes)
SELECT handle, SUM(sessions), SUM(bytes) FROM (
    SELECT handle, 1 AS sessions, 0 AS bytes FROM sessions
    UNION ALL
    SELECT handle, 0, 64 + octet_length(session_id) + octet_length(key) + COALESCE(octet_length(value), 0)
        + COALESCE(octet_length(source), 0) + COALESCE(octet_length(metadata), 0) FROM signals
    UNION ALL
    SELECT handle, 0, 64 + octet_length(session_id) + octet_length(rule_id) FROM cooldowns
) GROUP BY handle;
