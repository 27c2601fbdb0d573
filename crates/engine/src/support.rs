//! Reports to whoever runs the service, with what the log says about what they name.

use std::sync::Arc;

use angarium_domain::access::Mode;
use angarium_domain::account::{Closed, Handles};
use angarium_domain::audit::{AuditEntry, Difference, changed};
use angarium_domain::delivery::Status as DeliveryStatus;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{EventId, ReportId, SubscriptionId};
use angarium_domain::replay::DeliveryFilter;
use angarium_domain::report::{
    self, About, AttemptEvidence, Closing, DELIVERIES_MAX, DeliveryEvidence, EventEvidence, Evidence, Kind,
    Report, Reporter, STRANGERS_MAX, Status, SubscriptionEvidence,
};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::page::{Page, PageRequest};
use angarium_store::reports::ReportFilter;
use angarium_store::write::{Context, Written};
use serde_json::json;

use crate::deliveries::{self, Shown};
use crate::ids::new_id;
use crate::once::{Once, RepeatError, Reply};
use crate::report_notices::Reported;
use crate::snapshots::find;
use crate::{Caller, DECISIONS_MAX, Desk, Metrics};

/// How a subscription stands that is not there any more.
const REMOVED: &str = "removed";

/// A report as it comes in.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// Of which kind.
    pub kind: Kind,
    /// Who reports it.
    pub reporter: Reporter,
    /// The handle that the reporter showed a credential for: what the report names is looked up there. None: what it
    /// names are words.
    pub seen_in: Option<Handle>,
    /// In one line.
    pub summary: String,
    /// At length.
    pub details: String,
    /// What it is about.
    pub about: About,
}

/// What is said of a report after it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPatch {
    /// Whether something is left to be done about it.
    pub status: Status,
    /// What came of it; none leaves what was said before.
    pub note: Option<String>,
}

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no such report.
    #[error("there is no such report")]
    NotFound,
    /// The handle has no such thing; whether somebody else has is not said.
    #[error("{field} names nothing of this handle")]
    Unknown {
        /// Which field.
        field: &'static str,
    },
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle is not there.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reports of everybody.
#[derive(Clone)]
pub struct Support {
    desk: Desk,
    reported: Reported,
    metrics: Arc<Metrics>,
}

impl Support {
    pub(crate) fn new(desk: Desk, reported: Reported, metrics: Arc<Metrics>) -> Support {
        Support { desk, reported, metrics }
    }

