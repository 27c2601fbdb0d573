//! Promises of upkeep.

use angarium_domain::delivery::State;
use angarium_domain::replay::{JobStatus, ReplayJob};
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;

use super::fixture::{
    acme, answer, append, appending, at, born, change, dead_at, event, finished, first_page, job, lane,
    listed, repeat, replay_id, scheduled, under_key,
};
use crate::Store;
use crate::directory::Change;
use crate::event_log::Append;
use crate::history::LogFilter;
use crate::upkeep::{Census, Forgotten};
use crate::write::{Context, Written};

fn cutoffs(finished_before: Timestamp, dead_before: Timestamp) -> Cutoffs {
    Cutoffs { finished_before, dead_before, ..Cutoffs::default() }
}

async fn forget(store: &dyn Store, cutoffs: Cutoffs) -> Forgotten {
    store.forget(cutoffs, 100).await.expect("it writes")
}

/// A finished delivery goes with its attempts, and its event with the last of them.
pub async fn what_is_finished_and_old_is_forgotten_whole(store: &dyn Store) {
    let old = finished(store, 1, lane(1), State::Delivered { at: at(10) }).await;
    let young = finished(store, 2, lane(1), State::Delivered { at: at(20) }).await;
    assert_eq!(forget(store, cutoffs(at(10), at(10))).await, Forgotten::default());
    let expected = Forgotten { deliveries: 1, events: 1, keys: 0, ..Forgotten::default() };
    assert_eq!(forget(store, cutoffs(at(20), at(0))).await, expected);
    assert_eq!(listed(store, LogFilter::default()).await, [young.id]);
    assert_eq!(store.attempts(&acme(), old.id).await.expect("it reads"), []);
    assert_eq!(store.event(&acme(), old.event_id).await.expect("it reads"), None);
}

/// However old it is.
pub async fn what_is_unfinished_is_never_forgotten(store: &dyn Store) {
    let waiting = scheduled(store, 1, lane(1), at(1)).await;
    let held = born(store, 2, lane(1)).await;
    assert_eq!(forget(store, cutoffs(at(9_999), at(9_999))).await, Forgotten::default());
    assert_eq!(listed(store, LogFilter::default()).await, [held.id, waiting.id]);
}

/// An event stays as long as any delivery of it; one that never had any goes by age.
pub async fn an_event_outlives_its_deliveries(store: &dyn Store) {
    let original = finished(store, 1, lane(1), State::Delivered { at: at(10) }).await;
    append(store, appending(vec![], vec![repeat(&original, 1, at(12))])).await;
    append(store, appending(vec![event(&acme(), 2), event(&acme(), 50)], vec![])).await;

    let expected = Forgotten { deliveries: 1, events: 1, keys: 0, ..Forgotten::default() };
    assert_eq!(forget(store, cutoffs(at(50), at(50))).await, expected);
    assert!(store.event(&acme(), original.event_id).await.expect("it reads").is_some());
    assert!(store.event(&acme(), event(&acme(), 2).id).await.expect("it reads").is_none());

    change(store, 0, Change::Remove(lane(1))).await;
    let expected = Forgotten { deliveries: 1, events: 2, keys: 0, ..Forgotten::default() };
    assert_eq!(forget(store, cutoffs(at(501), at(501))).await, expected);
    assert_eq!(store.census().await.expect("it counts"), Census::default());
}

/// An event without deliveries that gets one by a replay is in use again.
pub async fn an_event_that_is_delivered_again_is_kept(store: &dyn Store) {
    let original = finished(store, 1, lane(1), State::Delivered { at: at(10) }).await;
    // Forgotten too early for the event, which is younger than its delivery's end is old.
    let early = Cutoffs { finished_before: at(1), dead_before: at(1), ..Cutoffs::default() };
    assert_eq!(forget(store, early).await, Forgotten::default());
    append(store, appending(vec![event(&acme(), 2)], vec![])).await;
    let late = super::fixture::delivery(&event(&acme(), 2), lane(1));
    append(store, appending(vec![], vec![late])).await;
    assert_eq!(
        forget(store, cutoffs(at(100), at(100))).await,
        Forgotten { deliveries: 1, events: 1, keys: 0, ..Forgotten::default() }
    );
    assert!(store.event(&acme(), event(&acme(), 2).id).await.expect("it reads").is_some());
    assert!(store.event(&acme(), original.event_id).await.expect("it reads").is_none());
}

/// Dead letters have their own age; once replayed or discarded they are finished like any other.
pub async fn dead_letters_are_kept_longer(store: &dyn Store) {
    let letter = finished(store, 1, lane(1), dead_at(at(10))).await;
    let replayed = finished(store, 2, lane(1), dead_at(at(11))).await;
    let discarded = finished(store, 3, lane(1), dead_at(at(12))).await;
    let replay = repeat(&replayed, 1, at(13));
    append(store, appending(vec![], vec![replay.clone()])).await;
    let discarding = store.discard(&acme(), discarded.id, at(14), Context::default()).await;
    assert!(matches!(discarding, Ok(Written::Done(true))));

    assert_eq!(forget(store, cutoffs(at(100), at(10))).await.deliveries, 2);
    assert_eq!(listed(store, LogFilter::default()).await, [replay.id, letter.id]);
    assert_eq!(forget(store, cutoffs(at(100), at(11))).await.deliveries, 1);
    assert_eq!(listed(store, LogFilter::default()).await, [replay.id]);
}

