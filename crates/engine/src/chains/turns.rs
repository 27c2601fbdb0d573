//! One after another at a session: those who number its signals would otherwise refuse each other.
//!
//! A courtesy and no guarantee: the store refuses whatever was numbered from where the ledger no longer
//! is, whoever wrote meanwhile.

use std::hash::{BuildHasher, RandomState};

use angarium_domain::chain::SessionId;
use angarium_domain::handle::Handle;
use tokio::sync::{Mutex, MutexGuard};

/// Sessions beyond that share a place, and wait for each other's commits: a few milliseconds.
const PLACES: usize = 1024;

/// Which session is at which place differs between processes, so that nobody can choose sessions that
/// stand in each other's way.
pub(super) struct Turns {
    places: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Turns {
        let places = (0..PLACES).map(|_| Mutex::new(())).collect();
        Turns { places, hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for one's turn. The mutex is fair: whoever came first goes first.
    pub(super) async fn take(&self, handle: &Handle, id: &SessionId) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one((handle, id)) as usize % PLACES;
        self.places[place].lock().await
    }
}
