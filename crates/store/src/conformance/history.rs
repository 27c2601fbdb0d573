//! Promises of the delivery log.

use angarium_domain::delivery::{Delivery, State, Status};
use angarium_domain::ids::DeliveryId;
use angarium_domain::replay::DeliveryFilter;

use super::fixture::{
    acme, append, appending, at, beta, birth_lease, born, change, claim, claim_of, dead_at, delivery, event,
    failed, finished, first_page, is_seen, lane, listed, logged, matching, ok, record, repeat, scheduled,
    settle, under_key,
};
use crate::Store;
use crate::delivery_queue::Settle;
use crate::directory::Change;
use crate::history::LogFilter;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// A page begins where the one before it ended, whatever came in between.
pub async fn pages_of_deliveries_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    let mut expected = Vec::new();
    for n in 0..10 {
        expected.insert(0, scheduled(store, n, lane(1), at(0)).await.id);
    }
    let mut seen: Vec<DeliveryId> = Vec::new();
    let mut page = first_page(3);
    loop {
        let Page { items, next } =
            store.deliveries(&acme(), LogFilter::default(), page).await.expect("it reads");
        seen.extend(items.iter().map(|logged| logged.delivery.id));
        scheduled(store, 100 + seen.len() as u64, lane(1), at(0)).await;
        let Some(before) = next else { break };
        page = PageRequest { before: Some(before), limit: 3 };
    }
    assert_eq!(seen, expected);
}

/// Each condition narrows the list; together they all must hold.
pub async fn deliveries_are_filtered_by_every_condition(store: &dyn Store) {
    let mut made = Vec::new();
    for n in 0..6 {
        made.push(scheduled(store, n, lane(if n < 3 { 1 } else { 2 }), at(0)).await);
    }
    let newest_first = |numbers: &[usize]| numbers.iter().map(|n| made[*n].id).collect::<Vec<_>>();
    let any = DeliveryFilter::default;
    let paid = "order.paid".parse().ok();
    for (conditions, expected) in [
        (any(), newest_first(&[5, 4, 3, 2, 1, 0])),
        (DeliveryFilter { subscription_id: Some(lane(1)), ..any() }, newest_first(&[2, 1, 0])),
        (DeliveryFilter { event_id: Some(made[4].event_id), ..any() }, newest_first(&[4])),
        (DeliveryFilter { event_type: paid.clone(), ..any() }, newest_first(&[4, 2, 0])),
        (DeliveryFilter { since: Some(at(1)), until: Some(at(4)), ..any() }, newest_first(&[3, 2, 1])),
        (DeliveryFilter { event_type: paid, subscription_id: Some(lane(2)), ..any() }, newest_first(&[4])),
        (DeliveryFilter { subscription_id: Some(lane(9)), ..any() }, vec![]),
    ] {
        assert_eq!(listed(store, matching(conditions.clone())).await, expected, "{conditions:?}");
    }
}

/// The words of the wire are views of a state, its history and the pause of its subscription.
pub async fn deliveries_are_filtered_by_the_words_of_the_wire(store: &dyn Store) {
    let pending = scheduled(store, 1, lane(1), at(900)).await;
    let retrying = finished(store, 2, lane(1), State::Scheduled { due_at: at(900) }).await;
    let held = scheduled(store, 3, lane(2), at(900)).await;
    let tried_and_held = finished(store, 4, lane(2), State::Scheduled { due_at: at(900) }).await;
    let in_flight = born(store, 5, lane(2)).await;
    let delivered = finished(store, 6, lane(1), State::Delivered { at: at(7) }).await;
    let dead = finished(store, 7, lane(1), dead_at(at(8))).await;
    let replayed = finished(store, 8, lane(1), dead_at(at(9))).await;
    let replay = repeat(&replayed, 1, at(20));
    append(store, appending(vec![], vec![Delivery { state: in_flight.state, ..replay.clone() }])).await;
    let cancelled = scheduled(store, 10, lane(3), at(900)).await;
    change(store, 0, Change::Remove(lane(3))).await;

    for (status, expected) in [
        (Status::Pending, vec![pending.id]),
        (Status::Retrying, vec![retrying.id]),
        (Status::Held, vec![tried_and_held.id, held.id]),
        (Status::InFlight, vec![replay.id, in_flight.id]),
        (Status::Delivered, vec![delivered.id]),
        (Status::Dead, vec![replayed.id, dead.id]),
        (Status::Cancelled, vec![cancelled.id]),
    ] {
        let conditions = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let filter = LogFilter { paused: vec![lane(2), lane(5)], ..matching(conditions) };
        assert_eq!(listed(store, filter).await, expected, "{status:?}");
    }
    let pending_anywhere = DeliveryFilter { status: Some(Status::Pending), ..DeliveryFilter::default() };
    assert_eq!(listed(store, matching(pending_anywhere)).await, [held.id, pending.id]);
    let held_nowhere = DeliveryFilter { status: Some(Status::Held), ..DeliveryFilter::default() };
    assert_eq!(listed(store, matching(held_nowhere)).await, []);
}

