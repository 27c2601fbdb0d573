//! Sealing a store anew, under another master key: while nobody has it open, in one transaction.

use std::path::Path;

use angarium_domain::handle::Handle;
use angarium_domain::ids::{SourceId, SubscriptionId};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::context::answer_row;
use super::context_store::config_row;
use super::directory::{keys_row, subscription_row};
use super::fault::{Fault, Tried};
use super::row;
use super::schema::{self, Caches, KEY_CHECK, refused};
use crate::error::StoreError;
use crate::seal::MasterKey;
use crate::statements;

/// Rows in memory at a time.
const ROWS_MAX: i64 = 1_000;
/// Sources in memory at a time: each may have its documents with it.
const SOURCES_MAX: i64 = 16;

/// What was sealed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    /// Subscriptions, each with its signing keys.
    pub subscriptions: u64,
    /// Configurations of sources of the context store.
    pub sources: u64,
    /// Answers that are remembered for idempotency keys.
    pub answers: u64,
}

/// Opens everything that is sealed with `old` and seals it with `new`, all of it or nothing. Brings the schema
/// up to date before. Blocks.
///
/// What was sealed with the old key is overwritten in the file, and not only left out of it. Backups made before
/// still need the old key.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if `old` is not the store's key, if `new` is, or if a process has the store open;
/// [`StoreError::Corrupt`] with the row that does not open. Nothing has changed then.
pub fn reseal(path: &Path, old: &MasterKey, new: &MasterKey) -> Result<Resealed, StoreError> {
    let _lock = schema::lock(path)?;
    if old.id() == new.id() {
        return Err(refused(path, format!("the new master key {} is the present one", new.id())));
    }
    let mut db = schema::open(path, old, Caches { cache_mib: 64, mmap_mib: 0 })?;
    let change = KeyChange { old, new };
    let resealed = change.apply(&mut db)?;
    // The log of writes holds pages from before.
    db.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(())).map_err(|error| refused(path, error))?;
    Ok(resealed)
}

struct KeyChange<'a> {
    old: &'a MasterKey,
    new: &'a MasterKey,
}

