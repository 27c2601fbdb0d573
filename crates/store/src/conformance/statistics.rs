//! Promises of statistics.

use std::time::Duration;

use angarium_domain::delivery::State;
use angarium_domain::handle::Handle;
use angarium_domain::retention::Cutoffs;
use angarium_domain::statistics::{Grain, Tally};
use angarium_domain::time::Timestamp;

use super::fixture::{acme, at, beta, born, change, entry, finished, lane, scheduled};
use crate::Store;
use crate::directory::Change;
use crate::event_log::Lane;
use crate::statistics::{Backlog, Counted};
use crate::upkeep::Forgotten;

fn of(n: u8) -> Lane {
    Lane { handle: acme(), subscription_id: lane(n) }
}

fn attempts(attempts: u64) -> Tally {
    let mut tally = Tally { attempts, delivered: 1, ..Tally::default() };
    *tally.answers.entry("2xx".into()).or_default() += attempts;
    tally.attempt_time.count(Duration::from_millis(attempts));
    tally
}

fn counted(handle: &Handle, n: u8, at: Timestamp, tally: Tally) -> Counted {
    Counted { handle: handle.clone(), subscription_id: lane(n), at, tally }
}

async fn subscribe(store: &dyn Store, numbers: std::ops::RangeInclusive<u8>) {
    for n in numbers {
        change(store, u64::from(n) - 1, Change::Put(entry(&acme(), lane(n), "counted"))).await;
    }
}

async fn count(store: &dyn Store, counted: Vec<Counted>) {
    store.count(counted).await.expect("it writes");
}

async fn tally(store: &dyn Store, of: &Lane, grain: Grain, since: Timestamp) -> Tally {
    store.tally(of, grain, since).await.expect("it reads")
}

/// A span is in the answer whole or not at all, and counts are added to what is there.
pub async fn what_is_counted_adds_up_in_the_spans_that_it_falls_in(store: &dyn Store) {
    subscribe(store, 1..=1).await;
    let hour = Grain::Hourly.begin(at(7_200));
    let later = |minutes| hour + Duration::from_mins(minutes);
    count(
        store,
        vec![counted(&acme(), 1, later(1), attempts(1)), counted(&acme(), 1, later(4), attempts(2))],
    )
    .await;
    count(
        store,
        vec![counted(&acme(), 1, later(5), attempts(4)), counted(&acme(), 1, later(61), attempts(8))],
    )
    .await;
    count(store, vec![counted(&acme(), 1, later(2), attempts(16))]).await;

    let mut first_minutes = attempts(1);
    first_minutes.add(&attempts(2));
    first_minutes.add(&attempts(16));
    let mut all = first_minutes.clone();
    all.add(&attempts(4));
    all.add(&attempts(8));
    for grain in Grain::ALL {
        assert_eq!(tally(store, &of(1), grain, hour).await, all);
    }
    let since_the_second_span = tally(store, &of(1), Grain::Fine, later(5)).await;
    assert_eq!(since_the_second_span.attempts, 12);
    assert_eq!(tally(store, &of(1), Grain::Hourly, later(60)).await, attempts(8));
    assert_eq!(tally(store, &of(1), Grain::Hourly, later(120)).await, Tally::default());
}

/// Nobody else's.
pub async fn statistics_belong_to_one_subscription_of_one_handle(store: &dyn Store) {
    subscribe(store, 1..=2).await;
    change_beta(store).await;
    let all = vec![
        counted(&acme(), 1, at(1), attempts(1)),
        counted(&acme(), 2, at(1), attempts(2)),
        counted(&beta(), 1, at(1), attempts(4)),
    ];
    count(store, all).await;
    let begin = Grain::Fine.begin(at(1));
    assert_eq!(tally(store, &of(1), Grain::Fine, begin).await, attempts(1));
    assert_eq!(tally(store, &of(2), Grain::Fine, begin).await, attempts(2));
    let theirs = Lane { handle: beta(), ..of(1) };
    assert_eq!(tally(store, &theirs, Grain::Fine, begin).await, attempts(4));
    assert_eq!(tally(store, &Lane { handle: beta(), ..of(2) }, Grain::Fine, begin).await, Tally::default());
}

async fn change_beta(store: &dyn Store) {
    let put = Change::Put(entry(&beta(), lane(1), "theirs"));
    store.change(&beta(), 0, put, at(0), crate::write::Context::default()).await.expect("it writes");
}

/// What was counted before its end is removed with it, and what comes later is left out.
pub async fn statistics_go_with_their_subscription(store: &dyn Store) {
    subscribe(store, 1..=2).await;
    let both = || vec![counted(&acme(), 1, at(1), attempts(1)), counted(&acme(), 2, at(1), attempts(2))];
    count(store, both()).await;
    change(store, 2, Change::Remove(lane(1))).await;
    count(store, both()).await;
    let begin = Grain::Hourly.begin(at(1));
    assert_eq!(tally(store, &of(1), Grain::Hourly, begin).await, Tally::default());
    assert_eq!(tally(store, &of(2), Grain::Hourly, begin).await.attempts, 4);
}

/// By the time of their beginning, in bounded batches.
pub async fn spans_of_each_grain_are_forgotten_at_their_age(store: &dyn Store) {
    subscribe(store, 1..=1).await;
    let hour = Grain::Hourly.begin(at(7_200));
    let later = |minutes| hour + Duration::from_mins(minutes);
    for minutes in [0, 5, 10, 60] {
        count(store, vec![counted(&acme(), 1, later(minutes), attempts(1))]).await;
    }
    let forget = async |cutoffs, limit| store.forget(cutoffs, limit).await.expect("it writes");
    assert_eq!(forget(Cutoffs::default(), 10).await, Forgotten::default());
    let fine = Cutoffs { fine_tallies_before: later(10), ..Cutoffs::default() };
    for expected in [1, 1, 0] {
        assert_eq!(forget(fine, 1).await, Forgotten { tallies: expected, ..Forgotten::default() });
    }
    assert_eq!(tally(store, &of(1), Grain::Fine, hour).await.attempts, 2);
    assert_eq!(tally(store, &of(1), Grain::Hourly, hour).await.attempts, 4);
    let hourly = Cutoffs { hourly_tallies_before: later(60), ..Cutoffs::default() };
    assert_eq!(forget(hourly, 10).await.tallies, 1);
    assert_eq!(tally(store, &of(1), Grain::Hourly, hour).await.attempts, 1);
}

/// However long it is.
pub async fn a_backlog_is_counted_up_to_a_limit(store: &dyn Store) {
    assert_eq!(store.waiting(&of(1), 9).await.expect("it reads"), Backlog::default());
    for (n, due_at) in [(5, at(90)), (1, at(80)), (3, at(70)), (4, at(100))] {
        scheduled(store, n, lane(1), due_at).await;
    }
    scheduled(store, 7, lane(2), at(1)).await;
    born(store, 8, lane(1)).await;
    finished(store, 9, lane(1), State::Delivered { at: at(10) }).await;
    let backlog = async |limit| store.waiting(&of(1), limit).await.expect("it reads");
    let all = Backlog { scheduled: 4, oldest_made_at: Some(at(1)), next_due_at: Some(at(70)) };
    assert_eq!(backlog(9).await, all);
    assert_eq!(backlog(1).await, Backlog { scheduled: 1, oldest_made_at: Some(at(3)), ..all });
    let theirs = Lane { handle: beta(), ..of(1) };
    assert_eq!(store.waiting(&theirs, 9).await.expect("it reads"), Backlog::default());
}
