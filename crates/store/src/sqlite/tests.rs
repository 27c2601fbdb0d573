//! What only this engine promises.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use angarium_domain::delivery::Status;
use angarium_domain::event::{Event, Origin};
use angarium_domain::handle::Handle;
use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::payload::Payload;
use angarium_domain::replay::DeliveryFilter;
use angarium_domain::time::Timestamp;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::conditions::Conditions;
use super::fault::Fault;
use super::{Settings, SqliteStore};
use crate::conformance::{context_store, crash, directory, event_log, upkeep};
use crate::context_store::ContextStore;
use crate::delivery_queue::{DeliveryQueue, Held, LaneClaim, Leased, Settle};
use crate::directory::Directory;
use crate::error::StoreError;
use crate::event_log::{Append, EventLog};
use crate::history::LogFilter;
use crate::seal::MasterKey;
use crate::statements;
use crate::upkeep::Upkeep;
use crate::write::Written;

crate::conformance_suite!(promises, open_empty());

pub(super) fn key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

pub(super) fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, &key(), Settings { cache_mib: 2, ..Settings::default() })
}

pub(super) fn open_empty() -> (TempDir, SqliteStore) {
    let folder = TempDir::new().expect("a folder");
    let store = open(&path_in(&folder)).expect("a new store");
    (folder, store)
}

pub(super) fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("angarium.db")
}

#[track_caller]
fn reason_of(result: Result<SqliteStore, StoreError>) -> String {
    match result {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

pub(super) fn acme() -> Handle {
    "acme".parse().expect("a handle")
}

pub(super) fn event(n: u64) -> Arc<Event> {
    let accepted_at = Timestamp::from_seconds(1_700_000_000);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    Arc::new(Event {
        id: EventId::new(accepted_at, random),
        handle: acme(),
        event_type: "order.paid".parse().expect("a type"),
        occurred_at: accepted_at.into(),
        accepted_at,
        origin: Origin::Live,
        ordering_key: None,
        payload: Payload::of_our_own(&serde_json::json!({ "n": n })),
        trace: None,
    })
}

pub(super) fn of(events: Vec<Arc<Event>>) -> Append {
    Append { events, ..Append::default() }
}

/// Copies what is on disk while the store is open, and opens the copy: what a new process finds
/// after this one is killed.
fn after_a_crash(folder: &TempDir) -> (TempDir, SqliteStore) {
    let copy = TempDir::new().expect("a folder");
    for name in ["angarium.db", "angarium.db-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("a copy");
    }
    let store = open(&path_in(&copy)).expect("a store that was killed opens");
    (copy, store)
}

#[tokio::test]
async fn whatever_was_answered_is_there_after_a_crash() {
    let (folder, store) = open_empty();
    crash::whatever_was_answered_is_there_after_a_crash(&store, 11, 60, || after_a_crash(&folder)).await;
}

#[tokio::test]
async fn writes_that_wait_together_share_a_commit() {
    let folder = TempDir::new().expect("a folder");
    let groups = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&groups);
    let observer: super::Observer = Arc::new(move |jobs, _| seen.lock().expect("no panic").push(jobs));
    let settings = Settings { observer: Some(observer), group_max: 64, ..Settings::default() };
    let store = SqliteStore::open(&path_in(&folder), &key(), settings).expect("a new store");

    let mut appends = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let store = store.clone();
        appends.spawn(async move { store.append(of(vec![event(n)])).await });
    }
    while let Some(append) = appends.join_next().await {
        assert!(matches!(append.expect("no panic"), Ok(Written::Done(()))));
    }
    let groups = groups.lock().expect("no panic").clone();
    assert_eq!(groups.iter().sum::<usize>(), 1000);
    assert!(groups.iter().any(|jobs| *jobs > 1) && groups.iter().all(|jobs| *jobs <= 64), "{groups:?}");
}

/// A store, and a place for the reason of its end.
fn open_observed() -> (TempDir, SqliteStore, Arc<Mutex<Vec<String>>>) {
    let folder = TempDir::new().expect("a folder");
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&reasons);
    let end_observer: super::EndObserver =
        Arc::new(move |reason| told.lock().expect("no panic").push(reason.to_owned()));
    let settings = Settings { end_observer: Some(end_observer), ..Settings::default() };
    let store = SqliteStore::open(&path_in(&folder), &key(), settings).expect("a new store");
    (folder, store, reasons)
}

