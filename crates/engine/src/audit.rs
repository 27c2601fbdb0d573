//! The audit log: what goes into it, and reading it.

use std::sync::{Arc, Mutex, PoisonError};

use angarium_domain::audit::{AuditEntry, AuditRow, Difference, Strangers};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::audit::AuditFilter;
use angarium_store::page::{Page, PageRequest};

use crate::{Caller, Desk};

/// The audit log of all handles.
#[derive(Clone)]
pub struct AuditTrail {
    desk: Desk,
    /// Shared, because every request may be refused.
    strangers: Arc<Mutex<Strangers>>,
}

impl AuditTrail {
    pub(crate) fn new(desk: Desk) -> AuditTrail {
        AuditTrail { desk, strangers: Arc::default() }
    }

    /// A handle's rows, newest first.
    pub async fn list(
        &self,
        handle: &Handle,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditRow>, StoreError> {
        self.desk.store.audit(handle, filter, page).await
    }

    /// Tells a handle that somebody with a good credential and no role here asked for something.
    /// Does not make the request wait; a handle that is not in use is told nothing.
    pub fn refused(&self, stranger: Caller, asked_for: String) {
        let trail = self.clone();
        self.desk.tasks.spawn(async move {
            if let Err(error) = trail.note_refusal(&stranger, asked_for).await {
                tracing::warn!(%error, actor = stranger.actor, handle = %stranger.handle, "a refusal was not noted");
            }
        });
    }

    async fn note_refusal(&self, stranger: &Caller, asked_for: String) -> Result<(), StoreError> {
        if self.desk.snapshots.get(&stranger.handle).await?.version == 0 {
            return Ok(());
        }
        let now = self.desk.clock.now();
        if self.is_news(stranger, now) {
            self.desk.store.note(stranger.audit(now, "access.refused", asked_for)).await?;
        }
        Ok(())
    }

    fn is_news(&self, stranger: &Caller, now: Timestamp) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.is_news(&stranger.handle, &stranger.actor, now)
    }
}

impl Caller {
    /// A line for the audit log that tells nothing but the act. Who changes an object adds the
    /// [`Difference`].
    pub(crate) fn audit(&self, at: Timestamp, action: &'static str, object: String) -> AuditEntry {
        AuditEntry {
            at,
            handle: self.handle.clone(),
            actor: self.actor.clone(),
            action: action.into(),
            object,
            request_id: self.request_id.clone(),
            ip: self.ip,
            difference: Difference::default(),
        }
    }

    /// A line that also tells what the act changed.
    pub(crate) fn audit_of(
        &self,
        at: Timestamp,
        action: &'static str,
        object: String,
        difference: Difference,
    ) -> AuditEntry {
        AuditEntry { difference, ..self.audit(at, action, object) }
    }
}
