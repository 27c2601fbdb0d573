//! What is written together with events, in memory.

use super::Contents;
use crate::error::StoreError;
use crate::event_log::Beside;

impl Contents {
    /// Whether what it was decided upon still holds.
    pub(super) fn check_beside(&self, beside: &Beside) -> Result<(), StoreError> {
        let holds = match beside {
            Beside::Failed { .. } => true,
            Beside::Told(told) => return self.check_told(told),
            Beside::Item(item) => !self.has_item(item),
            Beside::Marking(marking) => self.may_mark(marking),
            Beside::Source(source) => return self.shelves.check(source),
        };
        if holds { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Writes it, after the check.
    pub(super) fn write_beside(&mut self, beside: &Beside) {
        match beside {
            Beside::Failed { handle, failure } => self.note_failure(handle, failure),
            Beside::Told(told) => self.note_told(told),
            Beside::Source(source) => self.shelves.put(source),
            Beside::Item(item) => self.put_item(item.clone()),
            Beside::Marking(marking) => self.mark(marking),
        }
    }
}
