//! Promises of the event log.

use angarium_domain::delivery::{Delivery, State};
use angarium_domain::event::{Event, Origin};
use angarium_domain::replay::{JobStatus, ReplayJob};
use angarium_domain::retention::Cutoffs;
use angarium_domain::trace_context::TraceContext;
use std::sync::Arc;

use super::fixture::{
    acme, answer, append, appending, at, beta, change, claim, claim_of, dead_at, delivery, entry, event,
    finished, first_page, is_conflict, is_seen, job, lane, listed, logged, repeat, under_key,
};
use crate::Store;
use crate::directory::Change;
use crate::event_log::{Append, EventFilter, Lane, Span, Undelivered};
use crate::history::LogFilter;
use crate::page::{Page, PageRequest};
use crate::upkeep::Forgotten;
use crate::write::{Context, Written};

/// What was answered is in the log, whole.
pub async fn an_append_is_read_back_as_it_was_written(store: &dyn Store) {
    let event = event(&acme(), 7);
    let deliveries = vec![delivery(&event, lane(1)), delivery(&event, lane(2))];
    append(store, appending(vec![event.clone()], deliveries.clone())).await;

    assert_eq!(store.event(&acme(), event.id).await.expect("it reads"), Some(event));
    for delivery in deliveries {
        let logged = logged(store, delivery.id).await;
        assert_eq!((logged.delivery, logged.replayed_by), (delivery, None));
    }
}

/// A snapshot that changed refuses the append, and nothing of it stays.
pub async fn an_append_decided_upon_an_old_snapshot_writes_nothing(store: &dyn Store) {
    change(store, 0, Change::Put(entry(&acme(), lane(1), "first"))).await;
    let event = event(&acme(), 1);
    for decided_upon in [vec![(acme(), 0)], vec![(acme(), 1), (beta(), 1)]] {
        let append = Append {
            decided_upon,
            context: under_key("k", at(1)),
            ..appending(vec![event.clone()], vec![delivery(&event, lane(1))])
        };
        assert!(is_conflict(&store.append(append).await));
    }
    assert_eq!(store.event(&acme(), event.id).await.expect("it reads"), None);
    assert_eq!(listed(store, LogFilter::default()).await, []);
    assert!(store.seen(&answer("k", at(1)).scope, at(1)).await.expect("it reads").is_none());

    let now = Append { decided_upon: vec![(acme(), 1), (beta(), 0)], ..appending(vec![event], vec![]) };
    append(store, now).await;
}

/// The same key is the same write, whatever changed since.
pub async fn a_key_that_was_seen_wins_over_a_conflict(store: &dyn Store) {
    append(store, Append { context: under_key("k", at(1)), ..Append::default() }).await;
    let again = event(&acme(), 2);
    let append = Append {
        decided_upon: vec![(acme(), 99)],
        context: under_key("k", at(1)),
        ..appending(vec![again.clone()], vec![])
    };
    assert!(is_seen(store.append(append).await, "k", at(1)));
    assert_eq!(store.event(&acme(), again.id).await.expect("it reads"), None);
}

/// A key is remembered until it ends, and then free for something else.
pub async fn a_key_may_be_used_again_once_it_has_ended(store: &dyn Store) {
    let first = answer("k", at(1));
    append(store, Append { context: under_key("k", at(1)), ..Append::default() }).await;
    let just_before = first.expires_at.saturating_sub(std::time::Duration::from_millis(1));
    assert!(store.seen(&first.scope, just_before).await.expect("it reads") == Some(first.clone()));
    assert!(store.seen(&first.scope, first.expires_at).await.expect("it reads").is_none());
    assert!(store.seen(&answer("other", at(1)).scope, at(1)).await.expect("it reads").is_none());

    append(store, Append { context: under_key("k", first.expires_at), ..Append::default() }).await;
    let second = answer("k", first.expires_at);
    assert!(store.seen(&second.scope, first.expires_at).await.expect("it reads") == Some(second));
}

