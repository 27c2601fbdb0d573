//! What the checker judges: what publishers were told, what receivers saw, what the store holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use angarium_domain::attempt::AttemptRecord;
use angarium_domain::delivery::Delivery;
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::inbox::Item;
use angarium_domain::outcome::{Outcome, RetryOn};
use angarium_domain::replay::ReplayJob;
use angarium_domain::retry::RetryPolicy;
use angarium_domain::time::Timestamp;
use angarium_store::upkeep::Census;

/// All there is to know about a run.
#[derive(Default)]
pub struct Evidence {
    /// Each lane as its owner set it.
    pub lanes: BTreeMap<SubscriptionId, Lane>,
    /// Every request that a receiver saw, in the order in which they began.
    pub sends: Vec<Send>,
    /// Every delivery in the store, with its attempts.
    pub kept: Vec<Kept>,
    /// When the store took each delivery, and which one it was.
    pub appended: BTreeMap<DeliveryId, Appended>,
    /// When each delivery was leased.
    pub leased: BTreeMap<DeliveryId, Vec<Timestamp>>,
    /// Attempts that may be under way at a time, over all lanes.
    pub in_flight_max: usize,
    /// How often the process was killed.
    pub crashes: u32,
    /// How often the store refused to end a lease.
    pub refusals: u32,
    /// Whether nothing was killed, drained or refused, so that nobody had to wait for us.
    pub calm: bool,
    /// What was asked and told about events.
    pub published: Vec<Published>,
    /// Answers given under each idempotency key.
    pub answers: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// Deliveries that somebody was told of by their id.
    pub promised: BTreeSet<DeliveryId>,
    /// How many replays of one delivery were answered.
    pub replays_told: usize,
    /// Every event in the store.
    pub events: BTreeMap<EventId, Arc<Event>>,
    /// Every inbox that events come into.
    pub inboxes: Vec<KeptInbox>,
    /// Every replay job in the store.
    pub jobs: Vec<ReplayJob>,
    /// The store's own count.
    pub census: Census,
}

/// One subscription as its owner set it, and when.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Whose it is.
    pub handle: Handle,
    /// When failed attempts are repeated.
    pub schedule: Schedule,
    /// Whether its deliveries stay in order, by key.
    pub ordered: bool,
    /// At most so many attempts a second.
    pub rate_per_second: Option<u32>,
    /// At most so many attempts at a time.
    pub concurrency_max: u32,
    /// Whether its receiver answers at once.
    pub healthy: bool,
    /// Whether it is the handle's own inbox, which no request goes to.
    pub is_inbox: bool,
    /// When it was asked for, and when it was there for certain.
    pub made: Span,
    /// When its end was asked for, and when it was certain.
    pub removed: Option<Span>,
    /// From the answer to a pause until a resume was asked for.
    pub pauses: Vec<Span>,
    /// Where it points, and from when on.
    pub urls: Vec<(String, Span)>,
    /// What its owner verifies with, and from when on.
    pub secrets: Vec<(String, Span)>,
}

/// A change that took effect somewhere between two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Not before this.
    pub from: Timestamp,
    /// Not after this.
    pub until: Timestamp,
}

/// A retry policy in the words of the contract, independent of the code that carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The waits between attempts, in seconds.
    pub waits: Vec<u64>,
    /// Which answers are tried again.
    pub retry_on: RetryOn,
    /// The most that a receiver may ask for, in seconds.
    pub asked_max: u64,
    /// The policy as the product knows it.
    pub policy: RetryPolicy,
}

/// One request that a receiver saw.
#[derive(Debug, Clone)]
pub struct Send {
    /// Which life of the process sent it, from 1.
    pub life: u32,
    /// To which lane.
    pub lane: SubscriptionId,
    /// Which event.
    pub event_id: EventId,
    /// The number that it carried, if it carried one.
    pub attempt: Option<u32>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, and how.
    pub end: End,
    /// What was in it; none in tier one, where nothing is written.
    pub request: Option<Seen>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an answer, or with a failure that was noticed.
    Answered {
        /// When.
        at: Timestamp,
        /// What it came to.
        outcome: Outcome,
    },
    /// With the process.
    Killed {
        /// When.
        at: Timestamp,
    },
    /// By a drain whose time was up.
    CutShort {
        /// When.
        at: Timestamp,
    },
}