#[tokio::test]
async fn nothing_is_written_after_a_sync_that_failed() {
    let (folder, store, reasons) = open_observed();
    store.append(of(vec![event(1)])).await.expect("it is written");
    let failed_sync = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
    let failed = store
        .write(move |_| Err::<(), _>(Fault::Sql(rusqlite::Error::SqliteFailure(failed_sync, None))))
        .await
        .expect_err("it failed");
    assert!(failed.to_string().contains("a sync of the disk failed"), "{failed}");
    let later = store.append(of(vec![event(2)])).await;
    assert!(matches!(later, Err(StoreError::Unavailable { .. })));
    assert!(store.probe().await.is_err());
    drop(store);
    assert_eq!(reasons.lock().expect("no panic").len(), 1);

    let again = open(&path_in(&folder)).expect("it opens anew");
    assert_eq!(again.census().await.expect("it counts").events, 1);
}

/// Lets the file grow by so many pages at most.
async fn leave_pages(store: &SqliteStore, pages: i64) {
    let limited = store.write(move |db| {
        let there: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
        // It answers what the limit is now.
        db.query_row(&format!("PRAGMA max_page_count = {}", there + pages), [], |_| Ok(()))?;
        Ok(())
    });
    limited.await.expect("a limit");
}

#[tokio::test]
async fn a_full_disk_refuses_what_comes_and_keeps_what_came() {
    let (_folder, store, reasons) = open_observed();
    leave_pages(&store, 50).await;
    let (mut kept, mut refused) = (0, 0);
    for n in 0..100 {
        let payload = Payload::of_our_own(&serde_json::json!({ "x": "x".repeat(20_000) }));
        let event = Event { payload, ..(*event(n)).clone() };
        match store.append(of(vec![Arc::new(event)])).await {
            Ok(_) => kept += 1,
            Err(StoreError::Unavailable { reason }) => {
                assert!(reason.contains("full"), "{reason}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused");
    assert_eq!(store.census().await.expect("it reads on").events, kept);
    assert!(reasons.lock().expect("no panic").is_empty(), "the store has not ended");
    leave_pages(&store, 1_000).await;
    store.append(of(vec![event(200)])).await.expect("there is room again");
    assert_eq!(store.census().await.expect("it counts").events, kept + 1);
}

#[tokio::test]
async fn a_panic_of_the_writer_is_told() {
    let (_folder, store, reasons) = open_observed();
    let failed = store.write(|_| -> super::fault::Tried<()> { panic!("a trial") }).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
    drop(store);
    assert_eq!(*reasons.lock().expect("no panic"), ["the writer panicked"]);
}

#[tokio::test]
async fn the_end_of_a_store_that_was_closed_is_no_news() {
    let (_folder, store, reasons) = open_observed();
    store.append(of(vec![event(1)])).await.expect("it is written");
    drop(store);
    assert!(reasons.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_write_that_cannot_be_done_does_not_fail_the_ones_beside_it() {
    let (_folder, store) = open_empty();
    let mut appends = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        // Every tenth write has an event whose id is taken by then, after one that is new.
        let events = if n % 10 == 9 { vec![event(1000 + n), event(0)] } else { vec![event(n)] };
        appends.spawn(async move { (n, store.append(of(events)).await) });
    }
    while let Some(append) = appends.join_next().await {
        match append.expect("no panic") {
            (n, Ok(Written::Done(()))) => assert_ne!(n % 10, 9),
            (n, Err(StoreError::Conflict)) => assert_eq!(n % 10, 9),
            (n, Ok(Written::Seen(_)) | Err(_)) => panic!("write {n} was neither done nor a conflict"),
        }
    }
    assert_eq!(store.census().await.expect("it counts").events, 180);
}

#[tokio::test]
async fn a_write_beyond_the_queue_is_refused_before_it_is_accepted() {
    let folder = TempDir::new().expect("a folder");
    let settings = Settings { queue_max: 1, ..Settings::default() };
    let store = SqliteStore::open(&path_in(&folder), &key(), settings).expect("a new store");
    // One write holds the writer and one fills the queue; the third finds no room.
    let (started, begun) = tokio::sync::oneshot::channel();
    let started = Mutex::new(Some(started));
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let mut holding = Box::pin(store.write(move |_| {
        let started = started.lock().expect("no panic").take();
        started.expect("it runs once").send(()).expect("the test waits");
        gate.lock().expect("no panic").recv().expect("the test goes on");
        Ok(())
    }));
    assert!(poll_once(&mut holding).await.is_pending());
    begun.await.expect("it began");
    let mut waiting = Box::pin(store.probe());
    assert!(poll_once(&mut waiting).await.is_pending());
    assert!(matches!(store.probe().await, Err(StoreError::Unavailable { .. })));
    go_on.send(()).expect("it waits");
    assert!(holding.await.is_ok());
    assert!(waiting.await.is_ok());
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let (folder, store) = open_empty();
    let reason = reason_of(open(&path_in(&folder)));
    assert!(reason.contains("another process has it open"), "{reason}");
    drop(store);
    assert!(open(&path_in(&folder)).is_ok());
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let (folder, store) = open_empty();
    drop(store);
    let other = MasterKey::from_bytes([8; 32]);
    let reason = reason_of(SqliteStore::open(&path_in(&folder), &other, Settings::default()));
    assert!(reason.contains(&key().id()) && reason.contains(&other.id()), "{reason}");
    assert!(open(&path_in(&folder)).is_ok());
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let (folder, store) = open_empty();
    drop(store);
    let db = Connection::open(path_in(&folder)).expect("it opens");
    db.execute("UPDATE refinery_schema_history SET version = version + 1000", []).expect("it writes");
    drop(db);
    let reason = reason_of(open(&path_in(&folder)));
    assert!(reason.contains("written by a newer version"), "{reason}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(path_in(&folder), "a letter home".repeat(100)).expect("it writes");
    let reason = reason_of(open(&path_in(&folder)));
    assert!(reason.contains("not a database"), "{reason}");
}

#[tokio::test]
async fn sealed_columns_moved_to_another_row_do_not_open() {
    let (folder, store) = open_empty();
    directory::a_subscription_is_read_back_with_its_keys(&store).await;
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let other_row =
        "INSERT INTO subscriptions SELECT handle, zeroblob(16), subscription, keys FROM subscriptions";
    db.execute(other_row, []).expect("it writes");
    assert!(matches!(store.snapshot(&acme()).await, Err(StoreError::Corrupt { .. })));
    db.execute("DELETE FROM subscriptions WHERE id = zeroblob(16)", []).expect("it writes");
    assert!(store.snapshot(&acme()).await.is_ok());
}

#[tokio::test]
async fn keys_moved_to_the_column_of_another_row_do_not_open() {
    let (folder, store) = open_empty();
    directory::a_subscription_is_read_back_with_its_keys(&store).await;
    let db = Connection::open(path_in(&folder)).expect("it opens");
    db.execute("UPDATE subscriptions SET keys = subscription", []).expect("it writes");
    assert!(matches!(store.snapshot(&acme()).await, Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn what_is_committed_is_synced() {
    let (_folder, store) = open_empty();
    let settings = store.write(|db| {
        let journal: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        Ok((journal, synchronous))
    });
    assert_eq!(settings.await.expect("it reads"), ("wal".to_owned(), 2));
}

#[tokio::test]
async fn no_secret_is_readable_in_the_files() {
    let (folder, store) = open_empty();
    directory::a_subscription_is_read_back_with_its_keys(&store).await;
    event_log::a_key_may_be_used_again_once_it_has_ended(&store).await;
    let keys = store.snapshot(&acme()).await.expect("it reads").subscriptions[0].keys.newest().shown();
    drop(store);
    let bytes = std::fs::read(path_in(&folder)).expect("it reads");
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("event.publish"), "what is no secret is there");
    for secret in [keys.as_str(), "token=secret", "x-api-key", "the answer to k"] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_conflict_leaves_no_audit_line() {
    let (folder, store) = open_empty();
    event_log::an_append_decided_upon_an_old_snapshot_writes_nothing(&store).await;
    upkeep::keys_that_have_ended_are_forgotten(&store).await;
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let lines: i64 = db.query_row("SELECT COUNT(*) FROM audit", [], |row| row.get(0)).expect("it counts");
    assert_eq!(lines, 1);
}

/// How a statement finds its rows.
fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
    let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
    let rows = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3));
    rows.expect("a plan").collect::<Result<Vec<_>, _>>().expect("a plan").join("\n")
}

#[track_caller]
fn check_plan(db: &Connection, sql: &str, index: &str) {
    let plan = plan(db, sql);
    let searched = plan.contains(&format!("SEARCH deliveries USING INDEX {index} "))
        || plan.contains(&format!("SEARCH deliveries USING COVERING INDEX {index} "));
    assert!(searched && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
}

/// A search within one lane's part of an index costs by its limit, whatever stands in other lanes.
#[tokio::test]
async fn claims_search_the_index_of_their_lane_and_sort_nothing() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    for (sql, index) in [
        (statements::DUE, "deliveries_due"),
        (statements::NEXT_DUE, "deliveries_due"),
        (statements::NEXT_LANE, "deliveries_due"),
        (statements::LAST_PLACE, "deliveries_in_order"),
        (statements::FIRST_IN_ORDER, "deliveries_in_order"),
        (statements::IN_FLIGHT, "deliveries_in_flight"),
        (statements::FINISHED, "deliveries_finished"),
        (statements::NEWEST, "deliveries_by_subscription"),
    ] {
        check_plan(&db, sql, index);
    }
    // One search for each lane: it begins where the lane before it ends.
    let next_lane = plan(&db, statements::NEXT_LANE);
    assert!(next_lane.contains("((handle,subscription_id)>(?,?))"), "{next_lane}");
}

#[tokio::test]
async fn pages_of_the_log_search_the_index_of_their_filter_and_sort_nothing() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let any = DeliveryFilter::default;
    let of_subscription =
        DeliveryFilter { subscription_id: Some(SubscriptionId::from_bytes([1; 16])), ..any() };
    let dead_of = |n| DeliveryFilter {
        subscription_id: Some(SubscriptionId::from_bytes([n; 16])),
        status: Some(Status::Dead),
        ..any()
    };
    let of_event = DeliveryFilter { event_id: Some(EventId::from_bytes([1; 16])), ..any() };
    for (conditions, dead_letters, index) in [
        (any(), true, "deliveries_dead_letters"),
        (of_subscription, false, "deliveries_by_subscription"),
        (of_event, false, "deliveries_by_event"),
        (DeliveryFilter { status: Some(Status::Dead), ..any() }, false, "deliveries_dead"),
        (DeliveryFilter { since: Some(Timestamp::from_seconds(5)), ..dead_of(1) }, false, "deliveries_dead"),
        (
            DeliveryFilter { since: Some(Timestamp::from_seconds(5)), ..dead_of(1) },
            true,
            "deliveries_dead_letters",
        ),
    ] {
        let filter = LogFilter { conditions, dead_letters, ..LogFilter::default() };
        let page = Conditions::of_deliveries(statements::SELECT_DELIVERIES, &acme(), &filter);
        check_plan(&db, page.and("id <", vec![9; 16]).first("id DESC", 51).sql(), index);
    }
    for (select, search) in [
        (statements::SELECT_DELIVERIES, "SEARCH deliveries USING PRIMARY KEY (handle=? AND id<?)"),
        (statements::SELECT_EVENTS, "SEARCH events USING INDEX events_by_id (handle=? AND id<?)"),
    ] {
        let page = Conditions::of(select, &acme()).and("id <", vec![9; 16]).first("id DESC", 51);
        assert_eq!(plan(&db, page.sql()), search);
    }
}

/// What a batch of a job costs does not grow with the log, and neither does forgetting jobs.
#[tokio::test]
async fn batches_of_a_replay_search_the_dead_letters_from_where_the_last_one_ended() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let conditions = DeliveryFilter { status: Some(Status::Dead), ..DeliveryFilter::default() };
    let filter = LogFilter { conditions, dead_letters: true, ..LogFilter::default() };
    let batch = Conditions::of_deliveries(statements::SELECT_DELIVERIES, &acme(), &filter).replayable();
    let batch = batch.and("id >", vec![9; 16]).first("id", 200);
    check_plan(&db, batch.sql(), "deliveries_dead_letters");
    let found = plan(&db, batch.sql());
    assert!(found.contains("(handle=? AND id>?)"), "{found}");
    let forgetting = plan(&db, statements::FORGET_REPLAYS);
    assert!(
        forgetting.contains("replays_ended (finished_at<?)") && !forgetting.contains("TEMP"),
        "{forgetting}"
    );
}

/// A look for what was missed reads as many events as it may, and for each the deliveries of that event.
#[tokio::test]
async fn looking_for_what_was_missed_begins_where_the_last_look_ended() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let found = plan(&db, statements::UNDELIVERED);
    for part in ["events_by_id (handle=? AND id>? AND id<?)", "deliveries_by_event (event_id=? AND handle=?)"]
    {
        assert!(found.contains(part), "{found}");
    }
    assert!(!found.contains("SCAN") && !found.contains("TEMP B-TREE"), "{found}");
    check_plan(&db, statements::DELIVERED_TO, "deliveries_by_event");
}

/// A backlog is counted in its index alone, and statistics are read by their key.
#[tokio::test]
async fn statistics_search_and_sort_nothing() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let backlog = plan(&db, statements::LANE_BACKLOG);
    assert!(
        backlog.contains("USING COVERING INDEX deliveries_due (handle=? AND subscription_id=?)"),
        "{backlog}"
    );
    let tallies = plan(&db, statements::TALLIES);
    assert!(
        tallies.contains("PRIMARY KEY (handle=? AND subscription_id=? AND span=? AND begun_at>?)"),
        "{tallies}"
    );
    let forgetting = plan(&db, statements::FORGET_TALLIES);
    assert!(forgetting.contains("statistics_by_age (span=? AND begun_at<?)"), "{forgetting}");
    for plan in [backlog, tallies, forgetting] {
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{plan}");
    }
}

/// An index that a query names must be one that it can use.
#[tokio::test]
async fn every_combination_of_conditions_can_be_searched_for() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let statuses = [
        Status::Pending,
        Status::InFlight,
        Status::Retrying,
        Status::Delivered,
        Status::Dead,
        Status::Cancelled,
        Status::Held,
    ];
    for status in statuses.map(Some).into_iter().chain([None]) {
        for bits in 0..16 {
            let conditions = DeliveryFilter {
                status,
                subscription_id: (bits & 1 > 0).then(|| SubscriptionId::from_bytes([1; 16])),
                event_id: (bits & 2 > 0).then(|| EventId::from_bytes([1; 16])),
                ..DeliveryFilter::default()
            };
            let paused = if bits & 4 > 0 { vec![SubscriptionId::from_bytes([1; 16])] } else { vec![] };
            let filter = LogFilter { conditions, dead_letters: bits & 8 > 0, paused };
            let page = Conditions::of_deliveries(statements::SELECT_DELIVERIES, &acme(), &filter);
            let count = Conditions::of_deliveries(statements::SELECT_COUNT, &acme(), &filter).replayable();
            let waiting = Conditions::of_waiting(statements::SELECT_DELIVERIES, &acme(), &filter);
            for query in [Some(page), Some(count), waiting].into_iter().flatten() {
                let query = query.first("id DESC", 51);
                assert!(db.prepare(query.sql()).is_ok(), "{}", query.sql());
            }
        }
    }
}

