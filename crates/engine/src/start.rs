//! Putting the engine together, and setting it going.

use std::sync::Arc;

use angarium_store::StoreError;
use angarium_store::delivery_queue::Held;

use crate::alerts::{Alerts, Failures};
use crate::attempt::Attempts;
use crate::catalogs::Catalogs;
use crate::dispatcher::inbox::{DispatcherHandle, Inbox as DispatcherInbox};
use crate::dispatcher::{self, DispatcherLoop};
use crate::endings::{self, Removals};
use crate::inbox::live::InboxLive;
use crate::lanes::Lanes;
use crate::live::Live;
use crate::once::Repeats;
use crate::outages::Outages;
use crate::planner::Planner;
use crate::post::Post;
use crate::report_notices::{ReportNotices, Reported};
use crate::retention::{self, Chores};
use crate::rooms::Rooms;
use crate::snapshots::Snapshots;
use crate::statistics::Counters;
use crate::tasks::Tasks;
use crate::{
    AuditTrail, Chains, ContextStore, Deliveries, Desk, Emails, Engine, EventTypes, Events, Handles, Inbox,
    Intake, MailNotices, Parts, ReplayJobs, Settings, SubscriptionStatistics, Subscriptions, Support, Tokens,
    VoiceNotes,
};

impl Engine {
    /// Takes back what a process before us held, and starts the loops.
    ///
    /// # Errors
    ///
    /// Those of the store: nothing runs.
    pub async fn start(parts: Parts, settings: Settings) -> Result<Engine, StoreError> {
        take_back(&parts).await?;
        let outages = Outages::load(parts.store.clone()).await?;
        let (ground, inbox) = Ground::new(&parts, settings, outages);
        let engine = ground.services(&parts, settings);
        ground.begin(&parts, settings, inbox, &engine);
        engine.go_on().await?;
        Ok(engine)
    }

    /// Takes up what was under way beside deliveries when the last process ended.
    async fn go_on(&self) -> Result<(), StoreError> {
        self.replays.go_on().await?;
        self.handles.go_on().await?;
        self.context_store.go_on().await?;
        self.voice_notes.go_on().await?;
        self.tasks.spawn(self.voice_notes.clone().sweep());
        Ok(())
    }
}

async fn take_back(parts: &Parts) -> Result<(), StoreError> {
    let interrupted = parts.store.take_back(Held::ByAnyone, parts.clock.now()).await?;
    if interrupted > 0 {
        tracing::info!(interrupted, "took back deliveries that were in flight when the last process ended");
    }
    Ok(())
}

/// What services and loops stand on alike: what they know, and how they reach each other.
pub(crate) struct Ground {
    pub(crate) desk: Desk,
    pub(crate) post: Post,
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) lanes: Lanes,
    pub(crate) outages: Outages,
    pub(crate) live: Live,
    pub(crate) inbox_live: InboxLive,
    pub(crate) counters: Arc<Counters>,
    pub(crate) failures: Failures,
    reported: Reported,
    rooms: Arc<Rooms>,
    removals: Removals,
}

impl Ground {
    /// The ground, and the end at which the dispatcher hears what is told to its handle.
    fn new(parts: &Parts, settings: Settings, outages: Outages) -> (Ground, DispatcherInbox) {
        let Parts { store, clock, ids, metrics, .. } = parts;
        let tasks = Tasks::new();
        let snapshots = Snapshots::new(store.clone());
        let catalogs = Catalogs::new(store.clone());
        let rooms = Arc::new(Rooms::new());
        let (dispatcher, inbox) = dispatcher::inbox::channel();
        let removals = Removals::default();
        let stopped = tasks.stopped();
        let ground = Ground {
            post: Post::new(store.clone(), parts.mailing.clone(), catalogs.clone(), snapshots.clone()),
            lanes: Lanes::new(snapshots.clone(), dispatcher.clone(), removals.clone()),
            outages,
            live: Live::new(clock.clone(), stopped.clone()),
            inbox_live: InboxLive::new(
                store.clone(),
                clock.clone(),
                settings.inbox_streams,
                metrics.clone(),
                stopped,
            ),
            counters: Arc::new(Counters::new(store.clone())),
            failures: Failures::default(),
            reported: Reported::default(),
            desk: Desk {
                store: store.clone(),
                clock: clock.clone(),
                ids: ids.clone(),
                snapshots,
                catalogs,
                planner: Planner::new(parts, settings, rooms.clone(), dispatcher.clone()),
                repeats: Arc::new(Repeats::new(store.clone(), clock.clone())),
                tasks,
            },
            dispatcher,
            rooms,
            removals,
        };
        (ground, inbox)
    }

