//! Promises of the delivery queue.

use angarium_domain::delivery::{Delivery, Settlement, State};
use angarium_domain::ids::DeliveryId;
use angarium_domain::outcome::{Class, Failure, Outcome};

use super::fixture::{
    acme, append, appending, at, beta, birth_lease, born, claim, claim_of, dead_at, delivery, event, failed,
    finished, ids, is_conflict, lane, listed, logged, ok, record, scheduled, settle, settlement, state_of,
    under_key,
};
use crate::Store;
use crate::delivery_queue::{Held, LaneHead, Leased, Settle};
use crate::error::StoreError;
use crate::event_log::Append;
use crate::history::LogFilter;

/// Every lane with something scheduled, once, with its earliest due time.
pub async fn lanes_with_scheduled_deliveries_are_listed(store: &dyn Store) {
    assert_eq!(store.lanes().await.expect("it reads"), []);
    for (n, lane, due_at) in [(1, lane(1), at(30)), (2, lane(1), at(20)), (3, lane(2), at(40))] {
        scheduled(store, n, lane, due_at).await;
    }
    born(store, 4, lane(3)).await;
    let other = event(&beta(), 5);
    append(store, appending(vec![other.clone()], vec![delivery(&other, lane(1))])).await;

    let head = |handle, n, next_due_at| LaneHead { handle, subscription_id: lane(n), next_due_at };
    let expected = [head(acme(), 1, at(20)), head(acme(), 2, at(40)), head(beta(), 1, at(5))];
    let mut lanes = store.lanes().await.expect("it reads");
    lanes.sort_by_key(|lane| (lane.handle.clone(), lane.subscription_id));
    assert_eq!(lanes, expected);
}

/// A claim brings everything that an attempt needs.
pub async fn a_claimed_delivery_comes_with_its_event_and_its_lease(store: &dyn Store) {
    let waiting = scheduled(store, 1, lane(1), at(1)).await;
    let mut claimed = claim(store, claim_of(lane(1), 1), at(10)).await;
    let Leased { lease, delivery, event: of } = claimed.leased.remove(0);

    let in_flight = Delivery { state: State::InFlight { lease_until: at(70) }, ..waiting };
    assert_eq!(delivery, in_flight);
    assert_eq!(of, event(&acme(), 1));
    assert_eq!((lease.handle, lease.delivery_id, lease.until), (acme(), delivery.id, at(70)));
    assert_eq!(logged(store, delivery.id).await.delivery, in_flight);
    assert_eq!(claimed.next_due_at, None);
}

/// A delivery that is leased, at birth or by a claim, is nobody else's.
pub async fn no_two_leases_share_a_delivery(store: &dyn Store) {
    born(store, 1, lane(1)).await;
    for n in 2..6 {
        scheduled(store, n, lane(1), at(n as i64)).await;
    }
    let first = ids(&claim(store, claim_of(lane(1), 2), at(10)).await);
    let second = ids(&claim(store, claim_of(lane(1), 10), at(10)).await);
    let third = ids(&claim(store, claim_of(lane(1), 10), at(10)).await);
    let all: std::collections::BTreeSet<DeliveryId> = first.iter().chain(&second).copied().collect();
    assert_eq!((first.len(), second.len(), third.len(), all.len()), (2, 2, 0, 4));
}

/// Due longest first, by id where that is equal; what is not due is not claimed.
pub async fn those_due_longest_are_claimed_first(store: &dyn Store) {
    let late = scheduled(store, 1, lane(1), at(31)).await;
    let third = scheduled(store, 2, lane(1), at(30)).await;
    let first = scheduled(store, 3, lane(1), at(10)).await;
    let second = scheduled(store, 4, lane(1), at(10)).await;
    let claimed = claim(store, claim_of(lane(1), 10), at(30)).await;
    assert_eq!(ids(&claimed), [first.id, second.id, third.id]);
    assert_eq!(claimed.next_due_at, Some(at(31)));
    assert_eq!(state_of(store, &late).await, State::Scheduled { due_at: at(31) });
}

/// The answer names every lane of the claim, in its order; others are not touched.
pub async fn a_claim_touches_the_lanes_named_and_no_others(store: &dyn Store) {
    for n in 1..40 {
        scheduled(store, n, lane(1), at(0)).await;
    }
    let waiting = scheduled(store, 50, lane(2), at(5)).await;
    let other = event(&beta(), 60);
    let foreign = Delivery { state: State::Scheduled { due_at: at(0) }, ..delivery(&other, lane(2)) };
    append(store, appending(vec![other], vec![foreign])).await;

    let lanes = vec![claim_of(lane(3), 5), claim_of(lane(2), 5), claim_of(lane(1), 3)];
    let claimed = store.claim(lanes, at(10), at(70)).await.expect("it claims");
    let named: Vec<_> = claimed.iter().map(|lane| (lane.subscription_id, lane.leased.len())).collect();
    assert_eq!(named, [(lane(3), 0), (lane(2), 1), (lane(1), 3)]);
    assert_eq!(ids(&claimed[1]), [waiting.id]);
    assert_eq!(claimed[2].next_due_at, Some(at(0)));
    let census = store.census().await.expect("it counts");
    assert_eq!((census.scheduled, census.in_flight), (37, 4));
}

