//! What is written together with events, in memory.

use angarium_domain::voice_note::Status;

use super::Contents;
use crate::error::StoreError;
use crate::event_log::Beside;

impl Contents {
    /// Whether what it was decided upon still holds.
    pub(super) fn check_beside(&self, beside: &Beside) -> Result<(), StoreError> {
        match beside {
            Beside::Failed { .. } | Beside::Mailbox { .. } => Ok(()),
            Beside::Told(told) => self.check_told(told),
            Beside::ReportsTold(told) => still(self.may_tell_of_reports(told)),
            Beside::Item(item) => still(!self.has_item(item)),
            Beside::Marking(marking) => still(self.may_mark(marking)),
            Beside::Source(source) => self.shelves.check(source),
            Beside::Signals(come) => still(self.sessions.may_come(come)),
            Beside::Decision(rests) => still(self.sessions.may_rest(rests)),
            Beside::VoiceNote(note) => self.check_voice_note(note, Status::Processing),
        }
    }

    /// Writes it, after the check.
    pub(super) fn write_beside(&mut self, beside: &Beside) {
        match beside {
            Beside::Failed { handle, failure } => self.note_failure(handle, failure),
            Beside::Told(told) => self.note_told(told),
            Beside::ReportsTold(told) => self.note_reports_told(told),
            Beside::VoiceNote(note) => self.put_voice_note((**note).clone()),
            Beside::Source(source) => self.shelves.put(source),
            Beside::Item(item) => self.put_item(item.clone()),
            Beside::Marking(marking) => self.mark(marking),
            Beside::Signals(come) => self.sessions.come(come),
            Beside::Decision(rests) => self.sessions.rest(rests),
            Beside::Mailbox { handle, key, change } => self.change_mailbox(handle, key, change),
        }
    }
}

fn still(holds: bool) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(StoreError::Conflict) }
}
