//! What is written together with events, in `SQLite`.

use rusqlite::Connection;

use super::fault::Tried;
use crate::event_log::Beside;

/// Whether what it was decided upon still holds.
pub(super) fn check(_db: &Connection, beside: &Beside) -> Tried<()> {
    match *beside {}
}

/// Writes it, after the check.
pub(super) fn write(_db: &Connection, beside: &Beside) -> Tried<()> {
    match *beside {}
}