/// A key is forgotten when its time has come, not before.
pub async fn keys_that_have_ended_are_forgotten(store: &dyn Store) {
    append(store, Append { context: under_key("k", at(1)), ..Append::default() }).await;
    let ends = answer("k", at(1)).expires_at;
    let early = ends.saturating_sub(std::time::Duration::from_millis(1));
    let keys = |keys_ended_by| Cutoffs { keys_ended_by, ..cutoffs(at(0), at(0)) };
    assert_eq!(forget(store, keys(early)).await.keys, 0);
    assert_eq!(forget(store, keys(ends)).await.keys, 1);
    assert_eq!(forget(store, keys(ends)).await.keys, 0);
}

/// A job is forgotten by the time of its end; one that runs is kept, however old it is.
pub async fn jobs_that_ended_long_ago_are_forgotten_and_running_ones_are_not(store: &dyn Store) {
    for n in 1..=4 {
        let made = store.create_replay(job(&acme(), n), Context::default()).await;
        assert!(matches!(made, Ok(Written::Done(()))));
    }
    for (n, status, ended_at) in [
        (1, JobStatus::Completed, at(10)),
        (2, JobStatus::Cancelled, at(11)),
        (3, JobStatus::Completed, at(20)),
    ] {
        let ended = ReplayJob { status, finished_at: Some(ended_at), ..job(&acme(), n) };
        let written = store.finish_replay(ended, Context::default()).await;
        assert!(matches!(written, Ok(Written::Done(()))));
    }
    assert_eq!(forget(store, cutoffs(at(10), at(10))).await, Forgotten::default());
    assert_eq!(
        forget(store, cutoffs(at(20), at(10))).await,
        Forgotten { replays: 2, ..Forgotten::default() }
    );
    let left = store.replays(&acme(), first_page(10)).await.expect("it reads").items;
    assert_eq!(left.iter().map(|job| job.id).collect::<Vec<_>>(), [4, 3].map(replay_id));
}

/// A batch is bounded for each kind, and batches come to an end.
pub async fn forgetting_goes_in_bounded_batches(store: &dyn Store) {
    for n in 1..=5 {
        let end = if n == 3 { dead_at(at(10)) } else { State::Delivered { at: at(10) } };
        finished(store, n, lane(1), end).await;
    }
    for n in 10..13 {
        let context = under_key(&n.to_string(), at(1));
        append(store, Append { context, ..appending(vec![event(&acme(), n)], vec![]) }).await;
    }
    let everything = Cutoffs { keys_ended_by: Timestamp::MAX, ..cutoffs(at(9_999), at(9_999)) };
    let mut total = 0;
    loop {
        let batch = store.forget(everything, 2).await.expect("it writes");
        assert!(batch.deliveries <= 2 && batch.events <= 2 && batch.keys <= 2, "{batch:?}");
        total += batch.total();
        if batch.total() == 0 {
            break;
        }
    }
    assert_eq!(total, 5 + 8 + 3);
    assert_eq!(store.census().await.expect("it counts"), Census::default());
}

/// The earliest due time of all lanes.
pub async fn the_oldest_due_delivery_of_all_lanes_is_known(store: &dyn Store) {
    assert_eq!(store.oldest_due().await.expect("it reads"), None);
    for (n, lane, due_at) in [(1, lane(1), at(30)), (2, lane(2), at(20)), (3, lane(2), at(25))] {
        scheduled(store, n, lane, due_at).await;
    }
    born(store, 4, lane(3)).await;
    assert_eq!(store.oldest_due().await.expect("it reads"), Some(at(20)));
}

/// What waits in any lane is counted, and no further than asked for.
pub async fn the_backlog_of_all_lanes_is_counted_up_to_a_limit(store: &dyn Store) {
    assert_eq!(store.backlog(10).await.expect("it reads"), 0);
    for (n, lane) in [(1, lane(1)), (2, lane(2)), (3, lane(2))] {
        scheduled(store, n, lane, at(20)).await;
    }
    born(store, 4, lane(3)).await;
    finished(store, 5, lane(1), State::Delivered { at: at(9) }).await;
    for (limit, expected) in [(10, 3), (3, 3), (2, 2), (0, 0)] {
        assert_eq!(store.backlog(limit).await.expect("it reads"), expected, "{limit}");
    }
}

/// Everything is counted by state.
pub async fn the_census_counts_everything(store: &dyn Store) {
    store.probe().await.expect("it writes");
    assert_eq!(store.census().await.expect("it counts"), Census::default());
    scheduled(store, 1, lane(9), at(1)).await;
    change(store, 0, Change::Remove(lane(9))).await;
    scheduled(store, 2, lane(1), at(1)).await;
    born(store, 3, lane(1)).await;
    finished(store, 4, lane(1), State::Delivered { at: at(9) }).await;
    finished(store, 5, lane(1), dead_at(at(9))).await;
    let discarded = finished(store, 6, lane(1), dead_at(at(9))).await;
    let discarding = store.discard(&acme(), discarded.id, at(14), Context::default()).await;
    assert!(matches!(discarding, Ok(Written::Done(true))));
    let expected = Census { events: 6, scheduled: 1, in_flight: 1, delivered: 1, dead: 2, cancelled: 1 };
    assert_eq!(store.census().await.expect("it counts"), expected);
}
