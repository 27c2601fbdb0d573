//! The log of accepted events, and the first of the two commits in an event's path.

use std::sync::Arc;

use angarium_domain::alert::{Failure, Told};
use angarium_domain::context::Source;
use angarium_domain::delivery::Delivery;
use angarium_domain::event::{Event, Origin};
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::Record;
use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::inbox::Item;
use angarium_domain::mailbox;
use angarium_domain::replay::ReplayJob;
use angarium_domain::report;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::VoiceNote;
use async_trait::async_trait;

use crate::chains::{RuleRests, SignalsCome};
use crate::directory::Entry;
use crate::error::StoreError;
use crate::inboxes::Marking;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// The fencing token of a delivery that is born leased. Later leases have higher ones.
pub const BIRTH_TOKEN: u64 = 1;

/// Events and deliveries to be written together.
#[derive(Default)]
pub struct Append {
    /// The snapshot that the deliveries were fanned out from, one for each handle concerned.
    pub decided_upon: Vec<(Handle, u64)>,
    /// New events. A replay has none: its deliveries are of events already in the log. An id is made
    /// when its event is accepted: lists and retention go by the id's time.
    pub events: Vec<Arc<Event>>,
    /// New deliveries, scheduled or born leased with [`BIRTH_TOKEN`]. One with an ordering key is
    /// scheduled, and waits behind the unfinished ones of its key in its lane. One that replays
    /// another takes that one off the list of dead letters.
    pub deliveries: Vec<Delivery>,
    /// The progress of the replay job that made them. Refused if the job is no longer running, or if
    /// somebody else came first: see [`EventLog::append`].
    pub job: Option<ReplayJob>,
    /// The new state of a subscription that the events tell of. Makes a new version of its handle,
    /// which must be in `decided_upon`.
    pub subscription: Option<Arc<Entry>>,
    /// What the events tell of, in the order in which it is written.
    pub beside: Vec<Beside>,
    /// The idempotency record and the audit entry.
    pub context: Context,
}

/// A write of another port that stands or falls with events: neither is there without the other.
///
/// An engine first checks all of them, then writes all of them.
#[derive(Debug, Clone)]
pub enum Beside {
    /// A delivery was given up, and its owner is to be told.
    Failed {
        /// Whose delivery it was.
        handle: Handle,
        /// What happened.
        failure: Box<Failure>,
    },
    /// An owner is told of failures. Refused with a conflict if that was done meanwhile.
    Told(Box<Told>),
    /// Whoever runs the service is told of reports. Refused with a conflict if that was done meanwhile.
    ReportsTold(report::Told),
    /// The new state of a source of the context store, as
    /// [`ContextStore::move_source`](crate::ContextStore::move_source) writes it.
    Source(Box<Source>),
    /// An item, at the end of its handle's inbox. Refused with [`StoreError::Conflict`] if its id is taken.
    Item(Arc<Item>),
    /// What a reader did with items. Refused with [`StoreError::Conflict`] if what it was decided upon
    /// has changed.
    Marking(Box<Marking>),
    /// Signals at the end of a session's ledger.
    Signals(SignalsCome),
    /// A decision after which its rule rests.
    Decision(RuleRests),
    /// Something that becomes known of a mailbox at a handle, added to what is known.
    Mailbox {
        /// At which.
        handle: Handle,
        /// Which, by its key.
        key: String,
        /// What.
        change: Box<mailbox::Change>,
    },
    /// A voice note whose file was listened to. Refused unless it is still being processed.
    VoiceNote(Box<VoiceNote>),
}

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Exactly this type.
    pub event_type: Option<EventType>,
    /// From there alone. Of our own events and tests, those of one type are found without a look at what
    /// else was accepted meanwhile.
    pub origin: Option<Origin>,
    /// Accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Accepted before this time.
    pub until: Option<Timestamp>,
}

/// A subscription of a handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Whose it is.
    pub handle: Handle,
    /// Which subscription.
    pub subscription_id: SubscriptionId,
}

/// A part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Accepted at this time or later.
    pub since: Timestamp,
    /// Accepted before this time.
    pub until: Timestamp,
    /// After this event, if one is named.
    pub after: Option<EventId>,
}

/// What was found in a part of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undelivered {
    /// The events without a delivery, from old to new.
    pub events: Vec<Arc<Event>>,
    /// The last event looked at, delivered or not; none if there was nothing to look at.
    pub last: Option<EventId>,
}

/// The log of accepted events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Writes everything in `append` on stable storage, or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if a handle's snapshot is no longer the one named in
    /// `decided_upon`, the job is no longer running, the event of a delivery is not in the log any
    /// more, or an id is taken. With a job also if the original of one of its deliveries was replayed,
    /// discarded or forgotten meanwhile, or if a delivery without an original is not the first of its
    /// event to its subscription: jobs that meet each other, or a person, deliver it once. A replay
    /// without a job is somebody's word about one delivery, and may come again.
    ///
    /// A key that was seen before is no error: it is [`Written::Seen`], and wins over a conflict.
    async fn append(&self, append: Append) -> Result<Written<()>, StoreError>;

    /// One event of a handle.
    async fn event(&self, handle: &Handle, id: EventId) -> Result<Option<Arc<Event>>, StoreError>;

    /// A handle's events, newest first.
    async fn events(
        &self,
        handle: &Handle,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<Arc<Event>>, StoreError>;

    /// Looks at the first `limit` events accepted since `since` and after the event `after`, and before
    /// `until`, from old to new: which of them have no delivery to a subscription? In time
    /// proportional to `limit`, whatever stands before and behind.
    async fn undelivered(&self, to: &Lane, span: Span, limit: u32) -> Result<Undelivered, StoreError>;

    /// What was answered under an idempotency key, if it is still remembered at `now`.
    async fn seen(
        &self,
        scope: &angarium_domain::idempotency::Scope,
        now: Timestamp,
    ) -> Result<Option<Record>, StoreError>;
}
