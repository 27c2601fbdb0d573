//! Promises of what owners are told of.

use angarium_domain::alert::{Alert, Failure, Told};
use angarium_domain::delivery::DeathCause;
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::time::Timestamp;

use super::fixture::{acme, append, at, beta, delivery, event, is_conflict, lane};
use crate::Store;
use crate::event_log::{Append, Beside};

pub(super) fn failure(n: u64, subscription_id: SubscriptionId, failed_at: Timestamp) -> Failure {
    let event = event(&acme(), n);
    Failure {
        subscription_id,
        endpoint_host: "hooks.example.com".to_owned(),
        delivery_id: delivery(&event, subscription_id).id,
        event_id: event.id,
        event_type: event.event_type.clone(),
        attempts: 5,
        last_status: None,
        reason: DeathCause::AttemptsExhausted,
        failed_at,
    }
}

pub(super) async fn fails(store: &dyn Store, handle: Handle, failure: &Failure) {
    let beside = vec![Beside::Failed { handle, failure: Box::new(failure.clone()) }];
    append(store, Append { beside, ..Append::default() }).await;
}

fn telling(told: &Told) -> Append {
    Append { beside: vec![Beside::Told(Box::new(told.clone()))], ..Append::default() }
}

async fn due(store: &dyn Store, now: Timestamp) -> Vec<Alert> {
    store.due_alerts(now, 10).await.expect("it reads")
}

/// Each subscription of each handle has one alert, and what comes after the first joins it.
pub async fn failures_gather_by_subscription(store: &dyn Store) {
    let [first, second, other] =
        [failure(1, lane(1), at(5)), failure(2, lane(1), at(7)), failure(3, lane(2), at(6))];
    for failure in [&first, &second, &other] {
        fails(store, acme(), failure).await;
    }
    fails(store, beta(), &first).await;
    let expected =
        [Alert::of(acme(), first.clone()).and(second), Alert::of(beta(), first), Alert::of(acme(), other)];
    assert_eq!(due(store, at(9)).await, expected);
    assert_eq!(store.due_alerts(at(9), 1).await.expect("it reads"), expected[..1]);
    assert!(due(store, at(4)).await.is_empty());
    assert_eq!(store.next_alert().await.expect("it reads"), Some(at(5)));
}

/// An owner is told of the same failures once, whoever else tells, and with the event or not at all.
pub async fn an_owner_is_told_once_of_each_failure(store: &dyn Store) {
    fails(store, acme(), &failure(1, lane(1), at(1))).await;
    let [seen] = due(store, at(1)).await.try_into().expect("one alert");
    let told = Told { next_due_at: at(100), ..seen.told(at(2), std::time::Duration::ZERO) };
    fails(store, acme(), &failure(2, lane(1), at(2))).await;
    append(store, telling(&told)).await;
    assert!(is_conflict(&store.append(telling(&told)).await));

    assert!(due(store, at(99)).await.is_empty());
    let [later] = due(store, at(100)).await.try_into().expect("one alert");
    assert_eq!((later.gathered, later.last.delivery_id), (1, failure(2, lane(1), at(2)).delivery_id));

    let of_the_log = event(&acme(), 9);
    append(store, Append { events: vec![of_the_log.clone()], ..Append::default() }).await;
    let refused = Append { events: vec![of_the_log], ..telling(&later.told(at(100), INTERVAL)) };
    assert!(is_conflict(&store.append(refused).await));
    assert_eq!(due(store, at(100)).await, [later]);
}

const INTERVAL: std::time::Duration = std::time::Duration::from_mins(1);

/// An alert of which everything was told stays for its interval, and the next failure after that is told
/// at once.
pub async fn an_alert_with_nothing_to_tell_is_forgotten_when_its_interval_is_over(store: &dyn Store) {
    fails(store, acme(), &failure(1, lane(1), at(1))).await;
    fails(store, acme(), &failure(2, lane(2), at(1))).await;
    let [alert, _] = due(store, at(1)).await.try_into().expect("two alerts");
    let told = Told { next_due_at: at(50), ..alert.told(at(1), INTERVAL) };
    append(store, telling(&told)).await;
    assert_eq!(store.forget_alerts(at(49), 10).await.expect("it forgets"), 0);
    assert_eq!(store.forget_alerts(at(50), 10).await.expect("it forgets"), 1);
    let left: Vec<_> = due(store, at(60)).await.iter().map(|alert| alert.last.subscription_id).collect();
    assert_eq!(left, [lane(2)]);
    fails(store, acme(), &failure(3, lane(1), at(60))).await;
    assert_eq!(due(store, at(60)).await.len(), 2);
}
