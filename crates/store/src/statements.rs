//! The statements of the SQL engines, each said once.
//!
//! None of them decides: every state, time and count is given to it. Parameters are `$1` to `$n`
//! and first appear in that order, because `SQLite` numbers them by first appearance: only so may
//! they be bound by position. Delivery states are the numbers that the schema explains. Searches
//! that must not read more than they answer name their index: they fail when it is missing.

macro_rules! delivery_columns {
    () => {
        "handle, id, event_id, event_type, origin, subscription_id, ordered, replay_of, endpoint_override, \
         state, state_at, cause, attempts_made, interruptions, last_outcome, discarded_at, token, replayed_by, \
         ordering_key, place, replay_id"
    };
}

macro_rules! event_columns {
    () => {
        "handle, id, event_type, occurred_at, accepted_at, origin, ordering_key, payload, trace"
    };
}

macro_rules! audit_columns {
    () => {
        "number, at, handle, actor, action, object, request_id, ip, before, after, previous, hash"
    };
}

macro_rules! item_columns {
    () => {
        "i.number, i.id, i.item_type, i.title, i.body, i.data, i.action_url, i.created_at, i.expires_at"
    };
}

macro_rules! signal_bytes {
    () => {
        "64 + octet_length(session_id) + octet_length(key) + COALESCE(octet_length(value), 0)
            + COALESCE(octet_length(source), 0) + COALESCE(octet_length(metadata), 0)"
    };
}

macro_rules! cooldown_bytes {
    () => {
        "64 + octet_length(session_id) + octet_length(rule_id)"
    };
}

macro_rules! mark_columns {
    () => {
        "m.seen_at, m.read_at, m.archived_at, m.was_read"
    };
}

macro_rules! statements {
    ($($name:ident = $($sql:expr),+;)*) => {
        $(pub(crate) const $name: &str = concat!($($sql),+);)*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name),)*];
    };
}