/// State, count, outcome and record are one write.
pub async fn a_settlement_is_written_with_its_record(store: &dyn Store) {
    let delivery = born(store, 1, lane(1)).await;
    let next = State::Scheduled { due_at: at(30) };
    store.settle(settle(birth_lease(&delivery), next, failed())).await.expect("the lease holds");

    let expected = Delivery { state: next, attempts_made: 1, last_outcome: Some(failed()), ..delivery };
    assert_eq!(logged(store, expected.id).await.delivery, expected);
    assert_eq!(store.attempts(&acme(), expected.id).await.expect("it reads"), [record(1, failed())]);
}

/// A delivery that is given up without an attempt keeps what its last attempt came to.
pub async fn a_settlement_without_an_attempt_leaves_no_record(store: &dyn Store) {
    let delivery = born(store, 1, lane(1)).await;
    let due_now = State::Scheduled { due_at: at(2) };
    store.settle(settle(birth_lease(&delivery), due_now, failed())).await.expect("the lease holds");
    let lease = claim(store, claim_of(lane(1), 1), at(3)).await.leased.remove(0).lease;
    let settlement = Settlement { attempts_made: 1, next: dead_at(at(4)), outcome: None, delay: None };
    store.settle(Settle { lease, settlement, record: None, follow_up: None }).await.expect("the lease holds");

    let logged = logged(store, delivery.id).await.delivery;
    assert_eq!(
        (logged.state, logged.last_outcome, logged.attempts_made),
        (dead_at(at(4)), Some(failed()), 1)
    );
    assert_eq!(store.attempts(&acme(), delivery.id).await.expect("it reads").len(), 1);
}

/// A lease that was settled, released, taken back or never given is void.
pub async fn settling_a_void_lease_writes_nothing(store: &dyn Store) {
    let delivery = born(store, 1, lane(1)).await;
    let first = birth_lease(&delivery);
    store.take_back(Held::Until(first.until), at(61)).await.expect("it writes");
    let second = claim(store, claim_of(lane(1), 1), at(62)).await.leased.remove(0).lease;
    assert!(second.token > first.token);
    let before = logged(store, delivery.id).await;
    let foreign = crate::delivery_queue::Lease { handle: beta(), ..second.clone() };
    for void in [first, foreign] {
        let late = settle(void, State::Delivered { at: at(63) }, ok());
        assert!(matches!(store.settle(late).await, Err(StoreError::LeaseLost)));
        assert_eq!(logged(store, delivery.id).await, before);
    }

    let settling = || Settle {
        record: Some(record(2, ok())),
        ..settle(second.clone(), State::Delivered { at: at(63) }, ok())
    };
    store.settle(settling()).await.expect("the lease holds");
    assert!(matches!(store.settle(settling()).await, Err(StoreError::LeaseLost)));
    assert_eq!(store.attempts(&acme(), delivery.id).await.expect("it reads").len(), 2);
}

/// A settlement and what follows from it are one write.
pub async fn what_follows_from_a_settlement_is_written_with_it(store: &dyn Store) {
    let failing = born(store, 1, lane(1)).await;
    let notice = event(&acme(), 2);
    let told = delivery(&notice, lane(2));
    let follow_up = |version| Append {
        decided_upon: vec![(acme(), version)],
        context: under_key("notice", at(2)),
        ..appending(vec![notice.clone()], vec![told.clone()])
    };
    let settling = |version| Settle {
        follow_up: Some(follow_up(version)),
        ..settle(birth_lease(&failing), dead_at(at(2)), failed())
    };

    assert!(is_conflict(&store.settle(settling(1)).await));
    assert_eq!(logged(store, failing.id).await.delivery, failing);
    assert_eq!(store.event(&acme(), notice.id).await.expect("it reads"), None);

    store.settle(settling(0)).await.expect("the lease holds");
    assert_eq!(state_of(store, &failing).await, dead_at(at(2)));
    assert_eq!(logged(store, told.id).await.delivery, told);

    assert!(matches!(store.settle(settling(1)).await, Err(StoreError::LeaseLost)));
}

/// A follow-up that was seen before is not written again; the settlement is.
pub async fn a_follow_up_that_was_seen_does_not_stop_its_settlement(store: &dyn Store) {
    append(store, Append { context: under_key("notice", at(1)), ..Append::default() }).await;
    let failing = born(store, 1, lane(1)).await;
    let notice = event(&acme(), 2);
    let follow_up = Append { context: under_key("notice", at(1)), ..appending(vec![notice.clone()], vec![]) };
    let settle =
        Settle { follow_up: Some(follow_up), ..settle(birth_lease(&failing), dead_at(at(2)), failed()) };
    store.settle(settle).await.expect("the lease holds");
    assert_eq!(state_of(store, &failing).await, dead_at(at(2)));
    assert_eq!(store.event(&acme(), notice.id).await.expect("it reads"), None);
}

