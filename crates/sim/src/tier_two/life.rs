//! One life of the process: a runtime with a time of its own, from start to kill or drain.

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::email::NoMailer;
use angarium_channels::sns::SnsVerifier;
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::LinkKey;
use angarium_engine::traces::Traces;
use angarium_engine::{Clock, Drained, Engine, Files, Mailing, Metrics, Parts, Settings};
use angarium_store::blobs::Blobs;
use angarium_store::memory::MemoryStore;
use angarium_store::{Replays, Upkeep};
use tokio::task::JoinSet;

use super::channel::SimChannel;
use super::faulty_store::FaultyStore;
use super::parts::{ClosedLibrary, SimClock, SimIds};
use super::people::People;
use super::stage::{Stage, Weather};
use crate::evidence::End;

/// What is to become of a life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) weather: Weather,
    /// Subscriptions wanted at its beginning, before the weather changes.
    pub(super) subscriptions: u64,
    /// Errands thought of during it.
    pub(super) errands: u64,
    pub(super) ending: Ending,
}

/// How a life ends, if no named point ends it before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// Killed where it stands.
    Kill,
    /// Asked to stop, with so much time.
    Drain(Duration),
    /// Asked to stop, and killed while it does so.
    KillDuringDrain(Duration),
    /// Lives until everything is done.
    Completion,
}

/// The longest that everything may take to come to its end: longer than the slowest schedule with
/// the longest wait that a receiver may ask for.
const COMPLETION_WITHIN: Duration = Duration::from_hours(10 * 24);

/// What each life is made of.
pub(super) struct Cast {
    pub(super) stage: Stage,
    pub(super) store: MemoryStore,
    pub(super) ids: Arc<SimIds>,
    pub(super) settings: Settings,
    pub(super) handles: Vec<Handle>,
}

impl Cast {
    /// Lives one life from `now`, and answers when it ended.
    pub(super) fn live(&self, now: Timestamp, fate: &Fate) -> Timestamp {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        let runtime =
            builder.enable_time().start_paused(true).build().expect("a runtime without input and output");
        self.stage.begin_life(Weather::default());
        let ended_at = runtime.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(SimClock::showing(now));
            tokio::select! {
                biased;
                () = self.stage.killed() => {}
                () = self.act(clock.clone(), fate) => {}
            }
            clock.now()
        });
        // Whatever still runs ends here, without a word.
        drop(runtime);
        for (_, send) in &mut self.stage.ledgers().sends {
            if send.end.at() == Timestamp::MAX {
                send.end = End::Killed { at: ended_at };
            }
        }
        ended_at
    }

    async fn act(&self, clock: Arc<dyn Clock>, fate: &Fate) {
        self.stage.tell(clock.now(), format_args!("begins: {fate:?}"));
        let engine = Arc::new(
            Box::pin(Engine::start(self.parts(&clock), self.settings)).await.expect("the store can be read"),
        );
        let concurrency_max = self.settings.concurrency_per_subscription_max;
        let people = People {
            stage: self.stage.clone(),
            engine: engine.clone(),
            clock: clock.clone(),
            concurrency_max,
        };
        let mut on_their_way = JoinSet::new();
        self.found(&people, fate, &mut on_their_way).await;
        self.stage.ledgers().weather = fate.weather;
        self.load(&people, fate, &mut on_their_way).await;
        match fate.ending {
            Ending::Kill => {
                self.stage.kill(clock.now(), format_args!("under load"));
                std::future::pending::<()>().await;
            }
            Ending::Drain(grace) => {
                let drained = engine.drain(grace).await;
                self.stage.tell(
                    clock.now(),
                    format_args!(
                        "drained {}",
                        if drained == Drained::InTime { "in time" } else { "by force" }
                    ),
                );
                // Nobody is left to answer; whoever still waits has lost the connection.
                on_their_way.shutdown().await;
            }
            Ending::KillDuringDrain(after) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(after) => {}
                    _ = engine.drain(Duration::from_secs(2)) => {}
                }
                self.stage.kill(clock.now(), format_args!("during a drain"));
                std::future::pending::<()>().await;
            }
            Ending::Completion => self.complete(&people, on_their_way).await,
        }
    }

    fn parts(&self, clock: &Arc<dyn Clock>) -> Parts {
        let (inner, stage) = (self.store.clone(), self.stage.clone());
        Parts {
            store: Arc::new(FaultyStore { inner, stage: stage.clone(), clock: clock.clone() }),
            channel: Arc::new(SimChannel { stage, clock: clock.clone() }),
            library: Arc::new(ClosedLibrary),
            // Nobody in these worlds reads mail.
            mailing: Mailing {
                mailer: Arc::new(NoMailer),
                public_url: None,
                sender_domain: None,
                names: None,
                connections_max: 1,
                sns: Arc::new(SnsVerifier::of_no_topics()),
            },
            clock: clock.clone(),
            ids: self.ids.clone(),
            metrics: Arc::new(Metrics::new()),
            traces: Traces::off(),
            // The simulator's people write events and no files.
            files: Files::Folder(Blobs::none()),
            link_key: LinkKey::from_bytes(&[0; 32]),
            support: None,
        }
    }

    /// The first subscriptions, and what the last life left unanswered.
    async fn found(&self, people: &People, fate: &Fate, on_their_way: &mut JoinSet<()>) {
        let unanswered: Vec<_> = self.stage.ledgers().open.values().cloned().collect();
        for errand in unanswered {
            people.send_out(&errand, on_their_way);
        }
        let mut first = JoinSet::new();
        for number in 0..fate.subscriptions {
            let handle = &self.handles[number as usize % self.handles.len()];
            people.send_out(&people.think_of_a_subscription(handle), &mut first);
        }
        if fate.subscriptions > 0 {
            for errand in people.think_of_inboxes(&self.handles) {
                people.send_out(&errand, &mut first);
            }
        }
        while first.join_next().await.is_some() {}
    }

    async fn load(&self, people: &People, fate: &Fate, on_their_way: &mut JoinSet<()>) {
        for _ in 0..fate.errands {
            let (wait, handle) = {
                let mut ledgers = self.stage.ledgers();
                let wait =
                    if ledgers.chance.percent(30) { Duration::ZERO } else { ledgers.chance.millis(1..=400) };
                (wait, ledgers.chance.pick(&self.handles).clone())
            };
            tokio::time::sleep(wait).await;
            if let Some(errand) = people.think(&handle).await {
                people.send_out(&errand, on_their_way);
            }
        }
    }

    /// Ends every pause, and lives on until nothing is left to do.
    async fn complete(&self, people: &People, mut on_their_way: JoinSet<()>) {
        while on_their_way.join_next().await.is_some() {}
        let pauses = self.stage.ledgers().think_of_resuming(people.clock.now());
        for errand in pauses {
            people.send_out(&errand, &mut on_their_way);
        }
        while on_their_way.join_next().await.is_some() {}
        let give_up_at = people.clock.now() + COMPLETION_WITHIN;
        while people.clock.now() < give_up_at && self.is_something_left().await {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        people.engine.drain(Duration::from_mins(1)).await;
    }

    async fn is_something_left(&self) -> bool {
        let census = self.store.census().await.expect("a store in memory can be read");
        let jobs = self.store.running_replays().await.expect("a store in memory can be read");
        census.scheduled + census.in_flight > 0 || !jobs.is_empty()
    }
}
