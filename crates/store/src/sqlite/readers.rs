//! Connections that only read, beside the writer.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::fault;
use super::schema::Caches;
use crate::error::StoreError;

/// Instructions of the engine's virtual machine between two looks at the time: some ten microseconds.
const STEPS_BETWEEN_LOOKS: c_int = 1_000;

/// A bounded pool. Each piece of work runs on a thread that may block, with a connection of its own.
#[derive(Clone)]
pub(super) struct Readers {
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    caches: Caches,
    /// How long one piece of work may take; none: as long as it takes.
    time: Option<Duration>,
    permits: Semaphore,
    /// Shared because a connection serves one reader at a time and the next one takes it over.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, count: usize, caches: Caches, time: Option<Duration>) -> Readers {
        let (path, permits) = (path.to_owned(), Semaphore::new(count.max(1)));
        Readers { pool: Arc::new(Pool { path, caches, time, permits, idle: Mutex::default() }) }
    }

    /// Does the work on one consistent view of the database.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> fault::Tried<T> + Send + 'static,
    {
        let _permit = self.pool.permits.acquire().await.expect("it is never closed");
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || pool.read(work));
        let result = reading.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        Ok(result?)
    }
}

impl Pool {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> fault::Tried<T>) -> fault::Tried<T> {
        let idle = self.idle.lock().expect("nothing panics while it holds the lock").pop();
        let mut db = idle.map_or_else(|| self.open(), Ok)?;
        if let Some(time) = self.time {
            let until = Instant::now() + time;
            db.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || Instant::now() >= until))?;
        }
        // The transaction ends here whatever happens: an open one would stop the checkpoints.
        let transaction = db.transaction()?;
        let result = work(&transaction);
        drop(transaction);
        self.idle.lock().expect("nothing panics while it holds the lock").push(db);
        result
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        self.caches.apply(&db)?;
        Ok(db)
    }
}
