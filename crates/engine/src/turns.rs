//! Whose work may run now: so much of each handle's, and not too much together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use angarium_domain::handle::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for one kind of work that is dear, such as syncs.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    /// Shared, because whoever works takes a place of their handle's.
    of: Mutex<HashMap<Handle, Arc<Semaphore>>>,
    per_handle: usize,
}

/// A place, for as long as this lives.
pub(crate) struct Turn {
    own: OwnTurn,
    _of_all: OwnedSemaphorePermit,
}

/// A place that only others of the same handle miss.
pub(crate) struct OwnTurn {
    _place: OwnedSemaphorePermit,
}

impl Turn {
    /// Gives the place back to other handles.
    pub(crate) fn kept_from_its_own(self) -> OwnTurn {
        self.own
    }
}

impl Turns {
    /// So many places, and so many of them for each handle: one that is slow must not keep all others waiting.
    pub(crate) fn new(all: usize, per_handle: usize) -> Turns {
        Turns { all: Arc::new(Semaphore::new(all)), of: Mutex::default(), per_handle }
    }

    /// Waits for a place of the handle's, and then for one of all, each in the order of asking.
    pub(crate) async fn take(&self, handle: &Handle) -> Turn {
        let own = self.places_of(handle).acquire_owned().await.expect("it is never closed");
        let of_all = self.all.clone().acquire_owned().await.expect("it is never closed");
        Turn { own: OwnTurn { _place: own }, _of_all: of_all }
    }

    /// A place, if there is one at once.
    pub(crate) fn try_take(&self, handle: &Handle) -> Option<Turn> {
        let own = self.places_of(handle).try_acquire_owned().ok()?;
        let of_all = self.all.clone().try_acquire_owned().ok()?;
        Some(Turn { own: OwnTurn { _place: own }, _of_all: of_all })
    }

    fn places_of(&self, handle: &Handle) -> Arc<Semaphore> {
        let mut known = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has a place or waits for one holds on to the handle's places.
        known.retain(|_, places| Arc::strong_count(places) > 1);
        let places = known.entry(handle.clone());
        places.or_insert_with(|| Arc::new(Semaphore::new(self.per_handle))).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_handle_does_not_take_all_places() {
        let turns = Turns::new(3, 2);
        let handle = |text: &str| text.parse::<Handle>().expect("a handle");
        let (acme, beta) = (handle("acme"), handle("beta"));
        let moment = Duration::from_secs(1);
        let mut held = Vec::new();
        for _ in 0..2 {
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

    #[test]
    fn who_does_not_wait_takes_no_place_that_is_not_free() {
        let turns = Turns::new(2, 1);
        let [acme, beta, gamma] = ["acme", "beta", "gamma"].map(|text| text.parse().expect("a handle"));
        let held = turns.try_take(&acme).expect("all are free");
        assert!(turns.try_take(&acme).is_none(), "the handle has one");
        let other = turns.try_take(&beta).expect("one is free");
        assert!(turns.try_take(&gamma).is_none(), "all are taken");
        drop((held, other));
        assert!(turns.try_take(&gamma).is_some() && turns.try_take(&acme).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_only_its_own_handle_misses_is_nobody_else_s_loss() {
        let turns = Turns::new(1, 1);
        let handle = |text: &str| text.parse::<Handle>().expect("a handle");
        let (acme, beta) = (handle("acme"), handle("beta"));
        let moment = Duration::from_secs(1);
        let turn = turns.take(&acme).await;
        assert!(timeout(moment, turns.take(&beta)).await.is_err());
        let rest = turn.kept_from_its_own();
        assert!(timeout(moment, turns.take(&beta)).await.is_ok());
        assert!(timeout(moment, turns.take(&acme)).await.is_err());
        drop(rest);
        assert!(timeout(moment, turns.take(&acme)).await.is_ok());
    }
}
