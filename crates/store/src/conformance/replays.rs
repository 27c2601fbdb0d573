//! Promises of replay jobs.

use angarium_domain::replay::{DeliveryFilter, JobStatus, ReplayJob};

use super::fixture::{acme, at, beta, first_page, is_conflict, is_seen, job, lane, replay_id, under_key};
use crate::Store;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

async fn create(store: &dyn Store, job: &ReplayJob) {
    assert!(matches!(store.create_replay(job.clone(), Context::default()).await, Ok(Written::Done(()))));
}

/// A job comes back as it was written, to its own handle.
pub async fn a_job_is_read_back_by_its_own_handle(store: &dyn Store) {
    let filter =
        DeliveryFilter { subscription_id: Some(lane(1)), since: Some(at(3)), ..DeliveryFilter::default() };
    let written = ReplayJob { filter, ..job(&acme(), 1) };
    create(store, &written).await;
    assert_eq!(store.replay(&acme(), written.id).await.expect("it reads"), Some(written.clone()));
    assert_eq!(store.replay(&beta(), written.id).await.expect("it reads"), None);
    assert_eq!(store.replay(&acme(), replay_id(2)).await.expect("it reads"), None);
}

/// A job is made once.
pub async fn a_repeated_job_is_made_once(store: &dyn Store) {
    let first = store.create_replay(job(&acme(), 1), under_key("k", at(1))).await;
    assert!(matches!(first, Ok(Written::Done(()))));
    assert!(is_seen(store.create_replay(job(&acme(), 2), under_key("k", at(1))).await, "k", at(1)));
    assert_eq!(store.replay(&acme(), replay_id(2)).await.expect("it reads"), None);
    assert!(is_conflict(&store.create_replay(job(&acme(), 1), Context::default()).await));
}

/// Newest first, each handle its own, whatever comes in between.
pub async fn pages_of_jobs_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    for n in 1..=7 {
        let handle = if n == 4 { beta() } else { acme() };
        create(store, &job(&handle, n)).await;
    }
    let mut seen = Vec::new();
    let mut page = first_page(2);
    loop {
        let Page { items, next } = store.replays(&acme(), page).await.expect("it reads");
        seen.extend(items.iter().map(|job| job.id));
        create(store, &job(&acme(), 100 + seen.len() as u64)).await;
        let Some(before) = next else { break };
        page = PageRequest { before: Some(before), limit: 2 };
    }
    assert_eq!(seen, [7, 6, 5, 3, 2, 1].map(replay_id));
}

/// After a restart, every handle's running jobs go on.
pub async fn running_jobs_of_all_handles_are_listed(store: &dyn Store) {
    let [mine, theirs, ended] = [job(&acme(), 1), job(&beta(), 2), job(&acme(), 3)];
    for job in [&mine, &theirs, &ended] {
        create(store, job).await;
    }
    let ended = ReplayJob { status: JobStatus::Completed, finished_at: Some(at(9)), ..ended };
    assert!(matches!(store.finish_replay(ended, Context::default()).await, Ok(Written::Done(()))));
    let mut running = store.running_replays().await.expect("it reads");
    running.sort_by_key(|job| job.id);
    assert_eq!(running, [mine, theirs]);
}

/// A job ends once, and stays as it ended.
pub async fn a_job_ends_once(store: &dyn Store) {
    create(store, &job(&acme(), 1)).await;
    let ended = |status| ReplayJob { status, finished_at: Some(at(9)), replayed: 2, ..job(&acme(), 1) };
    let cancelled = store.finish_replay(ended(JobStatus::Cancelled), under_key("k", at(9))).await;
    assert!(matches!(cancelled, Ok(Written::Done(()))));
    assert!(is_conflict(&store.finish_replay(ended(JobStatus::Completed), Context::default()).await));
    let again = store.finish_replay(ended(JobStatus::Cancelled), under_key("k", at(9))).await;
    assert!(is_seen(again, "k", at(9)));
    assert_eq!(
        store.replay(&acme(), replay_id(1)).await.expect("it reads"),
        Some(ended(JobStatus::Cancelled))
    );
    let unknown = store.finish_replay(job(&acme(), 5), Context::default()).await;
    assert!(is_conflict(&unknown));
}
