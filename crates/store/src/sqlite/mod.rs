//! The embedded engine: one file, one writer, readers beside it.
//!
//! Everything acknowledged is on stable storage (write-ahead log, `synchronous = FULL`). Writes of
//! many callers share one commit; reads never wait for a write. One process has the file at a time.

mod accounts;
mod alerts;
mod audit;
mod backup;
mod beside;
mod chains;
mod conditions;
mod context;
mod context_store;
mod delivery_queue;
mod directory;
mod event_log;
mod fault;
mod history;
mod inboxes;
mod mailboxes;
mod readers;
mod replays;
mod reports;
mod reseal;
mod row;
mod schema;
mod statistics;
#[cfg(test)]
mod tests;
mod upkeep;
mod voice_notes;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::seal::MasterKey;
use context::{Outcome, SealedContext};
use readers::Readers;
use schema::Caches;
use writer::{Limits, Writer};

pub use audit::{Walked, walk_audit};
pub use backup::{Copied, Migrated, back_up, migrate, pending_migration, restore};
pub use reseal::{Resealed, reseal};
pub use writer::{EndObserver, Observer};

/// How a store uses its machine.
#[derive(Clone)]
pub struct Settings {
    /// How many reads may run at a time, each with a connection of its own. More on many cores.
    pub readers: usize,
    /// How many searches may run at a time, besides the reads.
    pub searches: usize,
    /// How long one search may take; beyond, it has failed.
    pub search_time: Duration,
    /// How many writes may share one commit. Fewer make shorter commits, more make fewer.
    pub group_max: usize,
    /// How many writes may wait. One more is refused, before it is accepted.
    pub queue_max: usize,
    /// Page cache of each connection, in MiB. More when the database is much larger than memory
    /// that the operating system has left for it.
    pub cache_mib: u32,
    /// How much of the file each reader maps into memory, in MiB.
    pub mmap_mib: u32,
    /// Told after each commit.
    pub observer: Option<Observer>,
    /// Told when the store can no longer write until it is opened anew.
    pub end_observer: Option<EndObserver>,
}

/// A store in one `SQLite` file. A clone is the same store; the file is closed with the last one.
#[derive(Clone)]
pub struct SqliteStore {
    parts: Arc<Parts>,
}

/// Dropped in this order: the writer's connection is the last to close, and tidies up.
struct Parts {
    readers: Readers,
    /// A search reads as much as it finds: it must not keep other reads waiting.
    searches: Readers,
    writer: Writer,
    key: MasterKey,
    _lock: File,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            readers: 4,
            searches: 2,
            search_time: Duration::from_millis(500),
            group_max: 1024,
            queue_max: 8192,
            cache_mib: 64,
            mmap_mib: 256,
            observer: None,
            end_observer: None,
        }
    }
}

impl SqliteStore {
    /// Opens the file, or makes it, and brings its schema up to date. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] with the reason, if the file cannot be opened, is open in another
    /// process, was written by a newer version, or was sealed with another master key.
    pub fn open(path: &Path, key: &MasterKey, settings: Settings) -> Result<SqliteStore, StoreError> {
        let lock = schema::lock(path)?;
        let caches = Caches { cache_mib: settings.cache_mib, mmap_mib: settings.mmap_mib };
        // The writer does not map the file: a bad disk shall be an error, not a signal.
        let db = schema::open(path, key, Caches { mmap_mib: 0, ..caches })?;
        let limits = Limits {
            queue_max: settings.queue_max,
            group_max: settings.group_max,
            observer: settings.observer,
            end_observer: settings.end_observer,
        };
        let writer = Writer::start(db, limits).map_err(|error| StoreError::Unavailable {
            reason: format!("no thread for the writer: {error}"),
        })?;
        let readers = Readers::new(path, settings.readers, caches, None);
        let searches = Readers::new(path, settings.searches, caches, Some(settings.search_time));
        let parts = Parts { readers, searches, writer, key: key.clone(), _lock: lock };
        Ok(SqliteStore { parts: Arc::new(parts) })
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> fault::Tried<T> + Send + 'static,
    {
        self.parts.readers.read(work).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> fault::Tried<T> + Send + 'static,
    {
        self.parts.writer.write(work).await
    }

    /// Does work that a caller may repeat: once.
    async fn write_once<T, F>(
        &self,
        context: SealedContext,
        work: F,
    ) -> Result<crate::write::Written<T>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection, &SealedContext) -> fault::Tried<T> + Send + 'static,
    {
        let outcome = self.write(move |db| {
            if let Some(record) = context.seen(db)? {
                return Ok(Outcome::Seen(record));
            }
            context.check(db)?;
            work(db, &context).map(Outcome::Done)
        });
        outcome.await?.open(&self.parts.key)
    }

    fn key(&self) -> &MasterKey {
        &self.parts.key
    }
}
