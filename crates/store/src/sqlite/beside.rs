//! What is written together with events, in `SQLite`.

use angarium_domain::voice_note::Status;
use rusqlite::Connection;

use super::event_log::require;
use super::fault::Tried;
use super::voice_notes;
use super::{alerts, chains, context_store, inboxes, mailboxes, reports};
use crate::event_log::Beside;

/// Whether what it was decided upon still holds. Ids that are taken are found by writing.
pub(super) fn check(db: &Connection, beside: &Beside) -> Tried<()> {
    match beside {
        Beside::Failed { .. } | Beside::Item(_) | Beside::Mailbox { .. } => Ok(()),
        Beside::Told(told) => alerts::check_told(db, told),
        Beside::ReportsTold(told) => reports::check_told(db, told),
        Beside::Source(source) => context_store::check_source(db, source),
        Beside::Marking(marking) => require(inboxes::may_mark(db, marking)?),
        Beside::Signals(come) => require(chains::signals_may_come(db, come)?),
        Beside::Decision(rests) => require(chains::rule_may_rest(db, rests)?),
        Beside::VoiceNote(note) => voice_notes::check(db, note, Status::Processing),
    }
}

/// Writes it, after the check.
pub(super) fn write(db: &Connection, beside: &Beside) -> Tried<()> {
    match beside {
        Beside::Failed { handle, failure } => alerts::note_failure(db, handle, failure),
        Beside::Told(told) => alerts::note_told(db, told),
        Beside::ReportsTold(told) => reports::note_told(db, told),
        Beside::Source(source) => context_store::put_source(db, source),
        Beside::Item(item) => inboxes::put_item(db, item),
        Beside::Marking(marking) => inboxes::mark(db, marking),
        Beside::Signals(come) => chains::signals_come(db, come),
        Beside::Decision(rests) => chains::rule_rests(db, rests),
        Beside::VoiceNote(note) => voice_notes::put(db, note),
        Beside::Mailbox { handle, key, change } => mailboxes::change(db, handle, key, change),
    }
}
