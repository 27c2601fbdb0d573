//! Fair turns: between handles first, then between the lanes of a handle.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::handle::Handle;
use crate::ids::SubscriptionId;

/// A queue in which each handle has one turn, then the next one, however many lanes each has.
#[derive(Debug, Default)]
pub(super) struct Turns {
    handles: VecDeque<Handle>,
    lanes: HashMap<Handle, VecDeque<SubscriptionId>>,
    waiting: HashSet<SubscriptionId>,
}

impl Turns {
    /// Puts a lane at the end of its handle's turns, unless it waits already.
    pub(super) fn push(&mut self, handle: &Handle, lane: SubscriptionId) {
        if !self.waiting.insert(lane) {
            return;
        }
        let lanes = self.lanes.entry(handle.clone()).or_default();
        if lanes.is_empty() {
            self.handles.push_back(handle.clone());
        }
        lanes.push_back(lane);
    }

    /// The lane whose turn it is.
    pub(super) fn pop(&mut self) -> Option<SubscriptionId> {
        let handle = self.handles.pop_front()?;
        let lanes = self.lanes.get_mut(&handle).expect("a handle in the queue has lanes");
        let lane = lanes.pop_front().expect("a handle in the queue has a lane waiting");
        self.waiting.remove(&lane);
        if lanes.is_empty() {
            self.lanes.remove(&handle);
        } else {
            self.handles.push_back(handle);
        }
        Some(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_with_many_lanes_gets_no_more_turns_than_one_with_few() {
        let big: Handle = "big".parse().expect("a handle");
        let small: Handle = "small".parse().expect("a handle");
        let lane = |n| SubscriptionId::from_bytes([n; 16]);
        let mut turns = Turns::default();
        for n in 1..=4 {
            turns.push(&big, lane(n));
        }
        turns.push(&small, lane(9));
        turns.push(&small, lane(9));
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order, [1, 9, 2, 3, 4].map(lane));
    }
}
