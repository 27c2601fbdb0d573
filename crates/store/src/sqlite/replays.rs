//! Replay jobs, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReplayId;
use angarium_domain::replay::{JobStatus, ReplayJob};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::conditions::Conditions;
use super::context::SealedContext;
use super::fault::{Fault, Tried};
use super::row::{from_json, json};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::replays::Replays;
use crate::statements;
use crate::write::{Context, Written};

#[async_trait]
impl Replays for SqliteStore {
    async fn create_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            let ended_at = job.finished_at.map(Timestamp::as_millis);
            let row = params![job.handle.as_str(), job.id.as_bytes(), is_running(&job), ended_at, json(&job)];
            db.prepare_cached(statements::INSERT_REPLAY)?.execute(row)?;
            context.note(db)
        })
        .await
    }

    async fn replay(&self, handle: &Handle, id: ReplayId) -> Result<Option<ReplayJob>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::REPLAY)?;
            let mut rows = statement.query_and_then(params![handle.as_str(), id.as_bytes()], job)?;
            rows.next().transpose()
        })
        .await
    }

    async fn replays(&self, handle: &Handle, page: PageRequest) -> Result<Page<ReplayJob>, StoreError> {
        let mut query = Conditions::of(statements::SELECT_REPLAYS, handle);
        if let Some(before) = page.before {
            query = query.and("id <", before.to_vec());
        }
        let query = query.first("id DESC", page.limit + 1);
        let items = self.read(move |db| query.query(db, job)).await?;
        Ok(Page::cut(items, page.limit, |job: &ReplayJob| *job.id.as_bytes()))
    }

    async fn running_replays(&self) -> Result<Vec<ReplayJob>, StoreError> {
        self.read(|db| db.prepare_cached(statements::RUNNING_REPLAYS)?.query_and_then([], job)?.collect())
            .await
    }

    async fn finish_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            if move_replay(db, &job)? { context.note(db) } else { Err(Fault::Refused(StoreError::Conflict)) }
        })
        .await
    }
}

/// Writes a running job's new state. Answers false, and writes nothing, if it is not running.
pub(super) fn move_replay(db: &Connection, job: &ReplayJob) -> Tried<bool> {
    let ended_at = job.finished_at.map(Timestamp::as_millis);
    let row = params![is_running(job), ended_at, json(job), job.handle.as_str(), job.id.as_bytes()];
    Ok(db.prepare_cached(statements::MOVE_REPLAY)?.execute(row)? > 0)
}

pub(super) fn replay_runs(db: &Connection, job: &ReplayJob) -> Tried<bool> {
    let mut statement = db.prepare_cached(statements::REPLAY_RUNS)?;
    Ok(statement.exists(params![job.handle.as_str(), job.id.as_bytes()])?)
}

fn is_running(job: &ReplayJob) -> bool {
    job.status == JobStatus::Running
}

fn job(row: &Row<'_>) -> Tried<ReplayJob> {
    from_json(row.get_ref(0)?.as_bytes()?)
}
