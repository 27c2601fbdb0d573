//! How many deliveries may be born leased in each lane.
//!
//! The dispatcher says how much room it has; whoever appends takes of it. The
//! numbers are a hint, shared because asking the dispatcher for each event
//! would cost a round trip: one too many waits a moment longer in its lane,
//! one too few is claimed from the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use angarium_domain::ids::SubscriptionId;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Room in a lane that the dispatcher has not heard of: its first few events need no claim.
const ROOM_OF_NEW_LANE: u32 = 8;

pub(crate) struct Rooms {
    lanes: RwLock<HashMap<SubscriptionId, AtomicU32>>,
    closed: AtomicBool,
    /// Appends that may hold births which the dispatcher has not heard of.
    births: TaskTracker,
}

/// Births under way, for as long as this lives.
pub(crate) struct Births(#[expect(dead_code, reason = "held for its drop")] TaskTrackerToken);

impl Rooms {
    pub(crate) fn new() -> Rooms {
        Rooms { lanes: RwLock::default(), closed: AtomicBool::new(false), births: TaskTracker::new() }
    }

    /// The dispatcher's word.
    pub(crate) fn set(&self, rooms: Vec<(SubscriptionId, u32)>) {
        let unknown: Vec<_> = {
            let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
            let set = |(id, room): &(SubscriptionId, u32)| {
                lanes.get(id).map(|lane| lane.store(*room, Relaxed)).is_none()
            };
            rooms.into_iter().filter(set).collect()
        };
        if !unknown.is_empty() {
            let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
            lanes.extend(unknown.into_iter().map(|(id, room)| (id, AtomicU32::new(room))));
        }
    }

    /// Takes one place, if there is one.
    pub(crate) fn take(&self, id: SubscriptionId) -> bool {
        if self.closed.load(Relaxed) {
            return false;
        }
        let taken =
            |lane: &AtomicU32| lane.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(1)).is_ok();
        if let Some(lane) = self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return taken(lane);
        }
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        taken(lanes.entry(id).or_insert_with(|| AtomicU32::new(ROOM_OF_NEW_LANE)))
    }

    /// Gives a place back whose delivery was not written.
    pub(crate) fn give_back(&self, id: SubscriptionId) {
        if let Some(lane) = self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            lane.fetch_add(1, Relaxed);
        }
    }

    /// A lane is gone.
    pub(crate) fn forget(&self, id: SubscriptionId) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// To be held from before the first place is taken until the dispatcher was told.
    pub(crate) fn begin_births(&self) -> Births {
        Births(self.births.token())
    }

    /// After [`Rooms::close`]: returns when the dispatcher was told of everything born before.
    pub(crate) async fn births_ended(&self) {
        self.births.close();
        self.births.wait().await;
    }

    /// Nothing more is born leased.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(n: u8) -> SubscriptionId {
        SubscriptionId::from_bytes([n; 16])
    }

    fn takes(rooms: &Rooms, id: SubscriptionId) -> usize {
        std::iter::repeat_with(|| rooms.take(id)).take(100).filter(|taken| *taken).count()
    }

    #[test]
    fn a_new_lane_has_a_little_room_and_then_what_the_dispatcher_says() {
        let rooms = Rooms::new();
        assert_eq!(takes(&rooms, lane(1)), ROOM_OF_NEW_LANE as usize);
        rooms.set(vec![(lane(1), 3), (lane(2), 0)]);
        assert_eq!((takes(&rooms, lane(1)), takes(&rooms, lane(2))), (3, 0));
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let rooms = Rooms::new();
        rooms.set(vec![(lane(1), 1)]);
        assert!(rooms.take(lane(1)) && !rooms.take(lane(1)));
        rooms.give_back(lane(1));
        assert!(rooms.take(lane(1)));
    }

    #[test]
    fn nothing_is_born_leased_after_closing() {
        let rooms = Rooms::new();
        rooms.close();
        assert!(!rooms.take(lane(1)));
    }

    #[tokio::test]
    async fn births_are_waited_for_until_the_last_one_was_told() {
        let rooms = Rooms::new();
        let births = rooms.begin_births();
        let mut ended = std::pin::pin!(rooms.births_ended());
        assert!(futures_util::poll!(&mut ended).is_pending());
        drop(births);
        ended.await;
    }
}
