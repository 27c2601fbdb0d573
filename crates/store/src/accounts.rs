//! What the operator says of handles, what their plans have paid for, and their end.

use angarium_domain::account::Account;
use angarium_domain::handle::Handle;
use angarium_domain::quota::Day;
use async_trait::async_trait;

use crate::error::StoreError;

/// A handle that something was written about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub handle: Handle,
    /// Its version, as in a snapshot.
    pub version: u64,
    /// What the operator says of it.
    pub account: Account,
}

/// Accounts. They are changed by [`crate::Directory::change`], like everything of a handle, and
/// their writes are drawn with the write itself ([`crate::write::Context::draw`]).
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Handles that something was written about and that are not gone, by name: at most `limit`,
    /// those after `after`. In time proportional to the answer, and to the handles that are gone.
    async fn accounts(&self, after: Option<Handle>, limit: u32) -> Result<Vec<Known>, StoreError>;

    /// How many writes of a handle its plan has paid for on a day.
    async fn drawn(&self, handle: &Handle, day: Day) -> Result<u32, StoreError>;

    /// Handles that were deleted and of which something may be left, by name.
    async fn leaving(&self) -> Result<Vec<Handle>, StoreError>;

    /// Removes what belongs to a handle, leased deliveries included: at most `limit` of each kind,
    /// so that no batch holds the store for long. Its account and its audit log stay. Answers how
    /// much there was; 0 when nothing is left. Asks nobody whether the handle was deleted.
    async fn clear(&self, handle: &Handle, limit: u32) -> Result<u64, StoreError>;
}
