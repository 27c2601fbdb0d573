//! Telling whoever runs the service of reports (decisions/0032).
//!
//! Reports gather in the transactions that write them; here they are told of, each sort's first at once and the
//! others together when the interval is over. The operator names a handle of their own; what is told is an event of
//! that handle, with its deliveries, appended in the transaction that notes the telling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use angarium_domain::account::{Account, Handles};
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::letter::how_many_reports;
use angarium_domain::report::Untold;
use angarium_domain::subscription::{ChannelKind, Subscription};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::Snapshot;
use angarium_store::event_log::{Append, Beside};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::inbox::{self, Inbox, NewItem};
use crate::planner::{Again, Plan};
use crate::{DECISIONS_MAX, Desk, Metrics, SupportDesk, emails, new_id, notices};

/// The wait after a round in which something could not be told.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The longest time between two rounds.
const ROUND_AFTER: Duration = Duration::from_mins(1);

/// Why it stands in the inbox.
const NO_ADDRESS: &str =
    "No e-mail address is set to tell of it. Set an owner default e-mail, and this is sent there.";

/// Told when a report came.
pub(crate) type Reported = Arc<Notify>;

/// Tells whoever runs the service.
pub(crate) struct ReportNotices {
    desk: Desk,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    to: Handle,
    /// How handles come into being.
    handles: Handles,
    /// Whether there was no such handle when it was last to be told, for the log alone.
    is_missing: AtomicBool,
}

impl ReportNotices {
    pub(crate) fn new(desk: Desk, inbox: Inbox, metrics: Arc<Metrics>, told: SupportDesk) -> ReportNotices {
        let SupportDesk { handle: to, handles } = told;
        ReportNotices { desk, inbox, metrics, to, handles, is_missing: AtomicBool::new(false) }
    }

    pub(crate) async fn run(self, reported: Reported, stopped: CancellationToken) {
        loop {
            let wait = self.round().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "nobody is told of reports yet; they are soon");
                AGAIN_AFTER
            });
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                () = reported.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Tells of everything that is due, and says how long to wait for more.
    async fn round(&self) -> Result<Duration, StoreError> {
        let now = self.desk.clock.now();
        let mut wait = ROUND_AFTER;
        for untold in self.desk.store.untold_reports().await? {
            if untold.is_due(now) {
                // One sort that cannot be told of must not keep others waiting.
                if let Err(error) = self.tell(&untold, now).await {
                    tracing::warn!(%error, kind = untold.sort.kind.as_str(), "reports are not told of yet; they are soon");
                    wait = wait.min(AGAIN_AFTER);
                }
            } else if untold.gathered > 0 {
                wait = wait.min(untold.due_at.since(now));
            }
        }
        Ok(wait)
    }

    /// Tells of the reports of one sort, if there is a handle to tell. If not, the next round looks again.
    async fn tell(&self, untold: &Untold, now: Timestamp) -> Result<(), StoreError> {
        let mut snapshot = self.desk.snapshots.get(&self.to).await?;
        for _ in 0..DECISIONS_MAX {
            if !self.is_there(&snapshot.account) {
                return Ok(());
            }
            match self.try_tell(untold, &snapshot, now).await {
                Err(StoreError::Conflict) => {}
                told => return told,
            }
            let fresh = self.desk.snapshots.refresh(&self.to).await?;
            if fresh.version == snapshot.version {
                // Somebody else told.
                return Ok(());
            }
            snapshot = fresh;
        }
        Err(StoreError::Conflict)
    }

    /// Whether anybody may read what the handle is told. Says once that nobody may, and once that somebody may again.
    fn is_there(&self, account: &Account) -> bool {
        let is_there = account.admits_reads(self.handles).is_ok();
        match (is_there, self.is_missing.swap(!is_there, Ordering::Relaxed)) {
            (false, false) => tracing::error!(
                handle = %self.to,
                "nobody is told of reports: the handle in support.handle was removed, or never declared"
            ),
            (true, true) => tracing::info!(handle = %self.to, "the handle in support.handle is there again"),
            (true, false) | (false, true) => {}
        }
        is_there
    }

    async fn try_tell(&self, untold: &Untold, snapshot: &Snapshot, now: Timestamp) -> Result<(), StoreError> {
        let latest = match self.desk.store.report(untold.last_id).await {
            // It counts, and the list of reports shows what is wrong with it.
            Err(StoreError::Corrupt { .. }) => None,
            latest => latest?,
        };
        let event = notices::reports(new_id(&*self.desk.ids, now), &self.to, untold, latest.as_ref(), now);
        let (plan, by_mail) = self.planned(snapshot, &event, now);
        let interval = snapshot.account.notices.alert_interval();
        let mut beside = vec![Beside::ReportsTold(untold.told(now, interval))];
        let in_the_inbox = by_mail == 0 && !inbox::asks_for(snapshot, &event.event_type);
        if in_the_inbox {
            beside.push(self.inbox.beside(&self.to, item(&event)));
        }
        let append = Append {
            decided_upon: vec![(self.to.clone(), snapshot.version)],
            events: vec![event],
            deliveries: plan.deliveries(),
            beside,
            ..Append::default()
        };
        self.desk.store.append(append).await?;
        self.metrics.told_of_reports(by_mail > 0);
        let (kind, count) = (untold.sort.kind.as_str(), untold.gathered);
        tracing::info!(handle = %self.to, kind, count, by_mail, "whoever runs the service is told of reports");
        if in_the_inbox {
            self.inbox.look(&self.to);
        }
        self.desk.planner.announce(plan).await;
        Ok(())
    }

    /// Whom it goes to: whatever subscribed to it, and by mail the owner's default address where no mailbox did.
    fn planned(&self, snapshot: &Snapshot, event: &Arc<Event>, now: Timestamp) -> (Plan, usize) {
        let mut plan = self.desk.planner.plan();
        let is_no_mailbox = |to: &Subscription| to.channel() != ChannelKind::Email;
        self.desk.planner.fan_out_to(&mut plan, snapshot, event, is_no_mailbox);
        let readers = emails::told_of(snapshot, &event.event_type, None);
        for entry in &readers {
            self.desk.planner.add(
                &mut plan,
                &snapshot.account,
                &entry.subscription,
                event,
                Again::default(),
                now,
            );
        }
        (plan, readers.len())
    }
}

/// What stands in the inbox of it.
fn item(event: &Event) -> NewItem {
    NewItem {
        item_type: event.event_type.clone(),
        title: how_many_reports(&event.payload.to_value()),
        body: Some(NO_ADDRESS.to_owned()),
        data: Some(event.payload.clone()),
        action_url: None,
        expires_at: None,
    }
}