/// A released delivery is as it was, due at the time named.
pub async fn a_release_leaves_no_trace(store: &dyn Store) {
    let delivery = born(store, 1, lane(1)).await;
    store.release(vec![(birth_lease(&delivery), at(44))]).await.expect("it writes");
    let expected = Delivery { state: State::Scheduled { due_at: at(44) }, ..delivery };
    assert_eq!(logged(store, expected.id).await.delivery, expected);
    assert_eq!(store.attempts(&acme(), expected.id).await.expect("it reads"), []);
    assert_eq!(ids(&claim(store, claim_of(lane(1), 1), at(44)).await), [expected.id]);
}

/// Releasing many skips those that somebody else has, and releases the rest.
pub async fn a_release_of_a_void_lease_is_skipped(store: &dyn Store) {
    let done = finished(store, 1, lane(1), State::Delivered { at: at(2) }).await;
    let taken = born(store, 2, lane(1)).await;
    store.take_back(Held::ByAnyone, at(3)).await.expect("it writes");
    claim(store, claim_of(lane(1), 1), at(3)).await;
    let held = born(store, 4, lane(1)).await;

    let void = |delivery: &Delivery| {
        birth_lease(&Delivery { state: State::InFlight { lease_until: at(60) }, ..delivery.clone() })
    };
    let leases = [void(&done), void(&taken), birth_lease(&held)].map(|lease| (lease, at(50)));
    store.release(leases.to_vec()).await.expect("it writes");
    assert_eq!(state_of(store, &done).await, done.state);
    assert_eq!(state_of(store, &taken).await, State::InFlight { lease_until: at(63) });
    assert_eq!(state_of(store, &held).await, State::Scheduled { due_at: at(50) });
}

/// What a dead process was doing is due at once, and its history says that it was interrupted.
pub async fn taking_back_counts_and_records_an_interruption(store: &dyn Store) {
    let delivery = born(store, 1, lane(1)).await;
    store
        .settle(settle(birth_lease(&delivery), State::Scheduled { due_at: at(2) }, failed()))
        .await
        .expect("holds");
    for taken in 1..=2 {
        claim(store, claim_of(lane(1), 1), at(100)).await;
        assert_eq!(store.take_back(Held::ByAnyone, at(100)).await.expect("it writes"), 1);
        let logged = logged(store, delivery.id).await.delivery;
        assert_eq!((logged.attempts_made, logged.interruptions), (1, taken));
        assert_eq!(logged.state, State::Scheduled { due_at: at(100) });
        assert_eq!(logged.last_outcome, Some(Outcome::Failed { failure: Failure::Interrupted }));
    }
    let attempts = store.attempts(&acme(), delivery.id).await.expect("it reads");
    let seen: Vec<_> = attempts.iter().map(|a| (a.number, a.exchange.outcome, a.class)).collect();
    let interrupted = Outcome::Failed { failure: Failure::Interrupted };
    assert_eq!(
        seen,
        [(1, failed(), Class::Retry), (2, interrupted, Class::Retry), (3, interrupted, Class::Retry)]
    );
    assert_eq!(store.take_back(Held::ByAnyone, at(101)).await.expect("it writes"), 0);
}

/// Leases that are good are left alone.
pub async fn only_void_leases_are_taken_back(store: &dyn Store) {
    let void = born(store, 1, lane(1)).await;
    let good = born(store, 2, lane(1)).await;
    scheduled(store, 3, lane(1), at(3)).await;
    finished(store, 4, lane(1), State::Delivered { at: at(5) }).await;
    assert_eq!(store.take_back(Held::Until(at(60)), at(70)).await.expect("it writes"), 0);
    assert_eq!(store.take_back(Held::Until(at(61)), at(70)).await.expect("it writes"), 1);
    assert_eq!(state_of(store, &void).await, State::Scheduled { due_at: at(70) });
    assert_eq!(state_of(store, &good).await, good.state);
}

/// A claim makes a new lease, and an old result cannot pass for its.
pub async fn the_settlement_of_a_claimed_delivery_needs_its_newest_lease(store: &dyn Store) {
    scheduled(store, 1, lane(1), at(1)).await;
    let first = claim(store, claim_of(lane(1), 1), at(2)).await.leased.remove(0).lease;
    store.release(vec![(first.clone(), at(3))]).await.expect("it writes");
    let delivered = State::Delivered { at: at(4) };
    let released = store.settle(settle(first.clone(), delivered, ok())).await;
    assert!(matches!(released, Err(StoreError::LeaseLost)));
    let second = claim(store, claim_of(lane(1), 1), at(3)).await.leased.remove(0).lease;
    assert!(second.token > first.token);
    assert!(matches!(store.settle(settle(first, delivered, ok())).await, Err(StoreError::LeaseLost)));
    let last =
        Settle { lease: second, settlement: settlement(delivered, ok()), record: None, follow_up: None };
    store.settle(last).await.expect("the lease holds");
    assert_eq!(listed(store, LogFilter::default()).await.len(), 1);
}
