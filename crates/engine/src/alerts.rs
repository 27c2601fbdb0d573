//! Telling owners of deliveries that were given up (contract 3.4).
//!
//! Failures gather in the transactions that settle them ([`Beside::Failed`]); here they are told, each
//! subscription's first at once and the others together when its interval is over. What is told is an
//! event with its deliveries, appended in the transaction that notes the telling: it happens once,
//! whenever the process ends.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::alert::Alert;
use angarium_domain::event_type::EventType;
use angarium_domain::payload::Payload;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::{Append, Beside};
use angarium_store::write::Written;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ids::new_id;
use crate::inbox::{self, Inbox, NewItem};
use crate::planner::Again;
use crate::{DECISIONS_MAX, Desk, Metrics, emails, notices};

/// Alerts told in one round.
const ROUND: u32 = 100;
/// The wait after a round in which one could not be told.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The longest time between two rounds.
const ROUND_AFTER: Duration = Duration::from_mins(1);

/// As much of a host's name as a title shows.
const HOST_CHARS_MAX: usize = 120;
/// Why it stands in the inbox.
const NO_ADDRESS: &str = "No e-mail address is set to tell of it. Set an owner default e-mail, and this is sent there. \
    What was given up is in the dead letters, and can be replayed.";

/// Why it stands there beside a mail.
const ASKED_FOR: &str = "What was given up is in the dead letters, and can be replayed.";

/// Told when a delivery was given up.
pub(crate) type Failures = Arc<Notify>;

/// Tells owners.
pub(crate) struct Alerts {
    desk: Desk,
    inbox: Inbox,
    metrics: Arc<Metrics>,
}

impl Alerts {
    pub(crate) fn new(desk: Desk, inbox: Inbox, metrics: Arc<Metrics>) -> Alerts {
        Alerts { desk, inbox, metrics }
    }

    pub(crate) async fn run(self, failures: Failures, stopped: CancellationToken) {
        loop {
            let wait = self.round().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "owners are not told of failures yet; they are soon");
                AGAIN_AFTER
            });
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                () = failures.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Tells of everything that is due, and says how long to wait for more.
    async fn round(&self) -> Result<Duration, StoreError> {
        let store = &*self.desk.store;
        let now = self.desk.clock.now();
        let due = store.due_alerts(now, ROUND).await?;
        let mut done = 0;
        for alert in due.iter().filter(|alert| alert.gathered > 0) {
            // One handle that cannot be told must not keep others waiting.
            match self.tell(alert, now).await {
                Ok(told) => done += u64::from(told),
                Err(error) => {
                    tracing::warn!(%error, handle = %alert.handle, "an owner is not told of failures yet");
                }
            }
        }
        // Each death wakes a round, and most of them find nothing to forget.
        if due.iter().any(|alert| alert.gathered == 0) {
            done += store.forget_alerts(now, ROUND).await?;
        }
        if due.len() == ROUND as usize && done > 0 {
            // There may be more, and it goes well.
            return Ok(Duration::ZERO);
        }
        let Some(next) = store.next_alert().await? else { return Ok(ROUND_AFTER) };
        let wait = if next <= now { AGAIN_AFTER } else { next.since(now) };
        Ok(wait.min(ROUND_AFTER))
    }

    /// Answers whether the alert is told; if not, there is nobody to tell, or somebody else told.
    async fn tell(&self, alert: &Alert, now: Timestamp) -> Result<bool, StoreError> {
        for _ in 0..DECISIONS_MAX {
            let snapshot = self.desk.snapshots.get(&alert.handle).await?;
            if snapshot.account.is_removed() {
                return Ok(false);
            }
            match self.try_tell(alert, &snapshot, now).await {
                // Another version of the handle, or somebody else told: the next round looks again.
                Err(StoreError::Conflict) => {
                    let fresh = self.desk.snapshots.refresh(&alert.handle).await?;
                    if fresh.version == snapshot.version {
                        return Ok(false);
                    }
                }
                told => return told.map(|()| true),
            }
        }
        Err(StoreError::Conflict)
    }

    async fn try_tell(&self, alert: &Alert, snapshot: &Snapshot, now: Timestamp) -> Result<(), StoreError> {
        let mut plan = self.desk.planner.plan();
        let readers = readers(snapshot, alert);
        let event = notices::owner_alert(new_id(&*self.desk.ids, now), alert, now);
        for entry in &readers {
            let to = &entry.subscription;
            self.desk.planner.add(&mut plan, &snapshot.account, to, &event, Again::default(), now);
        }
        let interval = snapshot.account.notices.alert_interval();
        let mut beside = vec![Beside::Told(Box::new(alert.told(now, interval)))];
        let in_the_inbox = readers.is_empty() || inbox::asks_for(snapshot, &failure());
        if in_the_inbox {
            let why = if readers.is_empty() { NO_ADDRESS } else { ASKED_FOR };
            beside.push(self.inbox.beside(&alert.handle, item(alert, why)));
        }
        let append = Append {
            decided_upon: vec![(alert.handle.clone(), snapshot.version)],
            events: if readers.is_empty() { Vec::new() } else { vec![event] },
            deliveries: plan.deliveries(),
            beside,
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        if let Written::Done(()) = written {
            self.metrics.alerted(!readers.is_empty());
            log(alert, readers.len());
            if in_the_inbox {
                self.inbox.look(&alert.handle);
            }
            self.desk.planner.announce(plan).await;
        }
        Ok(())
    }
}

/// Each telling has a line: at most one for a subscription in an interval.
fn log(alert: &Alert, readers: usize) {
    let (handle, subscription, count) = (&alert.handle, alert.last.subscription_id, alert.gathered);
    if readers == 0 {
        tracing::warn!(%handle, %subscription, count, "no address is set to tell of deliveries that were given up; the inbox tells of them");
    } else {
        tracing::info!(%handle, %subscription, count, readers, "an owner is told by mail of deliveries that were given up");
    }
}

/// What stands in the inbox of it.
fn item(alert: &Alert, why: &str) -> NewItem {
    let host: String = alert.last.endpoint_host.chars().take(HOST_CHARS_MAX).collect();
    let what = match alert.gathered {
        1 => "A delivery".to_owned(),
        count => format!("{count} deliveries"),
    };
    NewItem {
        item_type: notices::OWNER_ALERT.parse().expect("a valid event type"),
        title: format!("{what} to {host} given up"),
        body: Some(why.to_owned()),
        data: Some(Payload::of_our_own(&alert.payload())),
        action_url: None,
        expires_at: None,
    }
}

/// What people subscribe to who are to be told.
fn failure() -> EventType {
    notices::TERMINAL_FAILURE.parse().expect("a valid event type")
}

/// Who is told: those who asked to be told of failures by mail, or else the owner's default address;
/// but nobody about themselves.
fn readers<'a>(snapshot: &'a Snapshot, alert: &Alert) -> Vec<&'a Arc<Entry>> {
    emails::told_of(snapshot, &failure(), Some(alert.last.subscription_id))
}
