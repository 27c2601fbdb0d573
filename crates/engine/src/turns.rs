//! Whose sync may run: a few of each handle, and not too many together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use angarium_domain::handle::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Syncs at a time. Each holds the documents of a source in memory.
const RUNNING_MAX: usize = 8;
/// Syncs of one handle at a time: its slow addresses must not keep all others waiting.
const RUNNING_PER_HANDLE_MAX: usize = 2;

/// Places for syncs.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    /// Shared, because every sync takes a place of its handle's.
    of: Mutex<HashMap<Handle, Arc<Semaphore>>>,
}

/// A place, for as long as this lives.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns { all: Arc::new(Semaphore::new(RUNNING_MAX)), of: Mutex::default() }
    }
}

impl Turns {
    /// Waits for a place of the handle's, and then for one of all, each in the order of asking.
    pub(super) async fn take(&self, handle: &Handle) -> Turn {
        let own = self.places_of(handle).acquire_owned().await.expect("it is never closed");
        let of_all = self.all.clone().acquire_owned().await.expect("it is never closed");
        Turn { _own: own, _of_all: of_all }
    }

    fn places_of(&self, handle: &Handle) -> Arc<Semaphore> {
        let mut known = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has a place or waits for one holds on to the handle's places.
        known.retain(|_, places| Arc::strong_count(places) > 1);
        let places = known.entry(handle.clone());
        places.or_insert_with(|| Arc::new(Semaphore::new(RUNNING_PER_HANDLE_MAX))).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_handle_does_not_take_all_places() {
        let turns = Turns::default();
        let handle = |text: &str| text.parse::<Handle>().expect("a handle");
        let (acme, beta) = (handle("acme"), handle("beta"));
        let moment = Duration::from_secs(1);
        let mut held = Vec::new();
        for _ in 0..RUNNING_PER_HANDLE_MAX {
            held.push(turns.take(&acme).await);
        }
        assert!(timeout(moment, turns.take(&acme)).await.is_err());
        assert!(timeout(moment, turns.take(&beta)).await.is_ok());
        held.pop();
        assert!(timeout(moment, turns.take(&acme)).await.is_ok());
        assert!(turns.of.lock().expect("a lock").contains_key(&acme));
        drop(held);
        drop(turns.take(&beta).await);
        assert!(!turns.of.lock().expect("a lock").contains_key(&acme), "nobody waits for them any more");
    }
}