    /// Takes a report, with the evidence of now. A suspended handle may report, too: that it is suspended may be what
    /// it reports.
    pub async fn report(&self, new: NewReport, once: Once<Report>) -> Result<Reply, ReportError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ReportError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let now = self.desk.clock.now();
        if let Some(handle) = &new.seen_in {
            self.desk.snapshots.get(handle).await?.account.admits_reads(Handles::ByCredentials)?;
        }
        let evidence = match &new.seen_in {
            Some(handle) => self.evidence(handle, &new.about).await?,
            None => None,
        };
        let NewReport { kind, reporter, seen_in: handle, summary, details, about } = new;
        let id = new_id(&*self.desk.ids, now);
        let created_at = now;
        let report = Report {
            id,
            kind,
            handle,
            reporter,
            summary,
            details,
            about,
            evidence,
            closing: None,
            created_at,
        };
        let (answer, idempotency) = once.answer_to(&report, now);
        let told = json!({ "kind": kind, "summary": report.summary });
        let audit = audit(&report, &report.reporter, now, "report.created", changed(None, Some(&told)));
        // A plan is not paid with for asking for help.
        let context = Context { idempotency, audit, draw: None };
        let owner = report.handle.clone();
        let written = match (self.desk.store.create_report(report, STRANGERS_MAX, context).await, owner) {
            (Err(StoreError::Conflict), Some(handle)) if !self.desk.owns(&handle, now).await? => {
                return Err(Closed::NotFound.into());
            }
            (written, _) => written?,
        };
        if let Written::Done(()) = written {
            self.metrics.reported(kind);
            self.reported.notify_one();
        }
        Ok(once.reply(written, answer)?)
    }

    /// Closes a report, or opens it again. Repeating it changes nothing.
    pub async fn set_status(
        &self,
        id: ReportId,
        patch: ReportPatch,
        by: Reporter,
        once: Once<Report>,
    ) -> Result<Reply, ReportError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ReportError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        for _ in 0..DECISIONS_MAX {
            let before = self.get(id).await?.ok_or(ReportError::NotFound)?;
            let now = self.desk.clock.now();
            let report = patched(&before, &patch, &by, now);
            let (answer, idempotency) = once.answer_to(&report, now);
            let action = match report.status() {
                Status::Open => "report.opened",
                Status::Closed => "report.closed",
            };
            // The note is for whoever runs the service.
            let (was, is) = (json!({ "status": before.status() }), json!({ "status": report.status() }));
            let told = changed(Some(&was), Some(&is));
            let audit = audit(&report, &by, now, action, told).filter(|_| report != before);
            let context = Context { idempotency, audit, draw: None };
            match self.desk.store.move_report(report, before.closing, context).await {
                // Somebody else closed, opened or removed it.
                Err(StoreError::Conflict) => {}
                written => return Ok(once.reply(written?, answer)?),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Removes a report.
    pub async fn remove(&self, id: ReportId, by: Reporter, once: Once<()>) -> Result<Reply, ReportError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ReportError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let report = self.get(id).await?.ok_or(ReportError::NotFound)?;
        let now = self.desk.clock.now();
        let (answer, idempotency) = once.answer_to(&(), now);
        let audit = audit(&report, &by, now, "report.removed", Difference::default());
        let context = Context { idempotency, audit, draw: None };
        match self.desk.store.remove_report(id, context).await {
            Err(StoreError::Conflict) => Err(ReportError::NotFound),
            written => Ok(once.reply(written?, answer)?),
        }
    }

    /// One report.
    pub async fn get(&self, id: ReportId) -> Result<Option<Report>, StoreError> {
        self.desk.store.report(id).await
    }

    /// Reports, newest first.
    pub async fn list(&self, filter: ReportFilter, page: PageRequest) -> Result<Page<Report>, StoreError> {
        self.desk.store.reports(filter, page).await
    }

    /// Looks up what a report names. None if it names nothing that the log knows of.
    async fn evidence(&self, handle: &Handle, about: &About) -> Result<Option<Evidence>, ReportError> {
        let subscription = match &about.subscription_id {
            Some(text) => Some(self.subscription(handle, text).await?),
            None => None,
        };
        let event = match &about.event_id {
            Some(text) => Some(self.event(handle, text).await?),
            None => None,
        };
        if subscription.is_none() && event.is_none() {
            return Ok(None);
        }
        let filter = DeliveryFilter {
            subscription_id: subscription.as_ref().map(|found| found.subscription_id),
            event_id: event.as_ref().map(|found| found.event_id),
            ..DeliveryFilter::default()
        };
        let page = PageRequest { before: None, limit: DELIVERIES_MAX };
        let shown = deliveries::list(&self.desk, handle, filter, false, page).await?;
        let mut found = Vec::with_capacity(shown.items.len());
        for shown in shown.items {
            found.push(self.delivery(handle, &shown).await?);
        }
        Ok(Some(Evidence { subscription, event, deliveries: found }))
    }

    async fn subscription(&self, handle: &Handle, text: &str) -> Result<SubscriptionEvidence, ReportError> {
        let unknown = || ReportError::Unknown { field: "subscriptionId" };
        let id = report::subscription_named(text).ok_or_else(unknown)?;
        let snapshot = self.desk.snapshots.get(handle).await?;
        if let Some(entry) = find(&snapshot, id) {
            let subscription = &entry.subscription;
            return Ok(SubscriptionEvidence {
                subscription_id: id,
                endpoint: subscription.endpoint_url.without_query().to_owned(),
                status: word(&subscription.standing()),
            });
        }
        self.removed_subscription(handle, id).await?.ok_or_else(unknown)
    }

    /// A subscription that is gone, as the log remembers it: by the last delivery to it.
    async fn removed_subscription(
        &self,
        handle: &Handle,
        id: SubscriptionId,
    ) -> Result<Option<SubscriptionEvidence>, StoreError> {
        let filter = DeliveryFilter { subscription_id: Some(id), ..DeliveryFilter::default() };
        let page = PageRequest { before: None, limit: 1 };
        let last = deliveries::list(&self.desk, handle, filter, false, page).await?.items.pop();
        let Some(last) = last else { return Ok(None) };
        let attempts = self.desk.store.attempts(handle, last.logged.delivery.id).await?;
        let endpoint = attempts.last().map(|record| record.exchange.endpoint.clone()).unwrap_or_default();
        Ok(Some(SubscriptionEvidence { subscription_id: id, endpoint, status: REMOVED.to_owned() }))
    }

    async fn event(&self, handle: &Handle, text: &str) -> Result<EventEvidence, ReportError> {
        let unknown = || ReportError::Unknown { field: "eventId" };
        let id: EventId = text.parse().map_err(|_| unknown())?;
        let event = self.desk.store.event(handle, id).await?.ok_or_else(unknown)?;
        Ok(EventEvidence {
            event_id: id,
            r#type: event.event_type.clone(),
            origin: word(&event.origin),
            accepted_at: event.accepted_at,
        })
    }

    async fn delivery(&self, handle: &Handle, shown: &Shown) -> Result<DeliveryEvidence, StoreError> {
        let delivery = &shown.logged.delivery;
        let attempts = self.desk.store.attempts(handle, delivery.id).await?;
        let status: DeliveryStatus = shown.status;
        Ok(DeliveryEvidence {
            delivery_id: delivery.id,
            event_id: delivery.event_id,
            subscription_id: delivery.subscription_id,
            origin: word(&delivery.origin),
            status: word(&status),
            attempts: attempts
                .into_iter()
                .map(|record| AttemptEvidence {
                    number: record.number,
                    at: record.started_at,
                    endpoint: record.exchange.endpoint,
                    status: record.exchange.outcome.status(),
                    outcome: record.exchange.outcome.to_string(),
                })
                .collect(),
        })
    }
}