#[tokio::test]
async fn every_statement_is_one_that_the_schema_knows() {
    let (folder, _store) = open_empty();
    let db = Connection::open(path_in(&folder)).expect("it opens");
    for (name, sql) in statements::ALL {
        assert!(db.prepare(sql).is_ok(), "{name}");
    }
}

/// A store of the first version, with a lane that stayed in order as a whole.
#[tokio::test]
async fn an_ordered_lane_of_the_first_version_goes_on_key_by_key() {
    let folder = TempDir::new().expect("a folder");
    let mut db = Connection::open(path_in(&folder)).expect("it opens");
    let first = super::schema::migrations::runner().set_target(refinery::Target::Version(1));
    first.run(&mut db).expect("the first version");
    // Under way, waiting for a retry, waiting, and delivered; by number of the event.
    for (n, key, state) in [
        (1, Some("k"), 1),
        (2, None, 0),
        (3, Some("k"), 0),
        (4, Some("k"), 2),
        (5, Some("l"), 0),
        (6, Some("k"), 0),
    ] {
        let id = EventId::from_bytes([n; 16]);
        db.execute(
            "INSERT INTO events (handle, id, event_type, occurred_at, accepted_at, origin, ordering_key, payload, unreferenced)
             VALUES ('acme', ?1, 'order.paid', '2026-01-01T00:00:00Z', 0, 'live', ?2, x'7b7d', 0)",
            params![id.as_bytes(), key],
        )
        .expect("an event");
        db.execute(
            "INSERT INTO deliveries (handle, id, event_id, event_type, origin, subscription_id, ordered, state,
                 state_at, attempts_made, interruptions, token)
             VALUES ('acme', ?1, ?1, 'order.paid', 'live', zeroblob(16), 1, ?2, ?3, 0, 0, 1)",
            params![id.as_bytes(), state, i64::from(n)],
        )
        .expect("a delivery");
    }
    drop(db);

    let store = open(&path_in(&folder)).expect("it is brought up to date");
    assert_eq!(store.take_back(Held::ByAnyone, Timestamp::from_seconds(1)).await.expect("it writes"), 1);
    let mut seen = Vec::new();
    loop {
        let claim =
            LaneClaim { handle: acme(), subscription_id: SubscriptionId::from_bytes([0; 16]), limit: 10 };
        let now = Timestamp::from_seconds(2);
        let leased = store.claim(vec![claim], now, now).await.expect("it claims").remove(0).leased;
        if leased.is_empty() {
            break;
        }
        seen.push(leased.iter().map(|leased| leased.delivery.id.as_bytes()[0]).collect::<Vec<_>>());
        for Leased { lease, delivery, .. } in leased {
            let settlement = delivery.cancel(now);
            let ended = store.settle(Settle { lease, settlement, record: None, follow_up: None }).await;
            ended.expect("the lease holds");
        }
    }
    assert_eq!(seen, [vec![2, 5, 1], vec![3], vec![6]]);
}

