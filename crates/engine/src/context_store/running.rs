//! Which syncs have a task, so that one that is asked for always has one and never two.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use angarium_domain::ids::SourceId;

/// The sources that are worked on. Shared, because whoever asks for a sync begins its task.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Whether the source was asked for again since its task looked.
    asked_again: Mutex<HashMap<SourceId, bool>>,
}

impl Running {
    /// Whether the caller is to begin a task. If there is one, it looks once more before it ends.
    pub(super) fn begin(&self, id: SourceId) -> bool {
        let mut running = self.asked_again.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked_again) = running.get_mut(&id) {
            *asked_again = true;
            return false;
        }
        running.insert(id, false);
        true
    }

    /// Whether the task of a source is over; else somebody has asked for it since it began or was asked this.
    pub(super) fn is_over(&self, id: SourceId) -> bool {
        let mut running = self.asked_again.lock().unwrap_or_else(PoisonError::into_inner);
        let asked_again = running.get_mut(&id).is_some_and(std::mem::take);
        if !asked_again {
            running.remove(&id);
        }
        !asked_again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_while_a_task_ends_is_not_forgotten() {
        let (running, id) = (Running::default(), SourceId::from_bytes([7; 16]));
        assert!(running.begin(id));
        assert!(!running.begin(id), "there is a task");
        assert!(!running.begin(id));
        assert!(!running.is_over(id), "it was asked for again, once or twice is the same");
        assert!(running.is_over(id));
        assert!(running.begin(id), "it is over, so whoever asks begins another");
    }
}
