//! The buckets themselves: how full each is, for a bounded number of callers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::StateStore;

use super::Steady;
use crate::peer::network_of;

/// The most buckets of one class: about 20 MiB. Callers beyond that share one.
const BUCKETS_MAX: usize = 100_000;
/// Full buckets are forgotten this often. They are the same as none.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Whose bucket, and whether a place is taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    whose: Whose,
    /// Only to know whether there is a place.
    looking: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Credential(String),
    Address(IpAddr),
    Session(String),
    /// Of everybody who came when there was no room for another bucket.
    Everybody,
}

/// Shared because every request may take from one; held for a look-up, never across an await.
pub(super) struct Buckets {
    contents: Mutex<Contents>,
    clock: Steady,
    started_at: Duration,
}

#[derive(Default)]
struct Contents {
    /// When each bucket is full again, since the start.
    full_at: HashMap<Whose, Nanos>,
    swept_at: Duration,
}

impl Key {
    pub(super) fn of_credential(owner: &str, actor: &str) -> Key {
        Key { whose: Whose::Credential(format!("{owner} {actor}")), looking: false }
    }

    pub(super) fn of_address(address: IpAddr) -> Key {
        Key { whose: Whose::Address(network_of(address)), looking: false }
    }

    pub(super) fn of_session(handle: &str, id: &str) -> Key {
        Key { whose: Whose::Session(format!("{handle} {id}")), looking: false }
    }

    pub(super) fn look_at(address: IpAddr) -> Key {
        Key { looking: true, ..Key::of_address(address) }
    }
}

impl Buckets {
    /// To be made together with the limiter: both count from the same start.
    pub(super) fn new(clock: Steady) -> Buckets {
        let started_at = clock.now();
        Buckets { contents: Mutex::default(), clock, started_at }
    }
}

impl StateStore for Buckets {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let since_start = self.clock.now().saturating_sub(self.started_at);
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.sweep_when_due(since_start);
        let whose = contents.bucket_for(&key.whose, since_start);
        let (standing, full_at) = decide(contents.full_at.get(whose).copied())?;
        if !key.looking {
            contents.full_at.insert(whose.clone(), full_at);
        }
        Ok(standing)
    }
}

impl Contents {
    /// The caller's own bucket, or the common one if there is no room for another.
    fn bucket_for<'a>(&mut self, whose: &'a Whose, now: Duration) -> &'a Whose {
        if self.full_at.len() < BUCKETS_MAX || self.full_at.contains_key(whose) {
            return whose;
        }
        // A sweep may have been a while ago; not more than one a second, or strangers keep us busy.
        if now.saturating_sub(self.swept_at) >= Duration::from_secs(1) {
            self.sweep(now);
        }
        if self.full_at.len() < BUCKETS_MAX { whose } else { &Whose::Everybody }
    }

    fn sweep_when_due(&mut self, now: Duration) {
        if now.saturating_sub(self.swept_at) >= SWEEP_INTERVAL {
            self.sweep(now);
            self.full_at.shrink_to_fit();
        }
    }

    fn sweep(&mut self, now: Duration) {
        let now_nanos = Nanos::from(now);
        self.full_at.retain(|_, full_at| *full_at > now_nanos);
        self.swept_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Whose {
        Whose::Address(std::net::Ipv4Addr::from(n).into())
    }

    fn full() -> Contents {
        let mut contents = Contents::default();
        for n in 0..BUCKETS_MAX as u32 {
            contents.full_at.insert(address(n), Nanos::from(Duration::from_secs(10)));
        }
        contents
    }

    #[test]
    fn callers_beyond_the_limit_share_a_bucket_and_those_before_keep_theirs() {
        let mut contents = full();
        let (known, stranger) = (address(5), address(u32::MAX));
        assert_eq!(contents.bucket_for(&known, Duration::from_secs(9)), &known);
        assert_eq!(contents.bucket_for(&stranger, Duration::from_secs(9)), &Whose::Everybody);
    }

    #[test]
    fn full_buckets_make_room() {
        let mut contents = full();
        let stranger = address(u32::MAX);
        assert_eq!(contents.bucket_for(&stranger, Duration::from_secs(11)), &stranger);
        assert!(contents.full_at.is_empty());
    }

    #[test]
    fn idle_callers_are_forgotten_and_their_memory_is_given_back() {
        let mut contents = full();
        contents.sweep_when_due(Duration::from_secs(59));
        assert_eq!(contents.full_at.len(), BUCKETS_MAX);
        contents.sweep_when_due(Duration::from_mins(1));
        assert_eq!((contents.full_at.len(), contents.full_at.capacity()), (0, 0));
    }
}
