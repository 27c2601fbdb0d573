//! Promises of the delivery queue about ordering keys: those with the same key in the same lane go
//! one after the other.

use angarium_domain::delivery::{Delivery, OrderingKey, State, Status};
use angarium_domain::ids::DeliveryId;
use angarium_domain::replay::DeliveryFilter;
use angarium_domain::time::Timestamp;

use super::fixture::{
    acme, append, appending, at, change, claim, claim_of, dead_at, delivery, entry, event, failed, ids,
    is_conflict, lane, listed, logged, matching, ok, repeat, settle, state_of,
};
use crate::Store;
use crate::delivery_queue::{Held, Lease, Settle};
use crate::directory::Change;
use crate::error::StoreError;
use crate::event_log::Append;
use crate::history::LogFilter;
use crate::page::PageRequest;

fn keyed(n: u64, lane_number: u8, key: &str) -> Delivery {
    let ordering_key = Some(OrderingKey::from_stored(key.to_owned()));
    Delivery { ordering_key, ..delivery(&event(&acme(), n), lane(lane_number)) }
}

/// Event number `n` with one delivery in a lane under a key, due when the event was accepted.
async fn queued(store: &dyn Store, n: u64, lane_number: u8, key: &str) -> Delivery {
    let delivery = keyed(n, lane_number, key);
    append(store, appending(vec![event(&acme(), n)], vec![delivery.clone()])).await;
    delivery
}

/// Claims what is due in the first lane, and answers the leases.
async fn leases(store: &dyn Store, now: Timestamp) -> Vec<Lease> {
    claim(store, claim_of(lane(1), 10), now).await.leased.into_iter().map(|leased| leased.lease).collect()
}

async fn claimed(store: &dyn Store, now: Timestamp) -> Vec<DeliveryId> {
    ids(&claim(store, claim_of(lane(1), 10), now).await)
}

/// Ends a delivery, and answers when the next of its key is due.
async fn end(store: &dyn Store, lease: Lease, end: State) -> Option<Timestamp> {
    let outcome = if matches!(end, State::Delivered { .. }) { ok() } else { failed() };
    let ending = Settle { record: None, ..settle(lease, end, outcome) };
    store.settle(ending).await.expect("the lease holds")
}

/// The second waits while the first is attempted and while it waits for a retry, until its end.
pub async fn deliveries_of_one_key_are_claimed_one_after_the_other(store: &dyn Store) {
    let [first, second, third] =
        [queued(store, 1, 1, "k").await, queued(store, 2, 1, "k").await, queued(store, 3, 1, "k").await];
    let mut lease = leases(store, at(10)).await;
    assert_eq!((lease.len(), lease[0].delivery_id), (1, first.id));
    assert_eq!(claimed(store, at(10)).await, []);

    assert_eq!(end(store, lease.remove(0), State::Scheduled { due_at: at(90) }).await, None);
    let waiting = claim(store, claim_of(lane(1), 10), at(20)).await;
    assert_eq!((ids(&waiting), waiting.next_due_at), (vec![], Some(at(90))));

    let lease = leases(store, at(90)).await.remove(0);
    assert_eq!(lease.delivery_id, first.id);
    assert_eq!(end(store, lease, dead_at(at(91))).await, Some(at(2)));
    let lease = leases(store, at(92)).await.remove(0);
    assert_eq!(lease.delivery_id, second.id);
    assert_eq!(end(store, lease, State::Delivered { at: at(93) }).await, Some(at(3)));
    let lease = leases(store, at(94)).await.remove(0);
    assert_eq!(lease.delivery_id, third.id);
    assert_eq!(end(store, lease, State::Delivered { at: at(95) }).await, None);
}

/// Other keys, other lanes and what has no key pass by; events without a key share one.
pub async fn a_key_waits_for_nobody_elses_deliveries(store: &dyn Store) {
    let head = queued(store, 1, 1, "k").await;
    let behind = queued(store, 2, 1, "k").await;
    let other_key = queued(store, 3, 1, "l").await;
    let without = queued(store, 4, 1, "").await;
    let without_too = queued(store, 5, 1, "").await;
    let unordered = Delivery { ordering_key: None, ..keyed(6, 1, "") };
    append(store, appending(vec![event(&acme(), 6)], vec![unordered.clone()])).await;
    let other_lane = queued(store, 7, 2, "k").await;

    assert_eq!(claimed(store, at(10)).await, [head.id, other_key.id, without.id, unordered.id]);
    assert_eq!(ids(&claim(store, claim_of(lane(2), 10), at(10)).await), [other_lane.id]);
    for (waiting, waits) in [(&behind, true), (&without_too, true), (&head, false), (&other_lane, false)] {
        assert_eq!(logged(store, waiting.id).await.waits, waits);
    }
}