impl KeyChange<'_> {
    fn apply(&self, db: &mut Connection) -> Tried<Resealed> {
        db.pragma_update(None, "secure_delete", true)?;
        let transaction = Transaction::new(db, TransactionBehavior::Immediate)?;
        let subscriptions = self.subscriptions(&transaction)?;
        let sources = self.sources(&transaction)?;
        let answers = self.answers(&transaction)?;
        let check = self.new.seal(KEY_CHECK, b"");
        transaction.execute(statements::PUT_META, params![KEY_CHECK, check])?;
        transaction.commit()?;
        Ok(Resealed { subscriptions, sources, answers })
    }

    fn subscriptions(&self, db: &Connection) -> Tried<u64> {
        let mut read = db.prepare(statements::SEALED_SUBSCRIPTIONS)?;
        let mut write = db.prepare(statements::RESEAL_SUBSCRIPTION)?;
        let (mut count, mut last) = (0, (String::new(), Vec::new()));
        loop {
            let rows = read.query_and_then(params![last.0, last.1, ROWS_MAX], |row| {
                let (handle, id): (Handle, SubscriptionId) = (row::handle(row, 0)?, row::id(row, 1)?);
                Ok((handle, id, row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?))
            })?;
            let rows: Vec<_> = rows.collect::<Tried<_>>()?;
            let Some((handle, id, ..)) = rows.last() else { return Ok(count) };
            last = (handle.as_str().to_owned(), id.as_bytes().to_vec());
            for (handle, id, subscription, keys) in &rows {
                let subscription = self.sealed_anew(&subscription_row(handle, *id), subscription)?;
                let keys = self.sealed_anew(&keys_row(handle, *id), keys)?;
                write.execute(params![subscription, keys, handle.as_str(), id.as_bytes()])?;
            }
            count += rows.len() as u64;
        }
    }

    fn sources(&self, db: &Connection) -> Tried<u64> {
        let mut read = db.prepare(statements::SEALED_SOURCES)?;
        let mut write = db.prepare(statements::RESEAL_SOURCE)?;
        let (mut count, mut last) = (0, (String::new(), Vec::new()));
        loop {
            let rows = read.query_and_then(params![last.0, last.1, SOURCES_MAX], |row| {
                let (handle, id): (Handle, SourceId) = (row::handle(row, 0)?, row::id(row, 1)?);
                Ok((handle, id, row.get::<_, Vec<u8>>(2)?))
            })?;
            let rows: Vec<_> = rows.collect::<Tried<_>>()?;
            let Some((handle, id, _)) = rows.last() else { return Ok(count) };
            last = (handle.as_str().to_owned(), id.as_bytes().to_vec());
            for (handle, id, config) in &rows {
                let config = self.sealed_anew(&config_row(handle, *id), config)?;
                write.execute(params![config, handle.as_str(), id.as_bytes()])?;
            }
            count += rows.len() as u64;
        }
    }

    fn answers(&self, db: &Connection) -> Tried<u64> {
        let mut read = db.prepare(statements::SEALED_ANSWERS)?;
        let mut write = db.prepare(statements::RESEAL_ANSWER)?;
        let (mut count, mut last) = (0, String::new());
        loop {
            let rows = read.query_map(params![last, ROWS_MAX], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
            })?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
            let Some((scope, _)) = rows.last() else { return Ok(count) };
            last.clone_from(scope);
            for (scope, body) in &rows {
                write.execute(params![self.sealed_anew(&answer_row(scope), body)?, scope])?;
            }
            count += rows.len() as u64;
        }
    }

    fn sealed_anew(&self, row: &str, sealed: &[u8]) -> Tried<Vec<u8>> {
        let plain =
            self.old.open(row, sealed).map_err(|error| Fault::corrupt(&row.replace('\n', " "), error))?;
        Ok(self.new.seal(row, &plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{context_store, directory, event_log};
    use crate::context_store::ContextStore;
    use crate::directory::Directory;
    use crate::page::PageRequest;
    use crate::sqlite::tests::{acme, key, open, open_empty, path_in};
    use crate::sqlite::{Settings, SqliteStore};

    fn other_key() -> MasterKey {
        MasterKey::from_bytes([9; 32])
    }

    fn open_with(path: &Path, key: &MasterKey) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(path, key, Settings::default())
    }

    #[tokio::test]
    async fn a_store_that_is_sealed_anew_opens_with_the_new_key_alone_and_is_as_it_was() {
        let (folder, store) = open_empty();
        directory::a_subscription_is_read_back_with_its_keys(&store).await;
        event_log::a_key_may_be_used_again_once_it_has_ended(&store).await;
        context_store::a_source_is_read_back_by_its_own_handle(&store).await;
        let shown = store.snapshot(&acme()).await.expect("it reads").subscriptions[0].keys.newest().shown();
        let path = path_in(&folder);
        let refused = reseal(&path, &key(), &other_key()).expect_err("it is open");
        assert!(refused.to_string().contains("another process has it open"), "{refused}");
        drop(store);

        let resealed = reseal(&path, &key(), &other_key()).expect("it is sealed anew");
        assert_eq!(
            (resealed.subscriptions > 0, resealed.answers > 0, resealed.sources),
            (true, true, 2),
            "{resealed:?}"
        );
        let refused = open(&path).err().expect("another key");
        assert!(refused.to_string().contains("it was sealed with the master key"), "{refused}");
        let store = open_with(&path, &other_key()).expect("it opens");
        let keys = &store.snapshot(&acme()).await.expect("it reads").subscriptions[0].keys;
        assert_eq!(keys.newest().shown(), shown);
        let sources =
            store.sources(&acme(), PageRequest { before: None, limit: 10 }).await.expect("it reads");
        for source in sources.items {
            assert!(store.source_config(&acme(), source.id).await.expect("it opens").is_some());
        }
    }

    #[tokio::test]
    async fn nothing_sealed_with_the_old_key_is_left_in_the_files() {
        let (folder, store) = open_empty();
        directory::a_subscription_is_read_back_with_its_keys(&store).await;
        event_log::a_key_may_be_used_again_once_it_has_ended(&store).await;
        context_store::a_source_is_read_back_by_its_own_handle(&store).await;
        drop(store);
        let path = path_in(&folder);
        let db = Connection::open(&path).expect("it opens");
        let sealed = |db: &Connection| -> Vec<Vec<u8>> {
            let all = "SELECT subscription FROM subscriptions UNION ALL SELECT keys FROM subscriptions
                UNION ALL SELECT config FROM context_sources UNION ALL SELECT body FROM idempotency";
            let mut read = db.prepare(all).expect("SQL");
            read.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("a row")).collect()
        };
        let before = sealed(&db);
        drop(db);
        assert!(before.len() >= 3, "{} values", before.len());
        reseal(&path, &key(), &other_key()).expect("it is sealed anew");
        let bytes = std::fs::read(&path).expect("it reads");
        for value in before {
            assert!(!bytes.windows(32).any(|window| window == &value[..32]), "an old value is still there");
        }
        let log = path.with_file_name("angarium.db-wal");
        assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0);
    }

    #[tokio::test]
    async fn a_row_that_does_not_open_changes_nothing() {
        let (folder, store) = open_empty();
        directory::a_subscription_is_read_back_with_its_keys(&store).await;
        drop(store);
        let path = path_in(&folder);
        let db = Connection::open(&path).expect("it opens");
        db.execute("UPDATE subscriptions SET keys = subscription", []).expect("SQL");
        drop(db);
        let refused = reseal(&path, &key(), &other_key()).expect_err("a damaged row");
        assert!(matches!(&refused, StoreError::Corrupt { .. }), "{refused}");
        assert!(refused.to_string().contains("keys acme sub_"), "{refused}");
        open(&path).expect("its key is the old one");
        let same = reseal(&path, &key(), &key()).expect_err("the same key");
        assert!(same.to_string().contains("is the present one"), "{same}");
        let wrong = reseal(&path, &other_key(), &key()).expect_err("not its key");
        assert!(wrong.to_string().contains("it was sealed with the master key"), "{wrong}");
    }
}