/// An id that is taken refuses the whole append.
pub async fn an_id_that_is_taken_writes_nothing(store: &dyn Store) {
    let [known, new] = [1, 2].map(|n| event(&acme(), n));
    let twice = delivery(&known, lane(1));
    append(store, appending(vec![known.clone()], vec![twice.clone()])).await;
    for append in [
        appending(vec![new.clone(), known], vec![]),
        appending(vec![new.clone()], vec![delivery(&new, lane(1)), twice]),
    ] {
        assert!(is_conflict(&store.append(append).await));
        assert_eq!(store.event(&acme(), new.id).await.expect("it reads"), None);
    }
    assert_eq!(listed(store, LogFilter::default()).await.len(), 1);
}

/// The event may have been forgotten since its delivery was decided upon.
pub async fn a_delivery_of_an_event_that_is_not_in_the_log_is_refused(store: &dyn Store) {
    let [missing, foreign] = [event(&acme(), 1), event(&beta(), 2)];
    append(store, appending(vec![foreign.clone()], vec![])).await;
    let stolen = Delivery { handle: acme(), ..delivery(&foreign, lane(1)) };
    for delivery in [delivery(&missing, lane(1)), stolen] {
        assert!(is_conflict(&store.append(appending(vec![], vec![delivery])).await));
    }
    assert_eq!(listed(store, LogFilter::default()).await, []);
}

/// A page begins where the one before it ended, whatever came in between.
pub async fn pages_of_events_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    for n in 0..10 {
        append(store, appending(vec![event(&acme(), n), event(&beta(), n)], vec![])).await;
    }
    let mut seen = Vec::new();
    let mut page = first_page(3);
    loop {
        let Page { items, next } =
            store.events(&acme(), EventFilter::default(), page).await.expect("it reads");
        seen.extend(items.iter().map(|event| event.id));
        append(store, appending(vec![event(&acme(), 100 + seen.len() as u64)], vec![])).await;
        let Some(before) = next else { break };
        page = PageRequest { before: Some(before), limit: 3 };
    }
    let expected: Vec<_> = (0..10).rev().map(|n| event(&acme(), n).id).collect();
    assert_eq!(seen, expected);
}

/// Type and times narrow the list; the first time is included, the last is not.
pub async fn events_are_filtered_by_type_and_time(store: &dyn Store) {
    for n in 0..6 {
        append(store, appending(vec![event(&acme(), n)], vec![])).await;
    }
    let listed = async |filter: EventFilter| {
        let page = store.events(&acme(), filter, first_page(100)).await.expect("it reads");
        page.items.iter().map(|event: &Arc<Event>| event.accepted_at).collect::<Vec<_>>()
    };
    let paid = EventFilter { event_type: "order.paid".parse().ok(), ..EventFilter::default() };
    assert_eq!(listed(paid.clone()).await, [at(4), at(2), at(0)]);
    let since = EventFilter { since: Some(at(2)), until: Some(at(4)), ..EventFilter::default() };
    assert_eq!(listed(since).await, [at(3), at(2)]);
    let both = EventFilter { until: Some(at(4)), ..paid };
    assert_eq!(listed(both).await, [at(2), at(0)]);
}

/// Our own events of a type are not mixed up with what somebody published under its name.
pub async fn events_are_filtered_by_their_origin(store: &dyn Store) {
    let origins = [Origin::Live, Origin::System, Origin::Test, Origin::Sandbox];
    for (n, origin) in (0..).zip(origins) {
        let made = Arc::new(Event { origin, ..(*event(&acme(), n)).clone() });
        append(store, appending(vec![made], vec![])).await;
    }
    for origin in origins {
        let filter = EventFilter { origin: Some(origin), since: Some(at(0)), ..EventFilter::default() };
        let page = store.events(&acme(), filter, first_page(10)).await.expect("it reads");
        assert_eq!(page.items.iter().map(|event| event.origin).collect::<Vec<_>>(), [origin]);
    }
}