/// The contents of a request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Where it went.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// When a delivery was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// At this time.
    pub at: Timestamp,
    /// After so many others.
    pub number: usize,
}

/// A delivery as the store holds it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The delivery.
    pub delivery: Delivery,
    /// Its attempts, by number.
    pub attempts: Vec<AttemptRecord>,
}

/// An inbox as the store holds it.
#[derive(Debug, Clone)]
pub struct KeptInbox {
    /// The lane that fills it.
    pub lane: SubscriptionId,
    /// What is in it, newest first.
    pub items: Vec<Arc<Item>>,
    /// How many its own count says that nobody has read. Nobody reads in these runs.
    pub unread: u64,
}

/// One event that somebody wanted to publish, however often they asked.
#[derive(Debug, Clone)]
pub struct Published {
    /// In whose account.
    pub handle: Handle,
    /// Its type.
    pub event_type: String,
    /// The text that makes it unlike every other.
    pub payload: String,
    /// What it shall stay in order by.
    pub ordering_key: Option<&'static str>,
    /// When it was first asked for.
    pub asked_at: Timestamp,
    /// What was answered, and when.
    pub told: Option<Told>,
}

/// What a publisher was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The event's id.
    pub event_id: EventId,
    /// How many subscriptions wanted it.
    pub deliveries: usize,
    /// When it was said.
    pub at: Timestamp,
}

/// Everything about one event on its way to one lane.
#[derive(Default)]
pub struct Way<'a> {
    /// One delivery, and one more for each replay.
    pub deliveries: Vec<&'a Kept>,
    /// What the receiver saw.
    pub sends: Vec<&'a Send>,
}

impl Evidence {
    /// Deliveries and sends that belong together: a request does not say which delivery it is of.
    pub fn ways(&self) -> BTreeMap<(EventId, SubscriptionId), Way<'_>> {
        let mut ways: BTreeMap<_, Way<'_>> = BTreeMap::new();
        for kept in &self.kept {
            let Delivery { event_id, subscription_id, .. } = kept.delivery;
            ways.entry((event_id, subscription_id)).or_default().deliveries.push(kept);
        }
        for send in &self.sends {
            ways.entry((send.event_id, send.lane)).or_default().sends.push(send);
        }
        ways
    }
}

impl Schedule {
    /// 5 attempts, 75 seconds (contract 3.3).
    pub fn fast() -> Schedule {
        Schedule {
            waits: vec![5, 10, 20, 40],
            retry_on: RetryOn::Transient,
            asked_max: 3_600,
            policy: RetryPolicy::Fast,
        }
    }

    /// A list of the subscriber's own.
    ///
    /// # Panics
    ///
    /// If the contract does not allow it.
    pub fn custom(waits: Vec<u64>, retry_on: RetryOn) -> Schedule {
        let policy = RetryPolicy::custom(waits.clone(), retry_on).expect("a list within the contract");
        Schedule { waits, retry_on, asked_max: 86_400, policy }
    }

    /// How many attempts are made at most.
    pub fn attempts_max(&self) -> u32 {
        self.waits.len() as u32 + 1
    }
}

impl Span {
    /// A change whose time is known.
    pub fn at(at: Timestamp) -> Span {
        Span { from: at, until: at }
    }
}

impl End {
    /// When it was over.
    pub fn at(self) -> Timestamp {
        match self {
            End::Answered { at, .. } | End::Killed { at } | End::CutShort { at } => at,
        }
    }

    /// What it came to, if somebody lived to see it.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            End::Answered { outcome, .. } => Some(outcome),
            End::Killed { .. } | End::CutShort { .. } => None,
        }
    }
}
