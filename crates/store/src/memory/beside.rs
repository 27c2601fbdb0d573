//! What is written together with events, in memory.

use super::Contents;
use crate::error::StoreError;
use crate::event_log::Beside;

#[expect(clippy::unused_self, reason = "there is nothing yet that is written beside events")]
impl Contents {
    /// Whether what it was decided upon still holds.
    pub(super) fn check_beside(&self, beside: &Beside) -> Result<(), StoreError> {
        match *beside {}
    }

    /// Writes it, after the check.
    pub(super) fn write_beside(&mut self, beside: &Beside) {
        match *beside {}
    }
}
