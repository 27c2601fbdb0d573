//! A demo under way: what is accepted comes in, what becomes of it is shown.

use std::time::Duration;

use angarium_domain::ids::SubscriptionId;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc::Receiver as Inbox;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::happening;
use super::ledger::{Evidence, Ledger};
use super::memory::Promises;
use super::publisher::Published;
use super::receivers::Seen;
use super::stage::Stage;
use super::watch::{Counts, Watch};
use crate::cli::answers::{Accepted, Delivery};
use crate::cli::table::show;

/// How often the delivery log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long nothing may happen before a demo that shall end is called stuck. Longer than the
/// longest wait between attempts and the longest pause of a receiver that is out.
const STUCK_AFTER: Duration = Duration::from_mins(2);
/// How long a stop waits for attempts under way to be seen to their end.
const GRACE: Duration = Duration::from_secs(10);

/// Tells what happens: lines on standard output, and under them, in a terminal, where all stands.
pub(super) struct Voice {
    told: bool,
    status: ProgressBar,
}

/// A demo under way.
pub(super) struct Theatre<'a> {
    stage: &'a Stage,
    voice: Voice,
    once: bool,
    watch: Watch,
    promises: Promises,
    accepted: Vec<Accepted>,
    seen: Seen,
    last_change: Instant,
    stuck: bool,
}

impl Voice {
    pub(super) fn new(told: bool) -> Voice {
        let status = if told { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        status.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid"));
        Voice { told, status }
    }

    /// Says something above the status.
    pub(super) fn say(&self, text: &str) {
        if self.told {
            self.status.suspend(|| show(&format!("{text}\n")));
        }
    }

    fn stands(&self, accepted: usize, counts: Counts) {
        let Counts { delivered, waiting, in_flight, retrying, dead } = counts;
        self.status.set_message(format!(
            "{accepted} accepted: {delivered} delivered, {in_flight} in flight, {waiting} waiting, \
             {retrying} retrying, {dead} dead"
        ));
        self.status.tick();
    }
}

impl<'a> Theatre<'a> {
    pub(super) fn new(stage: &'a Stage, voice: Voice, once: bool) -> anyhow::Result<Theatre<'a>> {
        Ok(Theatre {
            stage,
            voice,
            once,
            // What was taken up again is part of the play.
            watch: Watch::from(stage.client().clone(), stage.begins_at()),
            promises: stage.promises()?,
            accepted: Vec::new(),
            seen: Seen::default(),
            last_change: Instant::now(),
            stuck: false,
        })
    }

    /// Shows what happens until all has come to an end, or somebody stops it.
    pub(super) async fn run(
        &mut self,
        mut inbox: Inbox<Published>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ticks = interval(LOOK_EVERY);
        let mut publishing = true;
        let mut grace_ends = None;
        loop {
            tokio::select! {
                published = inbox.recv(), if publishing => match published {
                    Some(published) => self.accept(published)?,
                    None => publishing = false,
                },
                _ = ticks.tick() => self.look().await?,
            }
            if stop.is_cancelled() && grace_ends.is_none() {
                self.voice.say("stopping: nothing more is published, attempts under way may end");
                grace_ends = Some(Instant::now() + GRACE);
            }
            if !publishing && self.is_over(grace_ends) {
                break;
            }
        }
        self.voice.status.finish_and_clear();
        Ok(())
    }

    /// Compares what was promised with what happened.
    pub(super) async fn ledger(&mut self) -> anyhow::Result<Ledger> {
        let client = self.stage.client();
        // The log first: whatever it calls delivered, a receiver has seen by then.
        let log: Vec<Delivery> = client.list("/deliveries", &[], usize::MAX).await?;
        self.read_receivers();
        let bad_signatures =
            self.stage.receivers().iter().map(|(_, receiver)| receiver.sink.summary().bad_signatures);
        let ours: Vec<SubscriptionId> = self.stage.receivers().iter().map(|(id, _)| *id).collect();
        let evidence = Evidence {
            earlier: &self.promises.earlier,
            accepted: &self.accepted,
            log: &log,
            seen: &self.seen,
            receivers: &ours,
            started_at: self.stage.started_at,
        };
        let taken_up = self.stage.earlier.taken_up;
        Ok(Ledger {
            bad_signatures: bad_signatures.sum(),
            stuck: self.stuck,
            taken_up,
            ..Ledger::of(&evidence)
        })
    }

    fn accept(&mut self, published: Published) -> anyhow::Result<()> {
        let Published { event_type, accepted } = published;
        self.promises.add(accepted).context("the list of accepted events cannot be written")?;
        self.accepted.push(accepted);
        self.last_change = Instant::now();
        self.voice.say(&happening::accepted(event_type, accepted, SystemClock.now()));
        Ok(())
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        self.read_receivers();
        let mut lines = Vec::new();
        for change in self.watch.look().await? {
            self.last_change = Instant::now();
            // An earlier demo has told of these.
            if change.before.is_none() && change.now.finished_at.is_some_and(|at| at < self.stage.started_at)
            {
                continue;
            }
            let receiver = self.name_of(&change.now);
            lines.extend(happening::of(change.before.as_ref(), &change.now, receiver, SystemClock.now()));
        }
        // Lines begin with their time.
        lines.sort_unstable();
        for line in lines {
            self.voice.say(&line);
        }
        self.voice.stands(self.accepted.len(), self.watch.counts());
        Ok(())
    }

    fn read_receivers(&mut self) {
        for (id, receiver) in self.stage.receivers() {
            self.seen.read(*id, &receiver.sink);
        }
    }

    fn name_of(&self, delivery: &Delivery) -> &'static str {
        let ours = self.stage.receivers().iter().find(|(id, _)| *id == delivery.subscription_id);
        ours.map_or("other", |(_, receiver)| receiver.kind.name())
    }

    /// Whether the end has come: by itself, by a stop, or because nothing moves any more.
    fn is_over(&mut self, grace_ends: Option<Instant>) -> bool {
        if let Some(end) = grace_ends {
            return self.watch.counts().in_flight == 0 || Instant::now() >= end;
        }
        if !self.once {
            return false;
        }
        self.stuck = self.last_change.elapsed() >= STUCK_AFTER;
        self.stuck || self.all_known() && self.watch.is_quiet()
    }

    /// Whether the log has shown as many deliveries as were promised.
    fn all_known(&self) -> bool {
        let promised: u64 = self.accepted.iter().map(|accepted| accepted.deliveries).sum();
        self.watch.deliveries().count() as u64 >= promised
    }
}
