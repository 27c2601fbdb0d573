//! Replay jobs, in memory.

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReplayId;
use angarium_domain::replay::{JobStatus, ReplayJob};
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::replays::Replays;
use crate::write::{Context, Written};

#[async_trait]
impl Replays for MemoryStore {
    async fn create_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError> {
        self.lock().write_replay(job, context, |stored| stored.is_none())
    }

    async fn replay(&self, handle: &Handle, id: ReplayId) -> Result<Option<ReplayJob>, StoreError> {
        Ok(self.lock().replays.get(&(handle.clone(), id)).cloned())
    }

    async fn replays(&self, handle: &Handle, page: PageRequest) -> Result<Page<ReplayJob>, StoreError> {
        let contents = self.lock();
        let first = (handle.clone(), ReplayId::from_bytes([0; 16]));
        let end = (handle.clone(), ReplayId::from_bytes(page.before.unwrap_or([0xFF; 16])));
        let older = contents.replays.range(first..end).rev().map(|(_, job)| job.clone());
        let items = older.take(page.limit as usize + 1).collect();
        Ok(Page::cut(items, page.limit, |job: &ReplayJob| *job.id.as_bytes()))
    }

    async fn running_replays(&self) -> Result<Vec<ReplayJob>, StoreError> {
        let contents = self.lock();
        Ok(contents.replays.values().filter(|job| job.status == JobStatus::Running).cloned().collect())
    }

    async fn finish_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError> {
        let is_running =
            |stored: Option<&ReplayJob>| stored.is_some_and(|job| job.status == JobStatus::Running);
        self.lock().write_replay(job, context, is_running)
    }
}

impl Contents {
    fn write_replay(
        &mut self,
        job: ReplayJob,
        context: Context,
        allowed: impl Fn(Option<&ReplayJob>) -> bool,
    ) -> Result<Written<()>, StoreError> {
        if let Some(record) = self.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        let key = (job.handle.clone(), job.id);
        if !allowed(self.replays.get(&key)) {
            return Err(StoreError::Conflict);
        }
        self.replays.insert(key, job);
        self.note(context);
        Ok(Written::Done(()))
    }
}
