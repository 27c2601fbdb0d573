//! Copies of a database: made while a service uses it, and put back in its place.
//!
//! `SQLite`'s own backup copies pages under one read transaction, so a copy is the database as it was
//! at one moment: everything that was acknowledged before that moment is in it. The service goes on
//! writing meanwhile; its log of writes grows until the copy is done.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, Caches, refused};
use crate::error::StoreError;
use crate::seal::MasterKey;

/// A copy that is complete, checked and on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The size of the file.
    pub bytes: u64,
    /// The schema that it was written with.
    pub schema: u32,
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema that was found. 0: there was none.
    pub from: u32,
    /// The schema that this version writes.
    pub to: u32,
}

/// Copies the database at `source` to `target`, while a service may be using it. Blocks for as long
/// as the copying takes.
///
/// The copy appears under its name when it is complete. It holds secrets only in sealed form:
/// the master key is not in it.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if something is in the target's place, or one of them cannot be read or
/// written; [`StoreError::Corrupt`] if what was read is damaged. No target is left then.
pub fn back_up(source: &Path, target: &Path) -> Result<Copied, StoreError> {
    require_free(target)?;
    copy(source, &open_to_read(source)?, target, "PRAGMA quick_check(1)")
}

/// Puts a copy in a database's place, where there must be none. Blocks.
///
/// Deliveries that were under way when the copy was made are attempted again, and so are those that
/// ended after it: receivers see them twice, under the same event id.
///
/// # Errors
///
/// As [`back_up`], and [`StoreError::Unavailable`] if the copy was sealed with another master key, was
/// written by a newer version, or a process has the target open.
pub fn restore(copy_of: &Path, target: &Path, key: &MasterKey) -> Result<Copied, StoreError> {
    let _lock = schema::lock(target)?;
    require_free(target)?;
    let db = open_complete(copy_of)?;
    let versions = versions(&db, copy_of)?;
    if versions.from > versions.to {
        return Err(schema::too_new(copy_of, versions.from, versions.to));
    }
    schema::require_key(&db, key, copy_of)?;
    copy(copy_of, &db, target, "PRAGMA integrity_check(1)")
}

/// Which schema a database has, and which one this version writes. Changes nothing.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if it cannot be read.
pub fn pending_migration(path: &Path) -> Result<Migrated, StoreError> {
    versions(&open_to_read(path)?, path)
}

/// Brings a database's schema up to date, as the start of the service would. Safe to repeat. Blocks.
///
/// # Errors
///
/// As [`SqliteStore::open`](super::SqliteStore::open).
pub fn migrate(path: &Path, key: &MasterKey) -> Result<Migrated, StoreError> {
    let _lock = schema::lock(path)?;
    let before = pending_migration(path)?;
    schema::open(path, key, Caches { cache_mib: 64, mmap_mib: 0 })?;
    Ok(before)
}

fn versions(db: &Connection, path: &Path) -> Result<Migrated, StoreError> {
    let from = schema::schema_version(db).map_err(|error| refused(path, error))?;
    Ok(Migrated { from, to: schema::newest() })
}

/// What stands in the target's place is somebody's data, and a log of writes without its database
/// would be applied to ours.
fn require_free(target: &Path) -> Result<(), StoreError> {
    for ending in ["", "-wal", "-shm"] {
        let path = with_ending(target, ending);
        if path.exists() {
            let reason = format!("{} is there already; move it away first", path.display());
            return Err(StoreError::Unavailable { reason });
        }
    }
    Ok(())
}

fn copy(source: &Path, from: &Connection, target: &Path, check: &str) -> Result<Copied, StoreError> {
    let draft = Draft::new(target)?;
    copy_pages(from, &draft.0).map_err(|error| refused(source, error))?;
    let db = open_complete(&draft.0)?;
    let found: String =
        db.query_row(check, [], |row| row.get(0)).map_err(|error| damaged(source, &error.to_string()))?;
    if found != "ok" {
        return Err(damaged(source, &found));
    }
    let schema = versions(&db, target)?.from;
    drop(db);
    let bytes = draft.publish(target).map_err(|error| refused(target, error))?;
    Ok(Copied { bytes, schema })
}

/// All pages in one step: a copy in several steps begins anew whenever another process writes.
fn copy_pages(from: &Connection, draft: &Path) -> rusqlite::Result<()> {
    let mut to = Connection::open(draft)?;
    // Nobody needs the draft if this does not come to its end.
    to.pragma_update(None, "synchronous", "off")?;
    let backup = Backup::new(from, &mut to)?;
    match backup.step(-1)? {
        StepResult::Done => Ok(()),
        other => {
            let reason = format!("the copy was not done in one step: {other:?}");
            Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                Some(reason),
            ))
        }
    }
}

fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let db = Connection::open_with_flags(path, flags)?;
        Caches { cache_mib: 16, mmap_mib: 0 }.apply(&db)?;
        // Opening is lazy: what is not a database shows here.
        db.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(db)
    };
    open().map_err(|error: rusqlite::Error| refused(path, error))
}

/// Opens a file that nobody writes and that has no log of writes beside it, and leaves none there.
fn open_complete(path: &Path) -> Result<Connection, StoreError> {
    if with_ending(path, "-wal").exists() {
        return open_to_read(path);
    }
    let mut uri = url::Url::from_file_path(std::path::absolute(path).map_err(|error| refused(path, error))?)
        .map_err(|()| refused(path, "its path is not absolute"))?;
    uri.set_query(Some("immutable=1"));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri.as_str(), flags).map_err(|error| refused(path, error))
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Corrupt { reason: format!("{} is damaged: {reason}", path.display()) }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A file beside the target that is removed again unless it becomes the target.
struct Draft(PathBuf);

impl Draft {
    fn new(target: &Path) -> Result<Draft, StoreError> {
        let path = with_ending(target, ".part");
        let make = || -> io::Result<()> {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // For our user alone: payloads are in it.
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map(drop)
        };
        make().map_err(|error| refused(&path, error))?;
        Ok(Draft(path))
    }

    /// On stable storage first, then under its name.
    fn publish(&self, target: &Path) -> io::Result<u64> {
        let file = File::open(&self.0)?;
        file.sync_all()?;
        fs::rename(&self.0, target)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it was published there is nothing under this name any more.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests;
