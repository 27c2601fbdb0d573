//! The crank of Angarium: async loops that wait, ask and carry out.
//!
//! No decision is made here. What happens to a delivery is decided by
//! `angarium-domain` and written down by `angarium-store`; this crate knows
//! when to ask. It sees no web framework and no concrete database, so the
//! simulator runs the very same loops under a clock of its own.

mod alerts;
mod attempt;
mod audit;
mod catalogs;
mod chains;
pub mod clock;
mod context_store;
mod decisions;
mod deliveries;
mod dispatcher;
mod emails;
mod endings;
mod event_types;
mod events;
mod follow_up;
mod handles;
pub mod ids;
mod inbox;
mod intake;
mod lanes;
pub mod live;
mod mail_notices;
pub mod metrics;
mod missed;
mod notices;
pub mod once;
mod outages;
mod planner;
mod post;
mod replays;
mod report_notices;
mod retention;
mod rooms;
mod sender_watch;
mod snapshots;
mod start;
mod statistics;
mod subscriptions;
mod support;
pub mod tasks;
mod tokens;
pub mod traces;
mod turns;
mod voice_notes;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use angarium_channels::Channel;
use angarium_channels::egress::LookUp;
use angarium_channels::email::Mailer;
use angarium_channels::library::Library;
use angarium_channels::sns::SnsVerifier;
use angarium_domain::access::Mode;
use angarium_domain::account;
use angarium_domain::chain::Room;
use angarium_domain::context::source::HANDLE_BYTES_MAX;
use angarium_domain::handle::Handle;
use angarium_domain::quota::Draw;
use angarium_domain::retention::Retention;
use angarium_domain::sender_domain::SenderDomain;
use angarium_domain::time::Timestamp;
use angarium_domain::trace_context::TraceContext;
use angarium_domain::voice_note::LinkKey;
use angarium_store::{Store, StoreError};

pub use audit::AuditTrail;
pub use chains::{Asker, ChainError, Chains, Decided, SignalsAccepted, TooFast};
pub use clock::Clock;
pub use context_store::{ContextStore, Hit, NewSource, SourceError, SourcePatch};
pub use deliveries::{Deliveries, DeliveryError, DeliveryLife, Replayed, Shown};
pub use emails::{
    Confirmed, EmailError, Emails, MailTested, NewEmailSubscription, NoticeSettings, OwnerDefault,
    Recipients, SentBack,
};
pub use event_types::{EventTypeError, EventTypePut, EventTypes, NewEventType};
pub use events::{EventLife, Events};
pub use handles::{HandleError, HandleLife, HandlePatch, Handles, NewHandle};
pub use ids::{IdSource, new_id};
pub use inbox::live as inbox_live;
pub use inbox::{Inbox, InboxError, MarkedItem, NewItem};
pub use intake::{AcceptError, Accepted, Intake, NewEvent, Verdict};
pub use mail_notices::{Effect, MailNotices, NoticeError};
pub use metrics::Metrics;
pub use once::{Answer, Once, RepeatError, RepeatKey, Reply};
pub use replays::{NewReplay, ReplayError, ReplayJobs};
pub use sender_watch::LookedUp;
pub use statistics::{Figures, SubscriptionStatistics};
pub use subscriptions::{
    Described, LivePublicKey, NewSubscription, Patch, SubscriptionError, Subscriptions, Tested, WithSecret,
};
pub use support::{NewReport, ReportError, ReportPatch, Support};
pub use tokens::{NewToken, TOKENS_PER_HANDLE_MAX, TokenError, TokenMade, TokenRefused, Tokens};
pub use voice_notes::{
    Address, Announced, FileError, Files, Readable, UploadError, UploadHead, VoiceNoteError, VoiceNoteLimits,
    VoiceNotes,
};

use catalogs::Catalogs;
use decisions::DECISIONS_MAX;
use dispatcher::inbox::DispatcherHandle;
use inbox::live::StreamLimits;
use live::Live;
use once::Repeats;
use planner::Planner;
use rooms::Rooms;
use snapshots::Snapshots;
use statistics::Counters;
use tasks::Tasks;
use traces::Traces;