/// Nobody learns whether somebody else's event exists.
pub async fn events_of_another_handle_do_not_exist(store: &dyn Store) {
    let event = event(&acme(), 1);
    append(store, appending(vec![event.clone()], vec![])).await;
    assert_eq!(store.event(&beta(), event.id).await.expect("it reads"), None);
    let page = store.events(&beta(), EventFilter::default(), first_page(10)).await.expect("it reads");
    assert_eq!(page, Page { items: vec![], next: None });
}

/// A replay is remembered on the original, which leaves the list of dead letters.
pub async fn a_replayed_dead_letter_leaves_the_list(store: &dyn Store) {
    let original = finished(store, 1, lane(1), dead_at(at(2))).await;
    let dead_letters = || LogFilter { dead_letters: true, ..LogFilter::default() };
    assert_eq!(listed(store, dead_letters()).await, [original.id]);

    let [first, second] = [(1, at(10)), (2, at(20))].map(|(n, made_at)| repeat(&original, n, made_at));
    for replay in [&first, &second] {
        append(store, appending(vec![], vec![replay.clone()])).await;
        assert_eq!(logged(store, original.id).await.replayed_by, Some(replay.id));
        assert_eq!(listed(store, dead_letters()).await, []);
    }
    assert_eq!(logged(store, original.id).await.delivery.state, original.state);
    assert_eq!(logged(store, first.id).await.delivery.replay_of, Some(original.id));
}

/// A delivery may be born finished, because it is of an event that is never sent: it is in the log,
/// in no lane, and ages like any other.
pub async fn a_delivery_that_is_born_finished_is_never_claimed(store: &dyn Store) {
    let live = event(&acme(), 1);
    let event = Arc::new(Event { origin: Origin::Sandbox, ..(*live).clone() });
    let born =
        [1, 2].map(|n| Delivery { state: State::Cancelled { at: at(1) }, ..delivery(&event, lane(n)) });
    append(store, appending(vec![event.clone()], born.to_vec())).await;
    for (n, born) in [1, 2].into_iter().zip(born) {
        assert_eq!(logged(store, born.id).await.delivery, born);
        let claimed = claim(store, claim_of(lane(n), 10), at(100)).await;
        assert_eq!((claimed.leased.len(), claimed.next_due_at), (0, None));
    }
    assert_eq!(store.event(&acme(), event.id).await.expect("it reads"), Some(event));
    assert_eq!(store.lanes().await.expect("it reads"), []);
    let cutoffs = Cutoffs { finished_before: at(2), ..Cutoffs::default() };
    let forgotten = store.forget(cutoffs, 100).await.expect("it writes");
    assert_eq!(forgotten, Forgotten { deliveries: 2, events: 1, ..Forgotten::default() });
}

/// The trace that an event was published in is kept with it, and an event without one has none.
pub async fn an_event_keeps_the_trace_that_it_was_published_in(store: &dyn Store) {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = |n, state| {
        let trace = TraceContext::of_headers(parent, state).map(Arc::new);
        Arc::new(Event { trace, ..(*event(&acme(), n)).clone() })
    };
    let events = [traced(1, Some("vendor=a b,other=c")), traced(2, None), event(&acme(), 3)];
    append(store, appending(events.to_vec(), vec![])).await;
    for event in &events {
        assert_eq!(store.event(&acme(), event.id).await.expect("it reads").as_ref(), Some(event));
    }
    let listed = store.events(&acme(), EventFilter::default(), first_page(10)).await.expect("it reads");
    assert_eq!(listed.items, events.into_iter().rev().collect::<Vec<_>>());
}