/// A report as somebody leaves it. Who closed it, and when, is whoever did so first, unless another note is written.
fn patched(before: &Report, patch: &ReportPatch, by: &Reporter, now: Timestamp) -> Report {
    let closing = match (patch.status, &before.closing) {
        (Status::Open, _) => None,
        (Status::Closed, Some(closing)) if patch.note.is_none() || patch.note == closing.note => {
            Some(closing.clone())
        }
        (Status::Closed, _) => {
            let by = by.actor.clone().unwrap_or_default();
            Some(Closing { at: now, by, note: patch.note.clone() })
        }
    };
    Report { closing, ..before.clone() }
}

/// What the audit log of the handle says about an act upon its report. Nothing, if it is nobody's report.
fn audit(
    report: &Report,
    by: &Reporter,
    now: Timestamp,
    action: &'static str,
    told: Difference,
) -> Option<AuditEntry> {
    let (handle, actor) = report.handle.clone().zip(by.actor.clone())?;
    let (request_id, ip) = (by.request_id.clone(), by.ip);
    let caller = Caller { handle, actor, request_id, ip, mode: Mode::Live, trace: None, draw: None };
    Some(caller.audit_of(now, action, report.id.to_string(), told))
}

/// The word of the wire for something that is one.
fn word(of: &impl serde::Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("{other:?} is no word"),
    }
}