/// What waits is due at its own time, and nobody is told of that before its turn has come.
pub async fn what_waits_is_neither_due_nor_in_a_claims_way(store: &dyn Store) {
    let head = queued(store, 1, 1, "k").await;
    for n in 2..40 {
        queued(store, n, 1, "k").await;
    }
    let lease = leases(store, at(1)).await.remove(0);
    assert_eq!(lease.delivery_id, head.id);
    assert_eq!(store.lanes().await.expect("it reads"), []);
    assert_eq!(store.oldest_due().await.expect("it reads"), None);
    store.release(vec![(lease, at(70))]).await.expect("it writes");
    let lanes = store.lanes().await.expect("it reads");
    assert_eq!(lanes.iter().map(|lane| lane.next_due_at).collect::<Vec<_>>(), [at(70)]);
    let census = store.census().await.expect("it counts");
    assert_eq!((census.scheduled, census.in_flight), (39, 0));
}

/// Whoever commits first goes first, whatever the ids say; within an append the order is its own.
pub async fn the_order_is_that_of_the_commits(store: &dyn Store) {
    let newer = queued(store, 9, 1, "k").await;
    let [second, third, fourth] = [7, 3, 5].map(|n| keyed(n, 1, "k"));
    let events = [3, 5, 7].map(|n| event(&acme(), n)).to_vec();
    append(store, appending(events, vec![second.clone(), third.clone(), fourth.clone()])).await;
    let last = queued(store, 1, 1, "k").await;
    for expected in [newer, second, third, fourth, last] {
        let lease = leases(store, at(50)).await.remove(0);
        assert_eq!(lease.delivery_id, expected.id);
        end(store, lease, State::Delivered { at: at(50) }).await;
    }
}

/// Neither a release nor a crash lets the next one by.
pub async fn a_head_that_comes_back_is_still_the_head(store: &dyn Store) {
    let head = queued(store, 1, 1, "k").await;
    queued(store, 2, 1, "k").await;
    let lease = leases(store, at(10)).await.remove(0);
    store.release(vec![(lease, at(11))]).await.expect("it writes");
    assert_eq!(claimed(store, at(12)).await, [head.id]);
    assert_eq!(store.take_back(Held::ByAnyone, at(13)).await.expect("it writes"), 1);
    assert_eq!(claimed(store, at(14)).await, [head.id]);
    assert_eq!(claimed(store, at(15)).await, []);
}

/// Nothing that has ended is in anybody's way.
pub async fn a_key_whose_deliveries_have_ended_begins_anew(store: &dyn Store) {
    for n in 1..4 {
        let next = queued(store, n, 1, "k").await;
        let lease = leases(store, at(50)).await.remove(0);
        assert_eq!(lease.delivery_id, next.id);
        let ends = [State::Delivered { at: at(51) }, dead_at(at(51)), State::Cancelled { at: at(51) }];
        assert_eq!(end(store, lease, ends[n as usize - 1]).await, None);
    }
}

/// A replay is a new delivery, at the end of its key.
pub async fn a_replay_waits_behind_what_is_unfinished_of_its_key(store: &dyn Store) {
    let original = queued(store, 1, 1, "k").await;
    let waiting = queued(store, 2, 1, "k").await;
    let lease = leases(store, at(10)).await.remove(0);
    end(store, lease, dead_at(at(11))).await;
    let replay = repeat(&original, 1, at(12));
    append(store, appending(vec![], vec![replay.clone()])).await;
    for expected in [waiting, replay] {
        let lease = leases(store, at(20)).await.remove(0);
        assert_eq!(lease.delivery_id, expected.id);
        end(store, lease, State::Delivered { at: at(21) }).await;
    }
}