/// A job's progress and the deliveries that it made are one write.
pub async fn a_job_moves_with_the_deliveries_that_it_made(store: &dyn Store) {
    let original = finished(store, 1, lane(1), dead_at(at(2))).await;
    let begun = job(&acme(), 1);
    assert!(matches!(store.create_replay(begun.clone(), Context::default()).await, Ok(Written::Done(()))));

    let moved = ReplayJob { replayed: 1, cursor: Some(original.id), ..begun };
    let replay = repeat(&original, 1, at(10));
    append(store, Append { job: Some(moved.clone()), ..appending(vec![], vec![replay.clone()]) }).await;
    assert_eq!(store.replay(&acme(), moved.id).await.expect("it reads"), Some(moved.clone()));

    let ended = ReplayJob { status: JobStatus::Cancelled, finished_at: Some(at(11)), ..moved.clone() };
    assert!(matches!(store.finish_replay(ended.clone(), Context::default()).await, Ok(Written::Done(()))));
    let late = Append { job: Some(moved), ..appending(vec![], vec![repeat(&original, 2, at(12))]) };
    assert!(is_conflict(&store.append(late).await));
    assert_eq!(store.replay(&acme(), ended.id).await.expect("it reads"), Some(ended));
    assert_eq!(listed(store, LogFilter::default()).await, [replay.id, original.id]);
}

/// A subscription and what is told of it change in one write, which makes a new version.
pub async fn a_subscription_changes_with_the_events_that_tell_of_it(store: &dyn Store) {
    change(store, 0, Change::Put(entry(&acme(), lane(1), "before"))).await;
    let told = |n: u64, version| Append {
        decided_upon: vec![(acme(), version)],
        subscription: Some(entry(&acme(), lane(1), "after")),
        ..appending(vec![event(&acme(), n)], vec![])
    };
    append(store, told(1, 1)).await;
    let snapshot = store.snapshot(&acme()).await.expect("it reads");
    let words = snapshot.subscriptions.first().and_then(|entry| entry.subscription.description.as_deref());
    assert_eq!((snapshot.version, words), (2, Some("after")));

    assert!(is_conflict(&store.append(told(2, 1)).await));
    assert_eq!(store.snapshot(&acme()).await.expect("it reads").version, 2);
    assert_eq!(store.event(&acme(), event(&acme(), 2).id).await.expect("it reads"), None);
}

/// Jobs that meet each other, a person, or retention: an original is replayed by one of them.
pub async fn a_job_does_not_replay_what_somebody_has_replayed_or_discarded_meanwhile(store: &dyn Store) {
    let mut originals = Vec::new();
    for n in 1..=4 {
        originals.push(finished(store, n, lane(1), dead_at(at(5))).await);
    }
    let [mine, theirs] = [1, 2].map(|n| job(&acme(), n));
    for job in [&mine, &theirs] {
        assert!(matches!(store.create_replay(job.clone(), Context::default()).await, Ok(Written::Done(()))));
    }
    let by = |job: &ReplayJob, originals: &[&Delivery], n: u64| {
        let again = |(offset, original): (usize, &&Delivery)| Delivery {
            replay_id: Some(job.id),
            ..repeat(original, n + offset as u64, at(10))
        };
        let moved = ReplayJob { replayed: originals.len() as u64, ..job.clone() };
        let deliveries = originals.iter().enumerate().map(again).collect();
        Append { job: Some(moved), ..appending(vec![], deliveries) }
    };
    let [first, second, third, fourth] = originals.as_slice() else { unreachable!("there are four") };
    append(store, by(&theirs, &[first], 10)).await;
    append(store, appending(vec![], vec![repeat(second, 20, at(10))])).await;
    let discarded = store.discard(&acme(), third.id, at(10), Context::default()).await;
    assert!(matches!(discarded, Ok(Written::Done(true))));
    let unknown = delivery(&event(&acme(), 4), lane(9));

    for taken in [first, second, third, &unknown] {
        assert!(is_conflict(&store.append(by(&mine, &[fourth, taken], 30)).await), "{taken:?}");
        assert_eq!(logged(store, fourth.id).await.replayed_by, None);
        assert_eq!(store.replay(&acme(), mine.id).await.expect("it reads"), Some(mine.clone()));
    }
    append(store, by(&mine, &[fourth], 30)).await;
    let made = logged(store, logged(store, fourth.id).await.replayed_by.expect("it was replayed")).await;
    assert_eq!((made.delivery.replay_of, made.delivery.replay_id), (Some(fourth.id), Some(mine.id)));
}

