//! What handlers may ask for. Each takes the part that it needs, and no handler takes everything.

use std::sync::Arc;

use angarium_domain::account;
use angarium_domain::inbox::AppScheme;
use angarium_engine::live::Live;
use angarium_engine::traces::Traces;
use angarium_engine::{
    AuditTrail, Chains, Clock, ContextStore, Deliveries, Emails, Engine, EventTypes, Events, Handles,
    IdSource, Inbox, Intake, MailNotices, ReplayJobs, SubscriptionStatistics, Subscriptions, Support, Tokens,
    VoiceNotes,
};
use axum::extract::FromRef;

use crate::auth::Authority;
use crate::limits::Limits;
use crate::peer::Proxies;
use crate::rate::{RateLimits, SessionPace};

/// Everything that requests are served with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

struct Parts {
    engine: Arc<Engine>,
    authority: Authority,
    limits: Limits,
    callers: Callers,
    sources: Sources,
    schemes: AppSchemes,
    public_url: PublicUrl,
}

/// The schemes of apps that items of inboxes may lead into.
#[derive(Clone)]
pub(crate) struct AppSchemes(pub(crate) Arc<[AppScheme]>);

/// How callers are told apart, and how much each may ask.
#[derive(Clone)]
pub(crate) struct Callers {
    /// Whose word about a caller's address is taken.
    pub(crate) proxies: Proxies,
    /// How often a caller may ask.
    pub(crate) rates: RateLimits,
    /// How handles come into being.
    pub(crate) handles: account::Handles,
}

/// Where time and chance come from, and where spans go.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The source of ids.
    pub(crate) ids: Arc<dyn IdSource>,
    /// Where spans go.
    pub(crate) traces: Traces,
}

/// Where callers reach this service, if its operator says so.
#[derive(Clone, Default)]
pub(crate) struct PublicUrl(Option<Arc<str>>);

impl PublicUrl {
    pub(crate) fn new(url: Option<&str>) -> PublicUrl {
        PublicUrl(url.map(|url| url.trim_end_matches('/').into()))
    }

    /// The address of a path: whole if we know where we are, or else from the root of wherever we were asked.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.0.as_deref().unwrap_or_default())
    }
}

impl App {
    pub(crate) fn new(
        engine: Arc<Engine>,
        authority: Authority,
        limits: Limits,
        callers: Callers,
        sources: Sources,
        schemes: AppSchemes,
        public_url: PublicUrl,
    ) -> App {
        App(Arc::new(Parts { engine, authority, limits, callers, sources, schemes, public_url }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.0.callers
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn audit(&self) -> &AuditTrail {
        &self.0.engine.audit
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.0.sources
    }
}

macro_rules! parts {
    ($($part:ty = $get:expr;)*) => {$(
        impl FromRef<App> for $part {
            fn from_ref(app: &App) -> $part {
                let get: fn(&Parts) -> $part = $get;
                get(&app.0)
            }
        }
    )*};
}

parts! {
    Intake = |parts| parts.engine.intake.clone();
    Events = |parts| parts.engine.events.clone();
    EventTypes = |parts| parts.engine.event_types.clone();
    Subscriptions = |parts| parts.engine.subscriptions.clone();
    Emails = |parts| parts.engine.emails.clone();
    Tokens = |parts| parts.engine.tokens.clone();
    Deliveries = |parts| parts.engine.deliveries.clone();
    Live = |parts| parts.engine.live.clone();
    Authority = |parts| parts.authority.clone();
    AuditTrail = |parts| parts.engine.audit.clone();
    ReplayJobs = |parts| parts.engine.replays.clone();
    SubscriptionStatistics = |parts| parts.engine.statistics.clone();
    ContextStore = |parts| parts.engine.context_store.clone();
    Handles = |parts| parts.engine.handles.clone();
    Chains = |parts| parts.engine.chains.clone();
    Callers = |parts| parts.callers.clone();
    SessionPace = |parts| SessionPace::new(parts.callers.rates.clone(), parts.engine.metrics.clone());
    MailNotices = |parts| parts.engine.mail_notices.clone();
    Arc<Engine> = |parts| parts.engine.clone();
    Limits = |parts| parts.limits;
    Sources = |parts| parts.sources.clone();
    account::Handles = |parts| parts.callers.handles;
    AppSchemes = |parts| parts.schemes.clone();
    Inbox = |parts| parts.engine.inbox.clone();
    VoiceNotes = |parts| parts.engine.voice_notes.clone();
    Support = |parts| parts.engine.support.clone();
    PublicUrl = |parts| parts.public_url.clone();
}