/// What the engine is made of. Each part has a second implementation in the simulator.
#[derive(Clone)]
pub struct Parts {
    /// The memory.
    pub store: Arc<dyn Store>,
    /// The voice.
    pub channel: Arc<dyn Channel>,
    /// What reads documents for the context store.
    pub library: Arc<dyn Library>,
    /// How mails are sent.
    pub mailing: Mailing,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bits.
    pub ids: Arc<dyn IdSource>,
    /// Where figures are counted.
    pub metrics: Arc<Metrics>,
    /// Where spans go.
    pub traces: Traces,
    /// The files of voice notes.
    pub files: Files,
    /// What their addresses are made with.
    pub link_key: LinkKey,
    /// Who is told of reports; none if nobody is.
    pub support: Option<SupportDesk>,
}

/// The handle of whoever runs the service, which is told of reports.
#[derive(Debug, Clone)]
pub struct SupportDesk {
    /// Which.
    pub handle: Handle,
    /// How handles come into being: nobody reads what is told to one that is not there.
    pub handles: account::Handles,
}

/// How mails are sent, and where their links lead.
#[derive(Clone)]
pub struct Mailing {
    /// What sends them.
    pub mailer: Arc<dyn Mailer>,
    /// Where this service is reached from outside, without a slash at the end; mails without it have no
    /// links.
    pub public_url: Option<Arc<str>>,
    /// The domain that mails come from; none if none are sent.
    pub sender_domain: Option<SenderDomain>,
    /// Who looks up what the DNS says of it; nobody does if none.
    pub names: Option<Arc<dyn LookUp>>,
    /// Mails that may be handed in at a time.
    pub connections_max: usize,
    /// Who verifies what is told of mails by Amazon SNS.
    pub sns: Arc<SnsVerifier>,
}

/// How much at a time, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Attempts under way at a time, over all lanes.
    pub attempts_in_flight_max: usize,
    /// Leased deliveries in memory, under way or waiting for their turn.
    pub held_max: usize,
    /// Attempts under way at a time in one lane, where its owner names no smaller number.
    pub concurrency_per_subscription_max: u32,
    /// How long a lease lasts. Longer than the wait in a lane's window and the longest attempt.
    pub lease: Duration,
    /// How long finished things are remembered.
    pub retention: Retention,
    /// Share of a policy's waits that is really waited, in percent: less than 100 for
    /// demonstrations and tests only.
    pub retry_waits_percent: u32,
    /// The most bytes of text of all sources of a handle.
    pub context_bytes_per_handle_max: u64,
    /// How much may be uploaded.
    pub voice_notes: VoiceNoteLimits,
    /// How much the sessions of a handle may hold together.
    pub chain_room: Room,
    /// How many may listen to inboxes.
    pub inbox_streams: StreamLimits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            attempts_in_flight_max: 1024,
            held_max: 2048,
            concurrency_per_subscription_max: 64,
            lease: Duration::from_secs(90),
            retention: Retention::default(),
            retry_waits_percent: 100,
            context_bytes_per_handle_max: HANDLE_BYTES_MAX,
            voice_notes: VoiceNoteLimits::default(),
            chain_room: Room::default(),
            inbox_streams: StreamLimits::default(),
        }
    }
}

/// A write that was under way when the drain began ends in this time or is stuck.
const LATE_BIRTHS: Duration = Duration::from_secs(5);

/// An attempt must end this long before its lease does.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Who asks for a write: for the audit log and the log lines.
#[derive(Debug, Clone)]
pub struct Caller {
    /// In whose account.
    pub handle: Handle,
    /// A token's id or a JWT's subject.
    pub actor: String,
    /// The request that asks.
    pub request_id: String,
    /// The address that it came from, which may be a proxy's; none if not over the network.
    pub ip: Option<IpAddr>,
    /// Whether what the caller publishes is really sent.
    pub mode: Mode,
    /// The request as a span, if somebody traces it: ours if it is recorded, or else the caller's.
    pub trace: Option<Arc<TraceContext>>,
    /// What a write of theirs costs; none where nobody counts.
    pub draw: Option<Draw>,
}

