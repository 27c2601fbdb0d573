//! The audit log: what was done, in a chain over all handles that grows at its end only.
//!
//! Entries come with the writes that they tell of ([`crate::write::Context`]), in the same commit.
//! The place in the chain is given by `angarium_domain::audit`, at the moment of writing.

use angarium_domain::audit::{AuditEntry, AuditRow, Head};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};

/// Which entries to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// By exactly this actor.
    pub actor: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// To exactly this object.
    pub object: Option<String>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// The audit log. Nothing in it is ever changed or forgotten.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// A handle's rows, newest first. Their numbers have gaps: the chain is one for all handles.
    async fn audit(
        &self,
        handle: &Handle,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditRow>, StoreError>;

    /// Writes an entry about something that wrote nothing else, such as a refusal.
    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError>;

    /// How far the chain goes.
    async fn audit_head(&self) -> Result<Head, StoreError>;

    /// The rows of all handles from the one after `after` on, at most `limit`, oldest first.
    async fn chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
}

impl AuditFilter {
    /// Whether an entry is one of those.
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        self.actor.as_ref().is_none_or(|actor| *actor == entry.actor)
            && self.action.as_ref().is_none_or(|action| *action == entry.action)
            && self.object.as_ref().is_none_or(|object| *object == entry.object)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// A row's number as a position in a list.
pub(crate) fn position(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// The number behind a position.
pub(crate) fn number_at(position: [u8; 16]) -> u64 {
    u64::try_from(u128::from_be_bytes(position)).unwrap_or(u64::MAX)
}