/// What follows from an end is younger than what waited for it.
pub async fn a_follow_up_waits_behind_the_one_that_was_brought_up(store: &dyn Store) {
    queued(store, 1, 1, "k").await;
    let second = queued(store, 2, 1, "k").await;
    let follow_up = keyed(3, 1, "k");
    let lease = leases(store, at(10)).await.remove(0);
    let follows = appending(vec![event(&acme(), 3)], vec![follow_up.clone()]);
    let ending = Settle { follow_up: Some(follows), ..settle(lease, dead_at(at(11)), failed()) };
    assert_eq!(store.settle(ending).await.expect("the lease holds"), Some(at(2)));
    let lease = leases(store, at(12)).await.remove(0);
    assert_eq!(lease.delivery_id, second.id);
    assert_eq!(end(store, lease, State::Delivered { at: at(13) }).await, Some(at(3)));
    assert_eq!(claimed(store, at(14)).await, [follow_up.id]);
}

/// A void lease, or a follow-up that was decided upon an old snapshot, changes nothing.
pub async fn a_settlement_that_is_refused_brings_up_nothing(store: &dyn Store) {
    let head = queued(store, 1, 1, "k").await;
    queued(store, 2, 1, "k").await;
    let lease = leases(store, at(10)).await.remove(0);
    let stale = Append { decided_upon: vec![(acme(), 99)], ..Append::default() };
    let ending = Settle { follow_up: Some(stale), ..settle(lease.clone(), dead_at(at(11)), failed()) };
    assert!(is_conflict(&store.settle(ending).await));
    store.take_back(Held::ByAnyone, at(12)).await.expect("it writes");
    let late = store.settle(settle(lease, State::Delivered { at: at(13) }, ok())).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)));
    assert_eq!(claimed(store, at(14)).await, [head.id]);
}

/// In the log it is pending, or held if its subscription is paused, page by page.
pub async fn what_waits_is_listed_like_anything_scheduled(store: &dyn Store) {
    let mut expected = Vec::new();
    for n in 1..8 {
        expected.insert(0, queued(store, n, 1, if n % 3 == 0 { "l" } else { "k" }).await.id);
    }
    let with = |status| DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
    let of_lane = |status, n| matching(DeliveryFilter { subscription_id: Some(lane(n)), ..with(status) });
    assert_eq!(listed(store, matching(with(Status::Pending))).await, expected);
    assert_eq!(listed(store, of_lane(Status::Pending, 1)).await, expected);
    assert_eq!(listed(store, of_lane(Status::Pending, 2)).await, []);
    assert_eq!(listed(store, of_lane(Status::Retrying, 1)).await, []);
    let of_event = DeliveryFilter { event_id: Some(event(&acme(), 4).id), ..with(Status::Pending) };
    assert_eq!(listed(store, matching(of_event)).await, [keyed(4, 1, "k").id]);
    let held = LogFilter { paused: vec![lane(1)], ..matching(with(Status::Held)) };
    assert_eq!(listed(store, held).await, expected);
    let pending = LogFilter { paused: vec![lane(1)], ..matching(with(Status::Pending)) };
    assert_eq!(listed(store, pending).await, []);

    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = PageRequest { before, limit: 2 };
        let page = store.deliveries(&acme(), matching(with(Status::Pending)), page).await.expect("it reads");
        seen.extend(page.items.iter().map(|logged| logged.delivery.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

/// Nothing of a removed subscription is left waiting, and the one in flight has nobody behind it.
pub async fn what_waits_is_cancelled_with_its_subscription(store: &dyn Store) {
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    let [held, behind, other_key] =
        [queued(store, 1, 1, "k").await, queued(store, 2, 1, "k").await, queued(store, 3, 1, "l").await];
    let beside = [queued(store, 4, 2, "k").await, queued(store, 5, 2, "k").await];
    let lease = claim(store, claim_of(lane(1), 1), at(10)).await.leased.remove(0).lease;
    assert_eq!(lease.delivery_id, held.id);

    change(store, 1, Change::Remove(lane(1))).await;
    for cancelled in [&behind, &other_key] {
        assert_eq!(state_of(store, cancelled).await, State::Cancelled { at: at(500) });
        assert!(!logged(store, cancelled.id).await.waits);
    }
    assert!(!store.cancel_removed(10, at(501)).await.expect("it writes"));
    assert_eq!(end(store, lease, State::Delivered { at: at(501) }).await, None);
    for waiting in &beside {
        assert_eq!(state_of(store, waiting).await, waiting.state);
    }
}