/// A replay without a job is somebody's word about one delivery.
pub async fn somebody_may_replay_one_delivery_again(store: &dyn Store) {
    let original = finished(store, 1, lane(1), dead_at(at(2))).await;
    for n in 1..=2 {
        append(store, appending(vec![], vec![repeat(&original, n, at(10))])).await;
    }
    assert_eq!(listed(store, LogFilter::default()).await.len(), 3);
}

/// Whatever has no delivery to the one subscription, whoever else had it.
pub async fn what_a_subscription_missed_is_looked_for_from_old_to_new_in_bounded_parts(store: &dyn Store) {
    for n in 1..=8 {
        let to = match n {
            1..=3 => vec![],
            4 => vec![delivery(&event(&acme(), n), lane(1))],
            5 => vec![delivery(&event(&acme(), n), lane(2))],
            _ => vec![delivery(&event(&acme(), n), lane(1)), delivery(&event(&acme(), n), lane(2))],
        };
        append(store, appending(vec![event(&acme(), n)], to)).await;
    }
    let theirs = event(&beta(), 3);
    append(store, appending(vec![theirs.clone()], vec![])).await;

    let id = |n| event(&acme(), n).id;
    let find = async |to: u8, since: i64, until: i64, after: Option<u64>, limit| {
        let to = Lane { handle: acme(), subscription_id: lane(to) };
        let span = Span { since: at(since), until: at(until), after: after.map(id) };
        let Undelivered { events, last } = store.undelivered(&to, span, limit).await.expect("it reads");
        (events.into_iter().map(|event| event.id).collect::<Vec<_>>(), last)
    };
    assert_eq!(find(2, 0, 99, None, 100).await, ([1, 2, 3, 4].map(id).to_vec(), Some(id(8))));
    assert_eq!(find(1, 2, 6, None, 100).await, ([2, 3, 5].map(id).to_vec(), Some(id(5))));
    assert_eq!(find(1, 0, 99, None, 4).await, ([1, 2, 3].map(id).to_vec(), Some(id(4))));
    assert_eq!(find(1, 0, 99, Some(4), 2).await, (vec![id(5)], Some(id(6))));
    // The later of the two begins it.
    assert_eq!(find(9, 7, 99, Some(2), 100).await, ([7, 8].map(id).to_vec(), Some(id(8))));
    assert_eq!(find(1, 0, 99, Some(8), 2).await, (vec![], None));
    assert_eq!(find(1, 5, 5, None, 2).await, (vec![], None));
    assert_eq!(find(1, 6, 5, None, 2).await, (vec![], None));
}

/// Two jobs, or a job and a publisher, that meet: the first delivery of an event to a subscription
/// is made by one of them.
pub async fn a_job_delivers_what_was_missed_once(store: &dyn Store) {
    let [missed, other] = [event(&acme(), 1), event(&acme(), 2)];
    append(store, appending(vec![missed.clone(), other.clone()], vec![])).await;
    let by_job = |n: u64, events: &[&Arc<Event>]| {
        let first = |event: &&Arc<Event>| Delivery {
            replay_id: Some(job(&acme(), n).id),
            ..repeat(&delivery(event, lane(1)), n * 10 + u64::from(event.id.as_bytes()[15]), at(9))
        };
        let deliveries = events.iter().map(first).map(|d| Delivery { replay_of: None, ..d }).collect();
        Append { job: Some(job(&acme(), n)), ..appending(vec![], deliveries) }
    };
    for n in 1..=2 {
        let made = store.create_replay(job(&acme(), n), Context::default()).await;
        assert!(matches!(made, Ok(Written::Done(()))));
    }
    append(store, by_job(1, &[&missed])).await;
    assert!(is_conflict(&store.append(by_job(2, &[&other, &missed])).await));
    assert_eq!(listed(store, LogFilter::default()).await.len(), 1);
    append(store, by_job(2, &[&other])).await;
    let made = listed(store, LogFilter::default()).await;
    assert_eq!(made.len(), 2);
    let second = logged(store, made[0]).await.delivery;
    assert_eq!(
        (second.replay_of, second.replay_id, second.event_id),
        (None, Some(job(&acme(), 2).id), other.id)
    );
}