// Writes in general.
statements! {
    RENAME_STEP = "UPDATE refinery_schema_history SET name = $1, checksum = $2
        WHERE version = $3 AND name = $4 AND checksum = $5";
    DROP_TEXT_TRACES = "ALTER TABLE events DROP COLUMN trace";
    META = "SELECT value FROM meta WHERE name = $1";
    PUT_META = "INSERT INTO meta (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    SEALED_SUBSCRIPTIONS = "SELECT handle, id, subscription, keys FROM subscriptions
        WHERE (handle, id) > ($1, $2) ORDER BY handle, id LIMIT $3";
    RESEAL_SUBSCRIPTION = "UPDATE subscriptions SET subscription = $1, keys = $2 WHERE handle = $3 AND id = $4";
    SEALED_ANSWERS = "SELECT scope, body FROM idempotency WHERE scope > $1 ORDER BY scope LIMIT $2";
    RESEAL_ANSWER = "UPDATE idempotency SET body = $1 WHERE scope = $2";
    SEEN = "SELECT fingerprint, status, body, expires_at FROM idempotency WHERE scope = $1 AND expires_at > $2";
    REMEMBER = "INSERT INTO idempotency (scope, fingerprint, status, body, expires_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (scope) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
            body = excluded.body, expires_at = excluded.expires_at";
    AUDIT = "INSERT INTO audit (", audit_columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    AUDIT_AFTER = "SELECT ", audit_columns!(), " FROM audit WHERE number > $1 ORDER BY number LIMIT $2";
    AUDIT_CHAIN = "SELECT ", audit_columns!(), " FROM audit ORDER BY number";
    CHAIN_AUDIT = "UPDATE audit SET previous = $1, hash = $2 WHERE number = $3";

    // The event log.
    VERSION = "SELECT version FROM accounts WHERE handle = $1";
    INSERT_EVENT = "INSERT INTO events (", event_columns!(), ", unreferenced)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    EVENT = "SELECT ", event_columns!(), " FROM events WHERE handle = $1 AND id = $2";
    EVENT_EXISTS = "SELECT 1 FROM events WHERE handle = $1 AND id = $2";
    REFER_TO_EVENT = "UPDATE events SET unreferenced = 0 WHERE handle = $1 AND id = $2 AND unreferenced = 1";
    INSERT_DELIVERY = "INSERT INTO deliveries (", delivery_columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    LAST_PLACE = "SELECT place FROM deliveries INDEXED BY deliveries_in_order
        WHERE handle = $1 AND subscription_id = $2 AND ordering_key = $3 AND ordered = 1 AND state <= 1
        ORDER BY place DESC LIMIT 1";
    UNTOUCHED = "SELECT 1 FROM deliveries
        WHERE handle = $1 AND id = $2 AND replayed_by IS NULL AND discarded_at IS NULL";
    DELIVERED_TO = "SELECT 1 FROM deliveries INDEXED BY deliveries_by_event
        WHERE event_id = $1 AND handle = $2 AND subscription_id = $3";
    UNDELIVERED = "SELECT ", event_columns!(), ", EXISTS (
            SELECT 1 FROM deliveries INDEXED BY deliveries_by_event
            WHERE deliveries.event_id = events.id AND deliveries.handle = events.handle
                AND deliveries.subscription_id = $1) AS delivered
        FROM events INDEXED BY events_by_id WHERE handle = $2 AND id > $3 AND id < $4 ORDER BY id LIMIT $5";
    MARK_REPLAYED = "UPDATE deliveries SET replayed_by = $1, state = CASE state WHEN 4 THEN 5 ELSE state END
        WHERE handle = $2 AND id = $3";

    // The delivery queue.
    NEXT_LANE = "SELECT handle, subscription_id, state_at FROM deliveries INDEXED BY deliveries_due
        WHERE state = 0 AND (handle, subscription_id) > ($1, $2)
        ORDER BY handle, subscription_id, state_at LIMIT 1";
    DUE = "SELECT ", delivery_columns!(), " FROM deliveries INDEXED BY deliveries_due
        WHERE handle = $1 AND subscription_id = $2 AND state = 0 AND state_at <= $3
        ORDER BY state_at, id LIMIT $4";
    NEXT_DUE = "SELECT state_at FROM deliveries INDEXED BY deliveries_due
        WHERE handle = $1 AND subscription_id = $2 AND state = 0
        ORDER BY state_at, id LIMIT 1";
    QUEUE = "SELECT subscription_id, ordering_key FROM deliveries WHERE handle = $1 AND id = $2";
    FIRST_IN_ORDER = "SELECT id, state, state_at FROM deliveries INDEXED BY deliveries_in_order
        WHERE handle = $1 AND subscription_id = $2 AND ordering_key = $3 AND ordered = 1 AND state <= 1
        ORDER BY place LIMIT 1";
    BRING_UP = "UPDATE deliveries SET state = 0 WHERE handle = $1 AND id = $2 AND state = -1";
    IN_FLIGHT = "SELECT ", delivery_columns!(), " FROM deliveries INDEXED BY deliveries_in_flight
        WHERE state = 1 AND state_at <= $1";
    LEASE = "UPDATE deliveries SET state = 1, state_at = $1, token = $2 WHERE handle = $3 AND id = $4";
    HOLDS = "SELECT 1 FROM deliveries WHERE handle = $1 AND id = $2 AND token = $3 AND state = 1";
    SETTLE = "UPDATE deliveries
        SET state = $1, state_at = $2, cause = $3, attempts_made = $4, last_outcome = COALESCE($5, last_outcome)
        WHERE handle = $6 AND id = $7 AND token = $8 AND state = 1";
    RELEASE = "UPDATE deliveries SET state = 0, state_at = $1
        WHERE handle = $2 AND id = $3 AND token = $4 AND state = 1";
    TAKE_BACK = "UPDATE deliveries SET state = $1, state_at = $2, interruptions = $3, last_outcome = $4
        WHERE handle = $5 AND id = $6";
    TAKE_BACK_UNREAD = "UPDATE deliveries SET state = $1, state_at = $2 WHERE handle = $3 AND id = $4";
    INSERT_ATTEMPT = "INSERT INTO attempts (delivery_id, number, record) VALUES ($1, $2, $3)";

    // The delivery log.
    DELIVERY = "SELECT ", delivery_columns!(), " FROM deliveries WHERE handle = $1 AND id = $2";
    ATTEMPTS = "SELECT record FROM attempts
        WHERE EXISTS (SELECT 1 FROM deliveries WHERE handle = $1 AND id = $2) AND delivery_id = $2
        ORDER BY number";
    DISCARD = "UPDATE deliveries SET state = 5, discarded_at = $1 WHERE handle = $2 AND id = $3 AND state = 4";
    NEWEST = "SELECT id FROM deliveries INDEXED BY deliveries_by_subscription
        WHERE subscription_id = $1 AND handle = $2 ORDER BY id DESC LIMIT 1";

    // The directory.
    PUT_VERSION = "INSERT INTO accounts (handle, version) VALUES ($1, $2)
        ON CONFLICT (handle) DO UPDATE SET version = excluded.version";
    SUBSCRIPTIONS = "SELECT id, subscription, keys FROM subscriptions WHERE handle = $1 ORDER BY id";
    PUT_SUBSCRIPTION = "INSERT INTO subscriptions (handle, id, subscription, keys) VALUES ($1, $2, $3, $4)
        ON CONFLICT (handle, id) DO UPDATE SET subscription = excluded.subscription, keys = excluded.keys";
    REMOVE_SUBSCRIPTION = "DELETE FROM subscriptions WHERE handle = $1 AND id = $2";
    CANCEL_SCHEDULED = "UPDATE deliveries SET state = 3, state_at = $1 WHERE (handle, id) IN
        (SELECT handle, id FROM deliveries INDEXED BY deliveries_due
            WHERE handle = $2 AND subscription_id = $3 AND state = 0 ORDER BY state_at, id LIMIT $4)";
    CANCEL_WAITING = "UPDATE deliveries SET state = 3, state_at = $1 WHERE (handle, id) IN
        (SELECT handle, id FROM deliveries INDEXED BY deliveries_in_order
            WHERE handle = $2 AND subscription_id = $3 AND ordered = 1 AND state <= 1 AND state = -1
            ORDER BY ordering_key, place LIMIT $4)";
    BEGIN_ENDING = "INSERT INTO endings (handle, subscription_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    ENDING = "SELECT handle, subscription_id FROM endings ORDER BY handle, subscription_id LIMIT 1";
    END = "DELETE FROM endings WHERE handle = $1 AND subscription_id = $2";
    OUTAGES = "SELECT handle, subscription_id, since, warned_at FROM outages ORDER BY handle, subscription_id";
    PUT_OUTAGE = "INSERT INTO outages (handle, subscription_id, since, warned_at)
        SELECT handle, id, $1, $2 FROM subscriptions WHERE handle = $3 AND id = $4
        ON CONFLICT (handle, subscription_id) DO UPDATE SET since = excluded.since, warned_at = excluded.warned_at";
    END_OUTAGE = "DELETE FROM outages WHERE handle = $1 AND subscription_id = $2";
    TOKENS = "SELECT token, last_used_at FROM tokens WHERE handle = $1 ORDER BY id";
    HOLDER_OF_TOKEN = "SELECT handle FROM tokens INDEXED BY tokens_by_id WHERE id = $1";
    ADD_TOKEN = "INSERT INTO tokens (handle, id, token, last_used_at) VALUES ($1, $2, $3, $4)";
    REVOKE_TOKEN = "DELETE FROM tokens WHERE handle = $1 AND id = $2";
    TOUCH_TOKEN = "UPDATE tokens SET last_used_at = $1 WHERE id = $2";
    EVENT_TYPES = "SELECT entry FROM event_types WHERE handle = $1 ORDER BY event_type";
    PUT_EVENT_TYPE = "INSERT INTO event_types (handle, event_type, entry) VALUES ($1, $2, $3)
        ON CONFLICT (handle, event_type) DO UPDATE SET entry = excluded.entry";
    REMOVE_EVENT_TYPE = "DELETE FROM event_types WHERE handle = $1 AND event_type = $2";
    CATALOG_VERSION = "SELECT version FROM catalogs WHERE handle = $1";
    PUT_CATALOG = "INSERT INTO catalogs (handle, version) VALUES ($1, $2)
        ON CONFLICT (handle) DO UPDATE SET version = excluded.version";

    // Accounts. Nothing of a handle outlives it but the row of its account, the numbers of its inbox and
    // its audit log: a new table with a handle in it has its `CLEAR_…` here.
    ACCOUNT = "SELECT account FROM accounts WHERE handle = $1";
    ACCOUNTS = "SELECT handle, version, account FROM accounts WHERE handle > $1 AND removal < 2
        ORDER BY handle LIMIT $2";
    PUT_ACCOUNT = "INSERT INTO accounts (handle, version, account, removal) VALUES ($1, 0, $2, $3)
        ON CONFLICT (handle) DO UPDATE SET account = excluded.account, removal = excluded.removal";
    LEAVING = "SELECT handle FROM accounts INDEXED BY accounts_leaving WHERE removal = 1 ORDER BY handle";
    DRAWN = "SELECT used FROM writes_by_day WHERE handle = $1 AND day = $2";
    DRAW = "INSERT INTO writes_by_day (handle, day, used) VALUES ($1, $2, $3)
        ON CONFLICT (handle, day) DO UPDATE SET used = excluded.used";
    FORGET_DRAWN = "DELETE FROM writes_by_day WHERE handle = $1 AND day < $2";
    CLEARED_DELIVERIES = "SELECT id FROM deliveries WHERE handle = $1 LIMIT $2";
    CLEAR_EVENTS = "DELETE FROM events WHERE rowid IN (SELECT rowid FROM events WHERE handle = $1 LIMIT $2)";
    CLEAR_SUBSCRIPTIONS = "DELETE FROM subscriptions WHERE handle = $1 AND id IN
        (SELECT id FROM subscriptions WHERE handle = $1 LIMIT $2)";
    CLEAR_OUTAGES = "DELETE FROM outages WHERE handle = $1 AND subscription_id IN
        (SELECT subscription_id FROM outages WHERE handle = $1 LIMIT $2)";
    CLEAR_ENDINGS = "DELETE FROM endings WHERE handle = $1 AND subscription_id IN
        (SELECT subscription_id FROM endings WHERE handle = $1 LIMIT $2)";
    CLEAR_TOKENS = "DELETE FROM tokens WHERE handle = $1 AND id IN
        (SELECT id FROM tokens WHERE handle = $1 LIMIT $2)";
    CLEAR_EVENT_TYPES = "DELETE FROM event_types WHERE rowid IN
        (SELECT rowid FROM event_types WHERE handle = $1 LIMIT $2)";
    CLEAR_CATALOG = "DELETE FROM catalogs WHERE handle = $1 AND $2 > 0";
    CLEAR_REPLAYS = "DELETE FROM replays WHERE handle = $1 AND id IN
        (SELECT id FROM replays WHERE handle = $1 LIMIT $2)";
    CLEAR_VOICE_NOTES = "DELETE FROM voice_notes WHERE handle = $1 AND id IN
        (SELECT id FROM voice_notes WHERE handle = $1 LIMIT $2)";
    CLEAR_REPORTS = "DELETE FROM reports WHERE id IN
        (SELECT id FROM reports INDEXED BY reports_by_handle WHERE handle = $1 LIMIT $2)";
    CLEAR_TALLIES = "DELETE FROM statistics WHERE (handle, subscription_id, span, begun_at) IN
        (SELECT handle, subscription_id, span, begun_at FROM statistics WHERE handle = $1 LIMIT $2)";
    CLEAR_DRAWN = "DELETE FROM writes_by_day WHERE handle = $1 AND day IN
        (SELECT day FROM writes_by_day WHERE handle = $1 LIMIT $2)";
    CLEAR_KEYS = "DELETE FROM idempotency WHERE scope IN
        (SELECT scope FROM idempotency WHERE scope >= $1 AND scope < $2 LIMIT $3)";
    CLEAR_ALERTS = "DELETE FROM alerts WHERE handle = $1 AND subscription_id IN
        (SELECT subscription_id FROM alerts WHERE handle = $1 LIMIT $2)";

    // What handles know of mailboxes.
    MAILBOX = "SELECT known FROM mailboxes WHERE handle = $1 AND mailbox = $2";
    PUT_MAILBOX = "INSERT INTO mailboxes (handle, mailbox, known) VALUES ($1, $2, $3)
        ON CONFLICT (handle, mailbox) DO UPDATE SET known = excluded.known";
    FORGET_MAILBOX = "DELETE FROM mailboxes WHERE handle = $1 AND mailbox = $2";
    CLEAR_MAILBOXES = "DELETE FROM mailboxes WHERE handle = $1 AND mailbox IN
        (SELECT mailbox FROM mailboxes WHERE handle = $1 LIMIT $2)";

    // What owners are still to be told of.
    ALERT = "SELECT handle, due_at, gathered, since, last FROM alerts WHERE handle = $1 AND subscription_id = $2";
    PUT_ALERT = "INSERT INTO alerts (handle, subscription_id, due_at, gathered, since, last)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (handle, subscription_id) DO UPDATE
        SET due_at = excluded.due_at, gathered = excluded.gathered, since = excluded.since, last = excluded.last";
    DUE_ALERTS = "SELECT handle, due_at, gathered, since, last FROM alerts INDEXED BY alerts_by_time
        WHERE due_at <= $1 ORDER BY due_at, handle, subscription_id LIMIT $2";
    NEXT_ALERT = "SELECT MIN(due_at) FROM alerts INDEXED BY alerts_by_time";
    FORGET_ALERTS = "DELETE FROM alerts WHERE (handle, subscription_id) IN
        (SELECT handle, subscription_id FROM alerts INDEXED BY alerts_by_time
            WHERE due_at <= $1 AND gathered = 0 LIMIT $2)";

    CLEAR_INBOX_MARKS = "DELETE FROM inbox_marks WHERE (handle, reader, number) IN
        (SELECT handle, reader, number FROM inbox_marks WHERE handle = $1 LIMIT $2)";
    CLEAR_INBOX_READINGS = "DELETE FROM inbox_readings WHERE handle = $1 AND reader IN
        (SELECT reader FROM inbox_readings WHERE handle = $1 LIMIT $2) RETURNING version, read, seen";
    CLEAR_INBOX_ITEMS = "DELETE FROM inbox_items WHERE rowid IN
        (SELECT rowid FROM inbox_items WHERE handle = $1 LIMIT $2)";
    CLEAR_INBOX_LEAVING = "DELETE FROM inbox_leaving WHERE handle = $1";

    // Inboxes.
    INBOX = "SELECT version, last, items FROM inboxes WHERE handle = $1";
    PUT_INBOX = "INSERT INTO inboxes (handle, version, last, items) VALUES ($1, $2, $3, $4)
        ON CONFLICT (handle) DO UPDATE SET version = excluded.version, last = excluded.last, items = excluded.items";
    PUT_INBOX_ITEM = "INSERT INTO inbox_items
        (handle, number, id, item_type, title, body, data, action_url, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    INBOX_READING = "SELECT version, read, seen FROM inbox_readings WHERE handle = $1 AND reader = $2";
    PUT_INBOX_READING = "INSERT INTO inbox_readings (handle, reader, version, read, seen)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (handle, reader) DO UPDATE SET version = excluded.version, read = excluded.read,
            seen = excluded.seen";
    PUT_INBOX_MARK = "INSERT INTO inbox_marks (handle, reader, number, seen_at, read_at, archived_at, was_read)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (handle, reader, number) DO UPDATE SET seen_at = excluded.seen_at, read_at = excluded.read_at,
            archived_at = excluded.archived_at, was_read = excluded.was_read";
    INBOX_ITEMS = "SELECT ", item_columns!(), ", ", mark_columns!(), "
        FROM inbox_items AS i INDEXED BY inbox_items_by_number
        LEFT JOIN inbox_marks AS m ON m.reader = $1 AND m.handle = i.handle AND m.number = i.number
        WHERE i.handle = $2 AND i.number <= $3 AND i.number >= $4 AND ($5 IS NULL OR i.item_type = $5)
            AND ($6 IS NULL OR (m.read_at IS NULL) = $6) AND ($7 IS NULL OR (m.archived_at IS NOT NULL) = $7)
        ORDER BY i.number DESC LIMIT $8";
    NEWEST_INBOX_ITEM_BELOW = "SELECT number FROM inbox_items INDEXED BY inbox_items_by_number
        WHERE handle = $1 AND number < $2 ORDER BY number DESC LIMIT 1";
    OLDEST_INBOX_ITEMS_ABOVE = "SELECT handle, number FROM inbox_items INDEXED BY inbox_items_by_number
        WHERE handle = $1 AND number > $2 ORDER BY number LIMIT $3";
    INBOX_ITEM = "SELECT ", item_columns!(), ", ", mark_columns!(), "
        FROM inbox_items AS i INDEXED BY inbox_items_by_id
        LEFT JOIN inbox_marks AS m ON m.reader = $1 AND m.handle = i.handle AND m.number = i.number
        WHERE i.handle = $2 AND i.id = $3";
    INBOX_UNREAD = "SELECT i.number, ", mark_columns!(), "
        FROM inbox_items AS i INDEXED BY inbox_items_by_number
        LEFT JOIN inbox_marks AS m ON m.reader = $1 AND m.handle = i.handle AND m.number = i.number
        WHERE i.handle = $2 AND i.number >= $3 AND i.number <= $4 AND i.created_at <= $5
            AND m.read_at IS NULL AND m.archived_at IS NULL
        ORDER BY i.number LIMIT $6";
    INBOX_NEWS = "SELECT ", item_columns!(), " FROM inbox_items AS i INDEXED BY inbox_items_by_number
        WHERE i.handle = $1 AND i.number > $2 ORDER BY i.number LIMIT $3";
    OLD_INBOX_ITEMS = "SELECT handle, number FROM inbox_items INDEXED BY inbox_items_by_age
        WHERE created_at < $1 ORDER BY created_at LIMIT $2";
    ENDED_INBOX_ITEMS = "SELECT handle, number FROM inbox_items INDEXED BY inbox_items_by_end
        WHERE expires_at IS NOT NULL AND expires_at <= $1 AND created_at >= $2 ORDER BY expires_at LIMIT $3";
    OVERFULL_INBOXES = "SELECT handle, items FROM inboxes INDEXED BY inboxes_by_items
        WHERE items > $1 ORDER BY items, handle LIMIT $2";
    INBOX_MARKS_OF_ITEM = "SELECT m.reader, ", mark_columns!(), "
        FROM inbox_marks AS m INDEXED BY inbox_marks_by_item WHERE m.handle = $1 AND m.number = $2
        ORDER BY m.reader LIMIT $3";
    INBOX_MARK = "SELECT ", mark_columns!(), " FROM inbox_marks AS m
        WHERE m.handle = $1 AND m.reader = $2 AND m.number = $3";
    FORGET_INBOX_MARK = "DELETE FROM inbox_marks WHERE handle = $1 AND reader = $2 AND number = $3";
    LEAVING_INBOX_ITEMS = "SELECT handle, number FROM inbox_leaving ORDER BY handle, number LIMIT $1";
    LEAVING_OF_INBOX = "SELECT number FROM inbox_leaving WHERE handle = $1 ORDER BY number";
    BEGIN_LEAVING = "INSERT INTO inbox_leaving (handle, number) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    END_LEAVING = "DELETE FROM inbox_leaving WHERE handle = $1 AND number = $2";
    FORGET_INBOX_ITEM = "DELETE FROM inbox_items WHERE handle = $1 AND number = $2";

    CLEAR_RULEBOOK = "DELETE FROM rulebooks WHERE handle = $1 AND $2 > 0";
    CLEAR_ORIGINS = "DELETE FROM context_origins WHERE handle = $1 AND origin IN
        (SELECT origin FROM context_origins WHERE handle = $1 LIMIT $2)";
    CLEAR_SESSIONS = "DELETE FROM sessions WHERE handle = $1 AND session_id IN
        (SELECT session_id FROM sessions WHERE handle = $1 LIMIT $2)";
    CLEAR_SIGNALS = "DELETE FROM signals WHERE (handle, session_id, sequence) IN
        (SELECT handle, session_id, sequence FROM signals WHERE handle = $1 LIMIT $2)
        RETURNING handle, ", signal_bytes!();
    CLEAR_COOLDOWNS = "DELETE FROM cooldowns WHERE (handle, session_id, rule_id) IN
        (SELECT handle, session_id, rule_id FROM cooldowns WHERE handle = $1 LIMIT $2)
        RETURNING handle, ", cooldown_bytes!();

    // Chains.
    RULEBOOK = "SELECT version, rulebook FROM rulebooks WHERE handle = $1";
    RULEBOOK_VERSION = "SELECT version FROM rulebooks WHERE handle = $1";
    PUT_RULEBOOK = "INSERT INTO rulebooks (handle, version, rulebook) VALUES ($1, $2, $3)
        ON CONFLICT (handle) DO UPDATE SET version = excluded.version, rulebook = excluded.rulebook";
    REMOVE_ORIGINS = "DELETE FROM context_origins WHERE handle = $1";
    PUT_ORIGIN = "INSERT INTO context_origins (handle, origin) VALUES ($1, $2)";
    ORIGIN_OF_ANYBODY = "SELECT 1 FROM context_origins INDEXED BY context_origins_by_origin
        WHERE origin IN ($1, '*') LIMIT 1";
    IS_KNOWN = "SELECT 1 FROM accounts WHERE handle = $1
        UNION ALL SELECT 1 FROM sessions WHERE handle = $1
        UNION ALL SELECT 1 FROM events INDEXED BY events_by_id WHERE handle = $1 LIMIT 1";
    PROGRESS = "SELECT sequence, signals FROM sessions WHERE handle = $1 AND session_id = $2";
    PUT_SESSION = "INSERT INTO sessions (handle, session_id, sequence, signals) VALUES ($1, $2, $3, $4)
        ON CONFLICT (handle, session_id) DO UPDATE SET sequence = excluded.sequence, signals = excluded.signals";
    INSERT_SIGNAL = "INSERT INTO signals
        (handle, session_id, sequence, at, key, value, confidence, source, metadata)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    EVIDENCE = "SELECT sequence, at, key, value, confidence FROM signals
        WHERE handle = $1 AND session_id = $2 AND at > $3 ORDER BY sequence";
    SIGNALS = "SELECT sequence, at, key, value, confidence, source, metadata FROM signals
        WHERE handle = $1 AND session_id = $2 AND at > $3 ORDER BY sequence";
    LAST_DECISION = "SELECT decision_id FROM cooldowns WHERE handle = $1 AND session_id = $2 AND rule_id = $3";
    COOLDOWNS = "SELECT rule_id, decision_id, decided_at, until FROM cooldowns
        WHERE handle = $1 AND session_id = $2 ORDER BY rule_id";
    PUT_COOLDOWN = "INSERT INTO cooldowns (handle, session_id, rule_id, decision_id, decided_at, until)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (handle, session_id, rule_id) DO UPDATE SET
            decision_id = excluded.decision_id, decided_at = excluded.decided_at, until = excluded.until";
    CHAIN_HOLDINGS = "SELECT sessions, bytes FROM chain_totals WHERE handle = $1";
    PUT_CHAIN_HOLDINGS = "INSERT INTO chain_totals (handle, sessions, bytes) VALUES ($1, $2, $3)
        ON CONFLICT (handle) DO UPDATE SET sessions = excluded.sessions, bytes = excluded.bytes";
    CLEAR_CHAIN_TOTALS = "DELETE FROM chain_totals WHERE handle = $1";
    SESSIONS_HELD = "SELECT COALESCE(SUM(sessions), 0) FROM chain_totals";
    OLD_SIGNALS = "SELECT handle, session_id, sequence, ", signal_bytes!(), " FROM signals INDEXED BY signals_by_age
        WHERE at <= $1 ORDER BY at, handle, session_id, sequence LIMIT $2";
    FORGET_SIGNAL = "DELETE FROM signals WHERE handle = $1 AND session_id = $2 AND sequence = $3";
    SHRINK_SESSION = "UPDATE sessions SET signals = signals - 1 WHERE handle = $1 AND session_id = $2";
    END_SESSION = "DELETE FROM sessions WHERE handle = $1 AND session_id = $2 AND signals = 0";
    FORGET_COOLDOWNS = "DELETE FROM cooldowns WHERE (handle, session_id, rule_id) IN
        (SELECT handle, session_id, rule_id FROM cooldowns INDEXED BY cooldowns_by_end
        WHERE until <= $1 ORDER BY until, handle, session_id, rule_id LIMIT $2)
        RETURNING handle, ", cooldown_bytes!();

    // Replay jobs.
    INSERT_REPLAY = "INSERT INTO replays (handle, id, running, finished_at, job) VALUES ($1, $2, $3, $4, $5)";
    REPLAY = "SELECT job FROM replays WHERE handle = $1 AND id = $2";
    REPLAY_RUNS = "SELECT 1 FROM replays WHERE handle = $1 AND id = $2 AND running = 1";
    RUNNING_REPLAYS = "SELECT job FROM replays WHERE running = 1 ORDER BY handle, id";
    MOVE_REPLAY = "UPDATE replays SET running = $1, finished_at = $2, job = $3
        WHERE handle = $4 AND id = $5 AND running = 1";

    // The context store.
    COUNT_SOURCES = "SELECT COUNT(*) FROM context_sources WHERE handle = $1";
    INSERT_SOURCE = "INSERT INTO context_sources
        (handle, id, revision, syncing, generation, filling, source, config) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    SOURCE = "SELECT source FROM context_sources WHERE handle = $1 AND id = $2";
    SOURCE_CONFIG = "SELECT config FROM context_sources WHERE handle = $1 AND id = $2";
    SYNCING_SOURCES = "SELECT source FROM context_sources WHERE syncing = 1 ORDER BY handle, id";
    SEARCHABLE_SOURCES = "SELECT id, generation FROM context_sources WHERE handle = $1 AND generation > 0";
    SOURCES_TO_CLEAR = "SELECT source FROM context_sources WHERE handle = $1 LIMIT $2";
    SOURCE_IS_AT = "SELECT 1 FROM context_sources WHERE handle = $1 AND id = $2 AND revision = $3";
    SOURCE_FILLS = "SELECT 1 FROM context_sources WHERE handle = $1 AND id = $2 AND filling = $3";
    PUT_SOURCE = "UPDATE context_sources SET revision = $1, syncing = $2, generation = $3, filling = $4, source = $5
        WHERE handle = $6 AND id = $7";
    CLEAR_SOURCE = "DELETE FROM context_sources WHERE handle = $1 AND id = $2";
    SEALED_SOURCES = "SELECT handle, id, config FROM context_sources
        WHERE (handle, id) > ($1, $2) ORDER BY handle, id LIMIT $3";
    RESEAL_SOURCE = "UPDATE context_sources SET config = $1 WHERE handle = $2 AND id = $3";
    INSERT_CHUNK = "INSERT INTO context_chunks (handle, source_id, generation, chunk) VALUES ($1, $2, $3, $4)";
    INSERT_WORDS = "INSERT INTO context_index (rowid, owner, words) VALUES ($1, $2, $3)";
    SEARCH = "SELECT source_id, chunk FROM
        (SELECT rowid AS best, bm25(context_index, 0.0, 1.0) AS score FROM context_index
            WHERE context_index MATCH $1 ORDER BY score, best LIMIT $2 OFFSET $3)
        CROSS JOIN context_chunks ON number = best WHERE handle = $4 ORDER BY score, best";
    DISCARD_CHUNKS = "INSERT OR IGNORE INTO context_garbage (handle, source_id, generation) VALUES ($1, $2, $3)";
    GARBAGE = "SELECT handle, source_id, generation FROM context_garbage LIMIT 1";
    GARBAGE_OF = "SELECT handle, source_id, generation FROM context_garbage WHERE handle = $1 LIMIT 1";
    ANY_GARBAGE = "SELECT 1 FROM context_garbage LIMIT 1";
    CHUNKS_TO_SWEEP = "SELECT number FROM context_chunks WHERE source_id = $1 AND generation = $2 LIMIT $3";
    DELETE_WORDS = "DELETE FROM context_index WHERE rowid = $1";
    CLEAR_CHUNK = "DELETE FROM context_chunks WHERE number = $1";
    CLEAR_GARBAGE = "DELETE FROM context_garbage WHERE handle = $1 AND source_id = $2 AND generation = $3";

    // Voice notes.
    INSERT_VOICE_NOTE = "INSERT INTO voice_notes (handle, id, state, held_bytes, ends_at, note)
        VALUES ($1, $2, $3, $4, $5, $6)";
    VOICE_NOTE = "SELECT note FROM voice_notes WHERE handle = $1 AND id = $2";
    VOICE_NOTE_STANDS = "SELECT 1 FROM voice_notes WHERE handle = $1 AND id = $2 AND state = $3";
    MOVE_VOICE_NOTE = "UPDATE voice_notes SET state = $1, held_bytes = $2, ends_at = $3, note = $4
        WHERE handle = $5 AND id = $6";
    REMOVE_VOICE_NOTE = "DELETE FROM voice_notes WHERE handle = $1 AND id = $2";
    PROCESSING_VOICE_NOTES = "SELECT note FROM voice_notes INDEXED BY voice_notes_processing
        WHERE state = 1 ORDER BY id";
    OVERDUE_VOICE_NOTES = "SELECT note FROM voice_notes INDEXED BY voice_notes_pending
        WHERE state = 0 AND ends_at <= $1 ORDER BY ends_at LIMIT $2";
    HOLDS_FILE = "SELECT 1 FROM voice_notes INDEXED BY voice_notes_by_id WHERE id = $1 AND state <= 2";
    HOLDINGS = "SELECT COUNT(*), COALESCE(SUM(held_bytes), 0) FROM voice_notes INDEXED BY voice_notes_held
        WHERE handle = $1 AND state <= 2";

    // Reports.
    INSERT_REPORT = "INSERT INTO reports (id, kind, handle, stranger, report) VALUES ($1, $2, $3, $4, $5)";
    TRIM_STRANGERS_REPORTS = "DELETE FROM reports WHERE id IN
        (SELECT id FROM reports INDEXED BY reports_of_strangers
            WHERE stranger = 1 ORDER BY id DESC LIMIT -1 OFFSET $1)";
    MOVE_REPORT = "UPDATE reports SET closed = $1, report = $2 WHERE id = $3";
    UNTOLD_REPORTS = "SELECT kind, stranger, gathered, first_at, last_id, due_at FROM untold_reports
        ORDER BY kind, stranger";
    UNTOLD_REPORTS_OF = "SELECT kind, stranger, gathered, first_at, last_id, due_at FROM untold_reports
        WHERE kind = $1 AND stranger = $2";
    PUT_UNTOLD_REPORTS = "INSERT INTO untold_reports (kind, stranger, gathered, first_at, last_id, due_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, stranger) DO UPDATE
        SET gathered = excluded.gathered, first_at = excluded.first_at, last_id = excluded.last_id,
            due_at = excluded.due_at";
    OPEN_REPORTS = "SELECT kind, COUNT(*) FROM
        (SELECT kind FROM reports INDEXED BY reports_by_status_and_kind WHERE closed = 0 LIMIT $1)
        GROUP BY kind ORDER BY kind";
    REMOVE_REPORT = "DELETE FROM reports WHERE id = $1";
    REPORT = "SELECT report FROM reports WHERE id = $1";
    REPORTS = "SELECT report FROM reports WHERE id < $1 ORDER BY id DESC LIMIT $2";
    REPORTS_OF_KIND = "SELECT report FROM reports
        WHERE id IN (SELECT id FROM reports INDEXED BY reports_by_kind
            WHERE kind = $1 AND id < $2 ORDER BY id DESC LIMIT $3) ORDER BY id DESC";
    REPORTS_OF_STATUS = "SELECT report FROM reports
        WHERE id IN (SELECT id FROM reports INDEXED BY reports_by_status
            WHERE closed = $1 AND id < $2 ORDER BY id DESC LIMIT $3) ORDER BY id DESC";
    REPORTS_OF_STATUS_AND_KIND = "SELECT report FROM reports
        WHERE id IN (SELECT id FROM reports INDEXED BY reports_by_status_and_kind
            WHERE closed = $1 AND kind = $2 AND id < $3 ORDER BY id DESC LIMIT $4) ORDER BY id DESC";

    // Statistics.
    SUBSCRIPTION_EXISTS = "SELECT 1 FROM subscriptions WHERE handle = $1 AND id = $2";
    TALLY = "SELECT tally FROM statistics
        WHERE handle = $1 AND subscription_id = $2 AND span = $3 AND begun_at = $4";
    PUT_TALLY = "INSERT INTO statistics (handle, subscription_id, span, begun_at, tally)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (handle, subscription_id, span, begun_at) DO UPDATE SET tally = excluded.tally";
    TALLIES = "SELECT tally FROM statistics
        WHERE handle = $1 AND subscription_id = $2 AND span = $3 AND begun_at >= $4";
    REMOVE_TALLIES = "DELETE FROM statistics WHERE handle = $1 AND subscription_id = $2";
    LANE_BACKLOG = "SELECT COUNT(*), MIN(id), MIN(state_at) FROM (
        SELECT id, state_at FROM deliveries INDEXED BY deliveries_due
        WHERE handle = $1 AND subscription_id = $2 AND state = 0 ORDER BY state_at, id LIMIT $3)";
    LANE_BACKLOG_BEHIND = "SELECT COUNT(*) FROM (
        SELECT 1 FROM deliveries INDEXED BY deliveries_in_order
        WHERE handle = $1 AND subscription_id = $2 AND ordered = 1 AND state <= 1 AND state = -1 LIMIT $3)";

    // Upkeep.
    FINISHED = "SELECT handle, id, event_id FROM deliveries INDEXED BY deliveries_finished
        WHERE state >= 2 AND state = $1 AND state_at < $2 ORDER BY state_at LIMIT $3";
    FORGET_ATTEMPTS = "DELETE FROM attempts WHERE delivery_id = $1";
    FORGET_DELIVERY = "DELETE FROM deliveries WHERE handle = $1 AND id = $2";
    UNREFER_TO_EVENT = "UPDATE events SET unreferenced = 1 WHERE handle = $1 AND id = $2
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = $2 AND deliveries.handle = $1)";
    FORGET_EVENTS = "DELETE FROM events WHERE (handle, id) IN
        (SELECT handle, id FROM events WHERE unreferenced = 1 AND id < $1 ORDER BY id LIMIT $2)";
    FORGET_KEYS = "DELETE FROM idempotency WHERE scope IN
        (SELECT scope FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
    BACKLOG = "SELECT COUNT(*) FROM
        (SELECT 1 FROM deliveries INDEXED BY deliveries_due WHERE state = 0 LIMIT $1)";
    FORGET_REPLAYS = "DELETE FROM replays WHERE (handle, id) IN
        (SELECT handle, id FROM replays INDEXED BY replays_ended
        WHERE running = 0 AND finished_at < $1 ORDER BY finished_at LIMIT $2)";
    FORGET_VOICE_NOTES = "DELETE FROM voice_notes WHERE (handle, id) IN
        (SELECT handle, id FROM voice_notes INDEXED BY voice_notes_ended
        WHERE state >= 3 AND ends_at < $1 ORDER BY ends_at LIMIT $2)";
    FORGET_REPORTS = "DELETE FROM reports WHERE id IN (SELECT id FROM reports WHERE id < $1 ORDER BY id LIMIT $2)";
    FORGET_STRANGERS_REPORTS = "DELETE FROM reports WHERE id IN
        (SELECT id FROM reports INDEXED BY reports_of_strangers WHERE stranger = 1 AND id < $1 ORDER BY id LIMIT $2)";
    FORGET_TALLIES = "DELETE FROM statistics WHERE (handle, subscription_id, span, begun_at) IN
        (SELECT handle, subscription_id, span, begun_at FROM statistics INDEXED BY statistics_by_age
        WHERE span = $1 AND begun_at < $2 ORDER BY begun_at LIMIT $3)";
    COUNT_EVENTS = "SELECT COUNT(*) FROM events";
    COUNT_DELIVERIES = "SELECT state, COUNT(*) FROM deliveries GROUP BY state";
}

