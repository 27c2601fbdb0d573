//! What outlives the process: the weather, the receivers, the ledgers, and the time of day.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, ReplayId, SubscriptionId};
use angarium_domain::time::Timestamp;
use tokio::sync::Notify;

use super::Lie;
use super::errands::Errand;
use crate::chance::Chance;
use crate::evidence::{Appended, Lane, Published, Send, Span};
use crate::receivers::Behaviour;
use crate::story::Story;

/// Named moments at which the process may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// A write is about to be made.
    BeforeCommit,
    /// A write is made; nobody has been told.
    AfterCommit,
    /// A receiver has answered; its delivery is about to be settled.
    BeforeSettle,
    /// Leases are written; the dispatcher has not heard of them.
    MidClaim,
}

impl Point {
    pub(super) const ALL: [Point; 4] =
        [Point::BeforeCommit, Point::AfterCommit, Point::BeforeSettle, Point::MidClaim];
}

/// What the weather does to the process in its present life.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    /// Kill at this point, when it is reached so many times more.
    pub(super) kill_at: Option<(Point, u32)>,
    /// The store refuses so many calls in a hundred.
    pub(super) refuses_percent: u64,
    /// The store refuses everything between these times.
    pub(super) outage: Option<(Timestamp, Timestamp)>,
}

/// A receiver behind the URLs of one subscription.
pub(super) struct Receiver {
    pub(super) lane: Option<SubscriptionId>,
    pub(super) behaviour: Behaviour,
}

/// Everything that is written down.
pub(super) struct Ledgers {
    pub(super) chance: Chance,
    pub(super) story: Story,
    pub(super) weather: Weather,
    pub(super) life: u32,
    pub(super) receivers: Vec<Receiver>,
    pub(super) lanes: BTreeMap<SubscriptionId, Lane>,
    /// Requests, with those still under way ending at [`Timestamp::MAX`]. A request to an address of a
    /// lane that nobody was told of yet names the receiver instead.
    pub(super) sends: Vec<(usize, Send)>,
    /// Whose events become items, and since when.
    pub(super) inboxes: BTreeMap<Handle, Span>,
    pub(super) published: Vec<Published>,
    pub(super) answers: BTreeMap<String, BTreeSet<Vec<u8>>>,
    pub(super) promised: BTreeSet<DeliveryId>,
    pub(super) replays_told: usize,
    pub(super) jobs: Vec<(Handle, ReplayId)>,
    pub(super) appended: BTreeMap<DeliveryId, Appended>,
    pub(super) leased: BTreeMap<DeliveryId, Vec<Timestamp>>,
    pub(super) refusals: u32,
    pub(super) crashes: u32,
    /// Errands that are still to be answered, by number.
    pub(super) open: BTreeMap<usize, Errand>,
    pub(super) errands_made: usize,
    pub(super) jobs_wanted: usize,
    pub(super) lie: Option<Lie>,
    /// Set when the process is dead: nothing that it still holds may act.
    dead: bool,
}

/// A handle on what outlives the process.
#[derive(Clone)]
pub(super) struct Stage {
    ledgers: Arc<Mutex<Ledgers>>,
    killed: Arc<Notify>,
}

impl Stage {
    pub(super) fn new(chance: Chance, story: Story, lie: Option<Lie>) -> Stage {
        let ledgers = Ledgers {
            chance,
            story,
            weather: Weather::default(),
            life: 0,
            receivers: Vec::new(),
            lanes: BTreeMap::new(),
            sends: Vec::new(),
            inboxes: BTreeMap::new(),
            published: Vec::new(),
            answers: BTreeMap::new(),
            promised: BTreeSet::new(),
            replays_told: 0,
            jobs: Vec::new(),
            appended: BTreeMap::new(),
            leased: BTreeMap::new(),
            refusals: 0,
            crashes: 0,
            open: BTreeMap::new(),
            errands_made: 0,
            jobs_wanted: 0,
            lie,
            dead: false,
        };
        Stage { ledgers: Arc::new(Mutex::new(ledgers)), killed: Arc::new(Notify::new()) }
    }

    pub(super) fn ledgers(&self) -> MutexGuard<'_, Ledgers> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, now: Timestamp, what: fmt::Arguments<'_>) {
        self.ledgers().story.tell(now, what);
    }

    /// A new process begins.
    pub(super) fn begin_life(&self, weather: Weather) {
        let mut ledgers = self.ledgers();
        ledgers.life += 1;
        ledgers.weather = weather;
        ledgers.dead = false;
    }

    /// Ends the process. Nothing that it holds acts after this.
    pub(super) fn kill(&self, now: Timestamp, why: fmt::Arguments<'_>) {
        let mut ledgers = self.ledgers();
        if !ledgers.dead {
            ledgers.dead = true;
            ledgers.crashes += 1;
            ledgers.story.tell(now, format_args!("killed {why}"));
            self.killed.notify_one();
        }
    }

    /// Returns when the process is to end.
    pub(super) async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Whether nothing of the process may act any more.
    pub(super) fn is_dead(&self) -> bool {
        self.ledgers().dead
    }

    /// Waits for ever if the process is dead.
    pub(super) async fn alive(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Passes a named point, or is killed there.
    pub(super) async fn pass(&self, point: Point, now: Timestamp) {
        let here = {
            let mut ledgers = self.ledgers();
            match &mut ledgers.weather.kill_at {
                Some((at, left)) if *at == point => {
                    *left = left.saturating_sub(1);
                    *left == 0
                }
                _ => false,
            }
        };
        if here {
            self.kill(now, format_args!("at {point:?}"));
        }
        self.alive().await;
    }
}