/// An interruption of ours is an attempt that the receiver may have seen.
pub async fn an_interrupted_delivery_is_retrying(store: &dyn Store) {
    let delivery = born(store, 1, lane(1)).await;
    store.take_back(crate::delivery_queue::Held::ByAnyone, at(2)).await.expect("it writes");
    let conditions = DeliveryFilter { status: Some(Status::Retrying), ..DeliveryFilter::default() };
    assert_eq!(listed(store, matching(conditions)).await, [delivery.id]);
}

/// Attempts come by number, whatever the order in which they were settled.
pub async fn attempts_are_listed_by_number(store: &dyn Store) {
    let delivery = finished(store, 1, lane(1), State::Scheduled { due_at: at(2) }).await;
    let lease = claim(store, claim_of(lane(1), 1), at(3)).await.leased.remove(0).lease;
    let second =
        Settle { record: Some(record(2, ok())), ..settle(lease, State::Delivered { at: at(4) }, ok()) };
    store.settle(second).await.expect("the lease holds");
    let attempts = store.attempts(&acme(), delivery.id).await.expect("it reads");
    assert_eq!(attempts, [record(1, failed()), record(2, ok())]);
}

/// What may be replayed: delivered or dead, and neither replayed nor discarded. From old to new.
pub async fn what_may_be_replayed_is_counted_and_listed_from_old_to_new(store: &dyn Store) {
    let dead = finished(store, 1, lane(1), dead_at(at(2))).await;
    let delivered = finished(store, 2, lane(2), State::Delivered { at: at(3) }).await;
    let replayed = finished(store, 3, lane(1), State::Delivered { at: at(4) }).await;
    let discarded = finished(store, 4, lane(1), dead_at(at(5))).await;
    let last = finished(store, 5, lane(1), dead_at(at(6))).await;
    append(store, appending(vec![], vec![repeat(&replayed, 1, at(20))])).await;
    assert!(matches!(
        store.discard(&acme(), discarded.id, at(21), Context::default()).await,
        Ok(Written::Done(true))
    ));
    born(store, 6, lane(1)).await;

    let found = async |filter: LogFilter, after, limit| {
        let page = store.replayable(&acme(), filter, after, limit).await.expect("it reads");
        page.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let all = LogFilter::default;
    assert_eq!(found(all(), None, 10).await, [dead.id, delivered.id, last.id]);
    assert_eq!(found(all(), None, 2).await, [dead.id, delivered.id]);
    assert_eq!(found(all(), Some(dead.id), 10).await, [delivered.id, last.id]);
    let dead_only = DeliveryFilter { status: Some(Status::Dead), ..DeliveryFilter::default() };
    assert_eq!(found(matching(dead_only.clone()), None, 10).await, [dead.id, last.id]);

    assert_eq!(store.count_replayable(&acme(), all()).await.expect("it counts"), 3);
    assert_eq!(store.count_replayable(&acme(), matching(dead_only)).await.expect("it counts"), 2);
    assert_eq!(store.count_replayable(&beta(), all()).await.expect("it counts"), 0);
}

/// A dead letter is discarded once, and stays in the log.
pub async fn a_discarded_dead_letter_leaves_the_list_and_stays_in_the_log(store: &dyn Store) {
    let dead = finished(store, 1, lane(1), dead_at(at(2))).await;
    let delivered = finished(store, 2, lane(1), State::Delivered { at: at(3) }).await;
    let discard = async |id, context| store.discard(&acme(), id, at(9), context).await;

    assert!(matches!(discard(dead.id, under_key("k", at(9))).await, Ok(Written::Done(true))));
    let expected = Delivery { discarded_at: Some(at(9)), ..dead.clone() };
    assert_eq!(logged(store, dead.id).await.delivery, expected);
    let dead_letters = LogFilter { dead_letters: true, ..LogFilter::default() };
    assert_eq!(listed(store, dead_letters).await, []);

    assert!(is_seen(discard(dead.id, under_key("k", at(9))).await, "k", at(9)));
    assert!(matches!(discard(dead.id, Context::default()).await, Ok(Written::Done(false))));
    assert!(matches!(discard(delivered.id, under_key("l", at(9))).await, Ok(Written::Done(false))));
    // Nothing happened, so nothing is remembered: the same key may be used when something does.
    let scope = super::fixture::answer("l", at(9)).scope;
    assert!(store.seen(&scope, at(9)).await.expect("it reads").is_none());
}

/// The newest delivery of each subscription, in the order asked for.
pub async fn the_newest_delivery_says_when_a_subscription_was_last_triggered(store: &dyn Store) {
    scheduled(store, 1, lane(1), at(900)).await;
    finished(store, 5, lane(1), State::Delivered { at: at(6) }).await;
    scheduled(store, 3, lane(2), at(3)).await;
    let asked = vec![lane(3), lane(2), lane(1)];
    let answered = store.last_triggered(&acme(), asked.clone()).await.expect("it reads");
    assert_eq!(answered, [None, Some(at(3)), Some(at(5))]);
    assert_eq!(store.last_triggered(&beta(), asked).await.expect("it reads"), [None, None, None]);
}

/// Nobody learns whether somebody else's delivery exists, and nobody changes it.
pub async fn deliveries_of_another_handle_do_not_exist(store: &dyn Store) {
    let dead = finished(store, 1, lane(1), dead_at(at(2))).await;
    let own = event(&beta(), 3);
    append(store, appending(vec![own.clone()], vec![delivery(&own, lane(1))])).await;

    assert_eq!(store.delivery(&beta(), dead.id).await.expect("it reads"), None);
    assert_eq!(store.attempts(&beta(), dead.id).await.expect("it reads"), []);
    let by_subscription = DeliveryFilter { subscription_id: Some(lane(1)), ..DeliveryFilter::default() };
    let by_event = DeliveryFilter { event_id: Some(dead.event_id), ..DeliveryFilter::default() };
    for (filter, count) in [(by_subscription, 1), (by_event, 0)] {
        let page = store.deliveries(&beta(), matching(filter), first_page(10)).await.expect("it reads");
        assert_eq!(page.items.len(), count);
    }
    let discarded = store.discard(&beta(), dead.id, at(9), Context::default()).await;
    assert!(matches!(discarded, Ok(Written::Done(false))));
    let foreign = Delivery { id: dead.id, ..repeat(&delivery(&own, lane(1)), 1, at(9)) };
    append(store, appending(vec![], vec![Delivery { replay_of: Some(dead.id), ..foreign }])).await;
    assert_eq!(logged(store, dead.id).await.replayed_by, None);
    assert_eq!(logged(store, dead.id).await.delivery, dead);
    let lease =
        crate::delivery_queue::Lease { handle: beta(), ..birth_lease(&born(store, 4, lane(1)).await) };
    store.release(vec![(lease.clone(), at(9))]).await.expect("it writes");
    assert!(matches!(logged(store, lease.delivery_id).await.delivery.state, State::InFlight { .. }));
}
