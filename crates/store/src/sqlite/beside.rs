//! What is written together with events, in `SQLite`.

use rusqlite::Connection;

use super::alerts;
use super::context_store;
use super::fault::Tried;
use crate::event_log::Beside;

/// Whether what it was decided upon still holds.
pub(super) fn check(db: &Connection, beside: &Beside) -> Tried<()> {
    match beside {
        Beside::Failed { .. } => Ok(()),
        Beside::Told(told) => alerts::check_told(db, told),
        Beside::Source(source) => context_store::check_source(db, source),
    }
}

/// Writes it, after the check.
pub(super) fn write(db: &Connection, beside: &Beside) -> Tried<()> {
    match beside {
        Beside::Failed { handle, failure } => alerts::note_failure(db, handle, failure),
        Beside::Told(told) => alerts::note_told(db, told),
        Beside::Source(source) => context_store::put_source(db, source),
    }
}