/// The beginning of a query over a handle's events; conditions follow.
pub(crate) const SELECT_EVENTS: &str = concat!("SELECT ", event_columns!(), " FROM events");
/// The beginning of a query over a handle's deliveries; conditions follow.
pub(crate) const SELECT_DELIVERIES: &str = concat!("SELECT ", delivery_columns!(), " FROM deliveries");
/// The beginning of a query over a handle's audit rows; conditions follow.
pub(crate) const SELECT_AUDIT: &str =
    concat!("SELECT ", audit_columns!(), " FROM audit INDEXED BY audit_by_handle");
/// The beginning of a count of a handle's deliveries; conditions follow.
pub(crate) const SELECT_COUNT: &str = "SELECT COUNT(*) FROM deliveries";

/// The beginning of a query over a handle's replay jobs; conditions follow.
pub(crate) const SELECT_REPLAYS: &str = "SELECT job FROM replays";

/// The beginning of a query over a handle's sources; conditions follow.
pub(crate) const SELECT_SOURCES: &str = "SELECT source FROM context_sources";

/// The beginning of a query over a handle's voice notes; conditions follow.
pub(crate) const SELECT_VOICE_NOTES: &str = "SELECT note FROM voice_notes";

/// Whether the parameters of a statement first appear as `$1`, `$2` and so on.
#[cfg(test)]
pub(crate) fn appear_in_order(sql: &str) -> bool {
    let mut highest = 0;
    sql.split('$').skip(1).all(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let number: usize = digits.parse().unwrap_or(usize::MAX);
        let in_order = number <= highest + 1;
        highest = highest.max(number);
        in_order && number > 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_every_statement_first_appear_in_order() {
        for (name, sql) in ALL {
            assert!(appear_in_order(sql), "{name}: {sql}");
        }
    }

    #[test]
    fn parameters_out_of_order_are_noticed() {
        for sql in ["SELECT $2, $1", "SELECT $1, $3", "SELECT $0", "SELECT $x"] {
            assert!(!appear_in_order(sql), "{sql}");
        }
        assert!(appear_in_order("SELECT $1, $2, $1, $3"));
    }
}
