//! Replay jobs.

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReplayId;
use angarium_domain::replay::ReplayJob;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Replay jobs. Their progress is written by [`crate::EventLog::append`].
#[async_trait]
pub trait Replays: Send + Sync {
    /// Writes a new job.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its id is taken.
    async fn create_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError>;

    /// One job of a handle.
    async fn replay(&self, handle: &Handle, id: ReplayId) -> Result<Option<ReplayJob>, StoreError>;

    /// A handle's jobs, newest first.
    async fn replays(&self, handle: &Handle, page: PageRequest) -> Result<Page<ReplayJob>, StoreError>;

    /// Every job that is running: what to go on with after a restart.
    async fn running_replays(&self) -> Result<Vec<ReplayJob>, StoreError>;

    /// Ends a running job as `job` says.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is not running any more.
    async fn finish_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError>;
}
