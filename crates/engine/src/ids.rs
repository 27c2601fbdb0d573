//! Random bits, in one place.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use angarium_domain::ids::{Id, Kind};
use angarium_domain::time::Timestamp;

/// Where random bits come from.
pub trait IdSource: Send + Sync {
    /// The time and the random part of an id that is made at about `at`. Ids sort in the order in
    /// which they were asked for: that is the order of an ordered lane.
    fn stamp(&self, at: Timestamp) -> (Timestamp, [u8; 10]);

    /// A signing key or a token's secret: nobody may guess it.
    fn key(&self) -> [u8; 32];
}

/// The cryptographic generator.
#[derive(Debug, Default)]
pub struct RandomIds {
    /// The last id's time and number. Shared, because ids are made on every thread.
    last: Mutex<(Timestamp, u64)>,
}

/// How far the number moves within a millisecond: at random, so that ids tell nothing about how
/// many there are.
const STEP_BITS: u32 = 20;
const CLOCK_STEP: Duration = Duration::from_secs(1);

impl IdSource for RandomIds {
    /// RFC 9562, 6.2, method 2: within a millisecond the low 56 bits grow by a random step. A
    /// caller whose time is a little behind gets the time of the one before it.
    fn stamp(&self, at: Timestamp) -> (Timestamp, [u8; 10]) {
        let mut bytes: [u8; 10] = fill();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (last_at, last_number) = *last;
        // Further behind than callers overtake each other: the clock was set back.
        let at = if last_at.since(at) < CLOCK_STEP { at.max(last_at) } else { at };
        let drawn = u64::from_be_bytes(bytes[2..].try_into().expect("eight bytes"));
        // Begins below half of the range, so that it does not run out within a millisecond.
        let number = if at == last_at { last_number + 1 + (drawn >> (64 - STEP_BITS)) } else { drawn >> 9 };
        *last = (at, number);
        drop(last);
        // The upper bits hold the version and the variant, and must be equal within a millisecond.
        bytes[..3].fill(0);
        bytes[3..].copy_from_slice(&number.to_be_bytes()[1..]);
        (at, bytes)
    }

    fn key(&self) -> [u8; 32] {
        fill()
    }
}

fn fill<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A new id, made at `now`.
pub fn new_id<K: Kind>(ids: &dyn IdSource, now: Timestamp) -> Id<K> {
    let (at, random) = ids.stamp(now);
    Id::new(at, random)
}

#[cfg(test)]
mod tests {
    use angarium_domain::ids::EventId;

    use super::*;

    #[test]
    fn ids_sort_in_the_order_in_which_they_were_made() {
        let ids = RandomIds::default();
        // Two callers, of which one is a millisecond behind.
        let at = |n: i64| Timestamp::from_millis(1 + n / 1_000 + n % 2);
        let made: Vec<EventId> = (0..10_000).map(|n| new_id(&ids, at(n))).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed() {
        let ids = RandomIds::default();
        let _: EventId = new_id(&ids, Timestamp::from_seconds(100));
        let earlier = Timestamp::from_seconds(50);
        assert_eq!(new_id::<angarium_domain::ids::EventKind>(&ids, earlier).made_at(), earlier);
    }

    #[test]
    fn two_sources_do_not_make_the_same_ids() {
        let at = Timestamp::from_millis(1);
        let [a, b] = [RandomIds::default(), RandomIds::default()];
        assert!((0..100).all(|_| a.stamp(at) != b.stamp(at)));
    }
}
