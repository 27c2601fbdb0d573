//! Opening a database: what must be true of it before anything is read or written.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::audit;
use crate::crash_point::{CrashPoint, reach};
use crate::error::StoreError;
use crate::seal::MasterKey;
use crate::statements;

refinery::embed_migrations!("src/sqlite/migrations");

/// The first release of `SQLite` that cannot lose committed rows when a write meets a checkpoint.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// The row that says which master key the store was sealed with.
pub(super) const KEY_CHECK: &str = "key check";
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages of 4 KiB in the log of writes before they are moved to the database. Many: a page that was
/// written often meanwhile is moved once.
const CHECKPOINT_PAGES: u32 = 30_000;
/// How large the file of the log of writes may stay after a checkpoint.
const JOURNAL_BYTES: u32 = 128 * 1024 * 1024;

/// Name and checksum of the seventh step as it was before a release.
const TEXT_TRACES: (&str, &str) = ("audit_chain_and_trace", "10901675659187374683");

/// How much memory a connection may use.
#[derive(Clone, Copy)]
pub(super) struct Caches {
    pub(super) cache_mib: u32,
    pub(super) mmap_mib: u32,
}

impl Caches {
    pub(super) fn apply(self, db: &Connection) -> rusqlite::Result<()> {
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "cache_size", -i64::from(self.cache_mib) * 1024)?;
        db.pragma_update(None, "mmap_size", i64::from(self.mmap_mib) * 1024 * 1024)?;
        db.pragma_update(None, "temp_store", "memory")?;
        db.set_prepared_statement_cache_capacity(128);
        Ok(())
    }
}

/// Opens a database for its one writer, and brings its schema up to date.
pub(super) fn open(path: &Path, key: &MasterKey, caches: Caches) -> Result<Connection, StoreError> {
    check_version(rusqlite::version_number())?;
    let mut db = Connection::open(path).map_err(|error| refused(path, error))?;
    configure(&db, caches).map_err(|error| refused(path, error))?;
    migrate(&mut db, path)?;
    audit::chain_older_rows(&mut db).map_err(|fault| refused(path, StoreError::from(fault)))?;
    check_key(&db, key, path)?;
    Ok(db)
}