    /// What others ask for something. Nothing waits here.
    fn services(&self, parts: &Parts, settings: Settings) -> Engine {
        let desk = || self.desk.clone();
        let metrics = || parts.metrics.clone();
        let inbox = Inbox::new(desk(), self.inbox_live.clone(), metrics());
        Engine {
            intake: Intake::new(desk(), metrics(), parts.traces.clone()),
            events: Events::new(desk()),
            emails: Emails::new(desk(), self.lanes.clone(), self.post.clone(), inbox.clone()),
            subscriptions: Subscriptions::new(
                desk(),
                parts.channel.clone(),
                self.lanes.clone(),
                self.outages.clone(),
            ),
            event_types: EventTypes::new(desk()),
            chains: Chains::new(desk(), settings.retention.signals, settings.chain_room, metrics()),
            tokens: Tokens::new(desk()),
            deliveries: Deliveries::new(desk()),
            replays: ReplayJobs::new(desk(), settings.retention),
            context_store: ContextStore::new(
                desk(),
                parts.library.clone(),
                settings.retry_waits_percent,
                settings.context_bytes_per_handle_max,
            ),
            mail_notices: MailNotices::new(desk(), parts.mailing.sns.clone(), inbox.clone(), metrics()),
            inbox,
            live: self.live.clone(),
            audit: AuditTrail::new(desk()),
            handles: Handles::new(desk(), self.lanes.clone(), parts.files.clone()),
            voice_notes: VoiceNotes::new(
                desk(),
                parts.files.clone(),
                parts.link_key.clone(),
                settings.voice_notes,
            ),
            support: Support::new(desk(), self.reported.clone(), metrics()),
            statistics: SubscriptionStatistics::new(desk(), self.counters.clone(), self.dispatcher.clone()),
            metrics: metrics(),
            store: parts.store.clone(),
            counters: self.counters.clone(),
            rooms: self.rooms.clone(),
            dispatcher: self.dispatcher.clone(),
            tasks: self.desk.tasks.clone(),
        }
    }

    /// Starts every loop.
    fn begin(self, parts: &Parts, settings: Settings, inbox: DispatcherInbox, engine: &Engine) {
        let attempts = Attempts::new(parts, settings, &self);
        let Ground {
            desk, post, dispatcher, inbox_live, counters, failures, reported, rooms, removals, ..
        } = self;
        let Parts { store, clock, metrics, support, .. } = parts.clone();
        let tasks = desk.tasks.clone();
        let stopped = || tasks.stopped();
        let looped = DispatcherLoop::new(
            parts,
            settings,
            desk.snapshots.clone(),
            rooms,
            attempts,
            inbox,
            dispatcher.clone(),
            tasks.clone(),
        );
        tasks.spawn(looped.run());
        tasks.spawn(endings::run(store.clone(), clock.clone(), removals, stopped()));
        if let Some(to) = support {
            let notices = ReportNotices::new(desk.clone(), engine.inbox.clone(), metrics.clone(), to);
            tasks.spawn(notices.run(reported, stopped()));
        }
        tasks.spawn(Alerts::new(desk, engine.inbox.clone(), metrics.clone()).run(failures, stopped()));
        tasks.spawn(counters.run(stopped()));
        tasks.spawn(post.watch(parts, stopped()));
        tasks.spawn(inbox_live.clone().run());
        let chores = Chores { store, clock, metrics, dispatcher, inbox: inbox_live };
        tasks.spawn(retention::run(chores, settings.retention, stopped()));
    }
}