/// A running engine. Its parts are cheap to clone and stay usable while it drains.
pub struct Engine {
    /// Accepting events.
    pub intake: Intake,
    /// Reading events.
    pub events: Events,
    /// Subscriptions.
    pub subscriptions: Subscriptions,
    /// E-mail subscriptions, and the owners' addresses.
    pub emails: Emails,
    /// Catalogues of event types.
    pub event_types: EventTypes,
    /// Sessions, and what is decided upon them.
    pub chains: Chains,
    /// Personal access tokens and API keys.
    pub tokens: Tokens,
    /// The delivery log and its dead letters.
    pub deliveries: Deliveries,
    /// Replay jobs.
    pub replays: ReplayJobs,
    /// Documents that can be searched.
    pub context_store: ContextStore,
    /// The inboxes.
    pub inbox: Inbox,
    /// What happens to deliveries, while it happens.
    pub live: Live,
    /// Who did what.
    pub audit: AuditTrail,
    /// Handles, as whoever runs the service sees them.
    pub handles: Handles,
    /// Voice notes.
    pub voice_notes: VoiceNotes,
    /// Reports to whoever runs the service.
    pub support: Support,
    /// Subscriptions in figures.
    pub statistics: SubscriptionStatistics,
    /// What providers tell of mails.
    pub mail_notices: MailNotices,
    /// Figures.
    pub metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    counters: Arc<Counters>,
    rooms: Arc<Rooms>,
    dispatcher: DispatcherHandle,
    tasks: Tasks,
}

/// How the engine is doing.
#[derive(Debug)]
pub struct Health {
    /// Whether the store can write.
    pub store: Result<(), StoreError>,
    /// Whether the dispatcher took a turn lately.
    pub dispatcher_moving: bool,
    /// Whether it is on its way out.
    pub draining: bool,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every attempt ended by itself.
    InTime,
    /// The rest was cut short and released: those attempts do not count.
    CutShort,
}

impl Engine {
    /// Looks at the store and the dispatcher. Writes a row: for a probe every few seconds.
    pub async fn health(&self) -> Health {
        Health {
            store: self.store.probe().await,
            dispatcher_moving: self.dispatcher.is_moving().await,
            draining: self.tasks.is_stopping(),
        }
    }

    /// Starts nothing more, waits up to `grace` for what is under way, then cuts the rest short.
    /// Everything unfinished is released: the next start finds it due.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.tasks.stop();
        angarium_store::crash_point::reach(angarium_store::crash_point::CrashPoint::DuringDrain);
        let drained = if let Ok(()) = tokio::time::timeout(grace, self.dispatcher.drain()).await {
            Drained::InTime
        } else {
            self.tasks.cut_short();
            self.dispatcher.drain().await;
            Drained::CutShort
        };
        // What was appended in the meantime may have been born leased: it is given back, too.
        let told = tokio::time::timeout(LATE_BIRTHS, self.rooms.births_ended()).await;
        if told.is_err() {
            tracing::warn!("a write did not end; what it leased is taken back at the next start");
        }
        self.dispatcher.drain().await;
        self.dispatcher.close();
        self.counters.write().await;
        self.tasks.finished().await;
        drained
    }
}

/// What every write needs: a seat at the same desk.
#[derive(Clone)]
struct Desk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    snapshots: Snapshots,
    catalogs: Catalogs,
    planner: Planner,
    repeats: Arc<Repeats>,
    tasks: Tasks,
}

impl Desk {
    /// Whether a handle still owns what was begun then, asked anew: why a store refused to write it.
    async fn owns(&self, handle: &Handle, begun_at: Timestamp) -> Result<bool, StoreError> {
        Ok(self.snapshots.refresh(handle).await?.account.owns_what_was_begun_at(begun_at))
    }
}
