//! The reference engine: the ports, executable, readable in one sitting.
//!
//! One lock around ordered maps. It forgets everything when its last handle is dropped; the
//! simulator runs on it, and every other engine is compared with it.

mod accounts;
mod alerts;
mod audit;
mod beside;
mod chains;
mod context_store;
mod deliveries;
mod delivery_queue;
mod directory;
mod event_log;
mod history;
mod inboxes;
mod mailboxes;
mod replays;
mod reports;
mod statistics;
mod upkeep;
mod voice_notes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use angarium_domain::alert::Alert;
use angarium_domain::attempt::AttemptRecord;
use angarium_domain::audit::AuditRow;
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::{Record, Scope};
use angarium_domain::ids::{DeliveryId, EventId, ReplayId, ReportId, SubscriptionId, VoiceNoteId};
use angarium_domain::mailbox::Mailbox;
use angarium_domain::quota::Day;
use angarium_domain::replay::ReplayJob;
use angarium_domain::report::{Report, Sort, Untold};
use angarium_domain::statistics::Tally;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::VoiceNote;

use crate::error::StoreError;
use crate::write::Context;
use chains::Sessions;
use context_store::Shelves;
use deliveries::{Deliveries, Lane};
use directory::Stored;
use inboxes::Inbox;

/// A store in memory. A clone is the same store, so that a simulation can end everything that
/// works on it and begin again with what was written.
#[derive(Clone, Default)]
pub struct MemoryStore {
    /// Shared because a store is used by many tasks; every call is one short critical section, which
    /// is what makes it one transaction.
    contents: Arc<Mutex<Contents>>,
}

/// Everything that is remembered. The handle is part of every key that a caller can name.
#[derive(Default)]
struct Contents {
    events: BTreeMap<(Handle, EventId), Arc<Event>>,
    deliveries: Deliveries,
    attempts: BTreeMap<(Handle, DeliveryId), Vec<AttemptRecord>>,
    accounts: BTreeMap<Handle, Stored>,
    /// Lanes whose subscription was removed, and whose deliveries are not all cancelled yet.
    endings: BTreeSet<Lane>,
    keys: BTreeMap<Scope, Record>,
    replays: BTreeMap<(Handle, ReplayId), ReplayJob>,
    reports: BTreeMap<ReportId, Report>,
    untold_reports: BTreeMap<Sort, Untold>,
    voice_notes: BTreeMap<(Handle, VoiceNoteId), VoiceNote>,
    mark_of_files: Option<String>,
    tallies: BTreeMap<statistics::Span, Tally>,
    audit: Vec<AuditRow>,
    shelves: Shelves,
    drawn: BTreeMap<(Handle, Day), u32>,
    alerts: BTreeMap<(Handle, SubscriptionId), Alert>,
    mailboxes: BTreeMap<(Handle, String), Mailbox>,
    inboxes: BTreeMap<Handle, Inbox>,
    sessions: Sessions,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("no call panics while it holds the lock")
    }
}

impl Contents {
    /// What was answered under a key, if it is still remembered at `now`.
    fn remembered(&self, scope: &Scope, now: Timestamp) -> Option<Record> {
        self.keys.get(scope).filter(|record| record.expires_at > now).cloned()
    }

    /// What was answered to the same write before. If it is a new one, it must be paid for.
    fn seen(&self, context: &Context) -> Result<Option<Record>, StoreError> {
        let new = context.idempotency.as_ref();
        let record = new.and_then(|new| self.remembered(&new.scope, new.made_at()));
        if let (None, Some(draw)) = (&record, &context.draw) {
            self.check_draw(draw).map_err(|exhausted| StoreError::Exhausted(Box::new(exhausted)))?;
        }
        Ok(record)
    }

    fn note(&mut self, context: Context) {
        if let Some(draw) = &context.draw {
            self.take(draw);
        }
        if let Some(record) = context.idempotency {
            self.keys.insert(record.scope.clone(), record);
        }
        if let Some(entry) = context.audit {
            self.append_audit(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;

    crate::conformance_suite!(promises, ((), MemoryStore::new()));
}
