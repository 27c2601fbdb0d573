//! What is written together with events, in memory.

use super::Contents;
use crate::error::StoreError;
use crate::event_log::Beside;

impl Contents {
    /// Whether what it was decided upon still holds.
    pub(super) fn check_beside(&self, beside: &Beside) -> Result<(), StoreError> {
        match beside {
            Beside::Failed { .. } => Ok(()),
            Beside::Told(told) => self.check_told(told),
            Beside::Source(source) => self.shelves.check(source),
        }
    }

    /// Writes it, after the check.
    pub(super) fn write_beside(&mut self, beside: &Beside) {
        match beside {
            Beside::Failed { handle, failure } => self.note_failure(handle, failure),
            Beside::Told(told) => self.note_told(told),
            Beside::Source(source) => self.shelves.put(source),
        }
    }
}