/// Takes the database for this process. The lock ends with the process, however that ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let beside = lock_path(path);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&beside);
    let file = file.map_err(|error| refused(&beside, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(refused(path, "another process has it open")),
        Err(TryLockError::Error(error)) => Err(refused(&beside, error)),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn check_version(found: i32) -> Result<(), StoreError> {
    if found >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    let reason = format!(
        "SQLite {found} may lose committed rows when a write meets a checkpoint, {SQLITE_VERSION_MIN} is the first that does not"
    );
    Err(StoreError::Unavailable { reason })
}

fn configure(db: &Connection, caches: Caches) -> rusqlite::Result<()> {
    caches.apply(db)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    // What was acknowledged survives a power failure.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "journal_size_limit", JOURNAL_BYTES)?;
    // Integrity is the store's own: a check per row would cost a search per row.
    db.pragma_update(None, "foreign_keys", false)
}

/// Brings the schema up to date, each step in a transaction of its own: after a crash the next
/// start goes on with the step that was not finished.
fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let (found, newest) = (schema_version(db).map_err(|error| refused(path, error))?, newest());
    if found > newest {
        return Err(too_new(path, found, newest));
    }
    forget_text_traces(db).map_err(|error| refused(path, error))?;
    reach(CrashPoint::DuringMigration);
    for step in migrations::runner().run_iter(db) {
        step.map_err(|error| refused(path, error))?;
        reach(CrashPoint::DuringMigration);
    }
    Ok(())
}

/// Brings a store of the days before a release to the seventh step as it is now. It was another then:
/// it also made a column of text for traces, which nothing has ever written.
fn forget_text_traces(db: &mut Connection) -> rusqlite::Result<()> {
    let step = migrations::runner().get_migrations().iter().find(|step| step.version() == 7).cloned();
    let Some(step) = step.filter(|_| schema_version(db).is_ok_and(|version| version >= 7)) else {
        return Ok(());
    };
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let checksum = step.checksum().to_string();
    let key = params![step.name(), checksum, step.version(), TEXT_TRACES.0, TEXT_TRACES.1];
    if change.execute(statements::RENAME_STEP, key)? > 0 {
        change.execute(statements::DROP_TEXT_TRACES, [])?;
    }
    change.commit()
}

/// The newest migration that this version knows.
pub(super) fn newest() -> u32 {
    let known = migrations::runner();
    let newest = known.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    u32::try_from(newest).expect("migrations are numbered from 1")
}

pub(super) fn too_new(path: &Path, found: u32, newest: u32) -> StoreError {
    let reason = format!("it was written by a newer version (schema {found}, this one knows up to {newest})");
    refused(path, reason)
}

/// The newest migration that the database has seen. 0: none.
pub(super) fn schema_version(db: &Connection) -> rusqlite::Result<u32> {
    if !db.table_exists(None, "refinery_schema_history")? {
        return Ok(0);
    }
    db.query_row("SELECT COALESCE(MAX(version), 0) FROM refinery_schema_history", [], |row| row.get(0))
}

/// Refuses a master key that is not the one that the store was sealed with.
fn check_key(db: &Connection, key: &MasterKey, path: &Path) -> Result<(), StoreError> {
    match sealed_check(db, path)? {
        Some(sealed) => key.open(KEY_CHECK, &sealed).map(drop).map_err(|error| refused(path, error)),
        None => db
            .execute(statements::PUT_META, params![KEY_CHECK, key.seal(KEY_CHECK, b"")])
            .map(drop)
            .map_err(|error| refused(path, error)),
    }
}

/// Refuses a store that this master key has not sealed, and one that no key has.
pub(super) fn require_key(db: &Connection, key: &MasterKey, path: &Path) -> Result<(), StoreError> {
    let sealed = sealed_check(db, path)?.ok_or_else(|| refused(path, "it is not a store of Angarium"))?;
    key.open(KEY_CHECK, &sealed).map(drop).map_err(|error| refused(path, error))
}

fn sealed_check(db: &Connection, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    if !db.table_exists(None, "meta").map_err(|error| refused(path, error))? {
        return Ok(None);
    }
    let sealed = db.query_row(statements::META, [KEY_CHECK], |row| row.get(0)).optional();
    sealed.map_err(|error| refused(path, error))
}

pub(super) fn refused(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable { reason: format!("{} cannot be opened: {why}", path.display()) }
}

#[cfg(test)]
mod tests {
    use refinery::Target;
    use tempfile::TempDir;

    use super::super::{Settings, SqliteStore};
    use super::*;

    const FROZEN: [(i32, &str, u64); 20] = [
        (1, "first", 2_711_409_159_973_495_424),
        (2, "order_by_key", 17_614_976_883_721_661_665),
        (3, "outages", 10_320_464_782_150_536_687),
        (7, "audit_chain", 6_464_452_591_257_065_162),
        (8, "event_types", 7_714_310_307_227_171_968),
        (11, "traces", 2_223_272_487_263_685_964),
        (13, "accounts", 16_949_543_502_134_413_173),
        (14, "replays_and_statistics", 8_442_587_424_168_425_653),
        (15, "alerts", 13_137_457_063_089_606_737),
        (16, "inbox", 15_478_297_673_548_263_700),
        (17, "voice_notes", 2_005_260_592_777_205_112),
        (18, "chains", 11_876_788_087_886_328_969),
        (19, "context_store", 15_762_631_485_090_419_999),
        (20, "reports", 6_286_605_477_483_048_590),
        (21, "events_of_our_own", 4_141_226_101_787_774_214),
        (22, "mailboxes", 14_022_964_649_127_791_120),
        (23, "chain_totals", 7_482_076_670_275_099_083),
        (24, "inbox_bounds", 12_806_719_872_267_145_083),
        (26, "strangers_reports", 11_651_830_198_056_972_636),
        (27, "reports_told_and_closed", 5_237_867_688_666_801_343),
    ];

    /// A store says by name and checksum which steps it has seen, and is refused where one of them is
    /// another now. So a line here is added and never changed.
    #[test]
    fn steps_stay_as_they_were_when_stores_were_made_with_them() {
        let known = migrations::runner();
        let mut known: Vec<_> = known
            .get_migrations()
            .iter()
            .map(|step| (step.version(), step.name().to_owned(), step.checksum()))
            .collect();
        known.sort();
        assert_eq!(known, FROZEN.map(|(version, name, checksum)| (version, name.to_owned(), checksum)));
    }

    #[test]
    fn a_store_of_the_days_before_a_release_is_opened_and_keeps_its_events() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("angarium.db");
        let mut db = Connection::open(&path).expect("a new file");
        migrations::runner().set_target(Target::Version(8)).run(&mut db).expect("the first steps");
        let (name, checksum) = TEXT_TRACES;
        db.execute(
            "UPDATE refinery_schema_history SET name = ?1, checksum = ?2 WHERE version = 7",
            [name, checksum],
        )
        .expect("the step as it was");
        db.execute("ALTER TABLE events ADD COLUMN trace TEXT", []).expect("the column as it was");
        db.execute(
            "INSERT INTO events (handle, id, event_type, occurred_at, accepted_at, origin, payload, unreferenced)
             VALUES ('acme', x'00112233445566778899aabbccddeeff', 'a.b', '2026-01-01T00:00:00Z', 0, 'live', x'7b7d', 1)",
            [],
        )
        .expect("an event");
        drop(db);

        let key = MasterKey::from_bytes([7; 32]);
        for _ in 0..2 {
            let store = SqliteStore::open(&path, &key, Settings::default()).expect("it opens");
            drop(store);
        }
        let db = Connection::open(&path).expect("the file");
        assert_eq!(schema_version(&db).expect("a version"), newest());
        let kept: u32 = db
            .query_row("SELECT COUNT(*) FROM events WHERE trace IS NULL", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(kept, 1);
    }

    #[test]
    fn what_sessions_held_before_anybody_counted_is_counted_when_the_store_is_opened() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("angarium.db");
        let mut db = Connection::open(&path).expect("a new file");
        migrations::runner().set_target(Target::Version(20)).run(&mut db).expect("the first steps");
        db.execute_batch(
            "INSERT INTO sessions VALUES ('acme', 's', 2, 2), ('acme', 't', 1, 1), ('beta', 's', 1, 1);
             INSERT INTO signals VALUES
                ('acme', 's', 1, 0, 'view', '\"ä\"', 1.0, 'web', '{}'), ('acme', 's', 2, 0, 'view', NULL, 1.0, NULL, NULL),
                ('acme', 't', 1, 0, 'view', NULL, 1.0, NULL, NULL), ('beta', 's', 1, 0, 'view', NULL, 1.0, NULL, NULL);
             INSERT INTO cooldowns VALUES ('acme', 'u', 'once', x'00', 0, 9), ('gamma', 'u', 'once', x'00', 0, 9);",
        )
        .expect("rows");
        drop(db);
        drop(
            SqliteStore::open(&path, &MasterKey::from_bytes([7; 32]), Settings::default()).expect("it opens"),
        );
        let db = Connection::open(&path).expect("the file");
        let mut statement =
            db.prepare("SELECT handle, sessions, bytes FROM chain_totals ORDER BY handle").expect("SQL");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("SQL");
        let counted: Vec<(String, u32, u32)> = rows.collect::<Result<_, _>>().expect("rows");
        let (plain, rest) = (64 + 1 + 4, 64 + 1 + 4);
        let expected =
            [("acme", 2, plain + 4 + 3 + 2 + 2 * plain + rest), ("beta", 1, plain), ("gamma", 0, rest)];
        assert_eq!(counted, expected.map(|(handle, sessions, bytes)| (handle.to_owned(), sessions, bytes)));
    }

    #[test]
    fn the_linked_sqlite_does_not_lose_committed_rows() {
        assert!(check_version(rusqlite::version_number()).is_ok());
        assert!(check_version(3_051_002).is_err());
    }
}