/// A step that was cut short has left nothing, and is done at the next start.
#[tokio::test]
async fn a_migration_that_was_cut_short_is_done_at_the_next_start() {
    let (folder, store) = open_empty();
    drop(store);
    let db = Connection::open(path_in(&folder)).expect("it opens");
    let tables: Vec<String> = db
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'refinery%'
             AND name NOT LIKE 'context_index_%'",
        )
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .expect("it reads");
    for table in &tables {
        db.execute_batch(&format!("DROP TABLE {table}")).expect("it writes");
    }
    db.execute("DELETE FROM refinery_schema_history WHERE version >= ?1", params![1]).expect("it writes");
    drop(db);
    let store = open(&path_in(&folder)).expect("it goes on");
    assert!(tables.len() > 8 && store.probe().await.is_ok());
}

#[test]
fn of_a_handle_that_is_cleared_every_table_is() {
    // What outlives a handle, on purpose: of its inbox the numbers, so that they never say something else.
    const KEPT: [&str; 3] = ["accounts", "audit", "inboxes"];
    let (folder, store) = open_empty();
    drop(store);
    let db = Connection::open(path_in(&folder)).expect("the database");
    let mut tables = db
        .prepare(
            "SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
             WHERE m.type = 'table' AND c.name = 'handle'",
        )
        .expect("a query");
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let clears: Vec<&str> =
        statements::ALL.iter().filter(|(name, _)| name.starts_with("CLEAR")).map(|(_, sql)| *sql).collect();
    let mut seen = 0;
    for table in tables.map(|name| name.expect("a name")) {
        let cleared = clears.iter().any(|sql| sql.contains(&format!(" FROM {table} ")));
        assert!(cleared || KEPT.contains(&table.as_str()), "nothing clears {table} of a handle");
        seen += 1;
    }
    assert!(seen >= 7, "{seen} tables belong to handles");
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_ended_and_keeps_no_other_read_waiting() {
    let folder = TempDir::new().expect("a folder");
    let settings = |search_time| Settings { cache_mib: 2, readers: 1, search_time, ..Settings::default() };
    let open = |time| SqliteStore::open(&path_in(&folder), &key(), settings(time)).expect("it opens");
    let store = open(Duration::from_mins(1));
    let source = context_store::new_source(&acme(), 1);
    context_store::create(&store, &source).await;
    let text = "word ".repeat(50);
    let texts = vec![text.as_str(); 300];
    context_store::synced(&store, &source, &texts).await;
    let search = context_store::looking_for("word");
    assert_eq!(store.search_chunks(&acme(), search.clone()).await.expect("it finds").len(), 100);
    drop(store);

    let store = open(Duration::ZERO);
    let ended = store.search_chunks(&acme(), search).await;
    assert!(matches!(ended, Err(StoreError::Unavailable { .. })));
    assert!(store.source(&acme(), source.id).await.expect("it reads").is_some());
}
