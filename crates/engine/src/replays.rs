//! Replay jobs: many past deliveries again, at a bounded rate.
//!
//! A job makes ordinary deliveries, a batch at a time, and its progress is
//! written in the commit that makes them. After a crash it goes on where the
//! last commit left it: no delivery is replayed twice, none is skipped.

use std::sync::Arc;

use angarium_domain::audit::changed;
use angarium_domain::delivery::{Delivery, Status};
use angarium_domain::handle::Handle;
use angarium_domain::ids::ReplayId;
use angarium_domain::replay::{DeliveryFilter, JobStatus, ReplayJob, Target, repeatable};
use angarium_domain::retention::Retention;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::Append;
use angarium_store::history::LogFilter;
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::{Context, Written};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use crate::deliveries::{paused_in, repetition};
use crate::ids::new_id;
use crate::missed;
use crate::once::{Once, RepeatError, Reply};
use crate::planner::{Again, Plan};
use crate::snapshots::find;
use crate::{Caller, Desk};

/// The most jobs of one handle that run at a time.
const RUNNING_PER_HANDLE_MAX: usize = 5;

/// A replay job as it is asked for.
#[derive(Debug, Clone)]
pub struct NewReplay {
    /// Which deliveries; with `missing`, which subscription, and events accepted since when.
    pub filter: DeliveryFilter,
    /// Whether to deliver what one subscription missed, instead of repeating what is finished.
    pub missing: bool,
    /// Which endpoint settings.
    pub to: Target,
    /// How many deliveries a second are made at most; at least 1.
    pub rate_per_second: u32,
}

/// Why a job was not made or ended.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The handle has no such job.
    #[error("there is no such replay")]
    NotFound,
    /// What one subscription missed was asked for, and the handle has no such subscription.
    #[error("there is no such subscription")]
    NoSuchSubscription,
    /// It has ended already.
    #[error("the replay has ended already")]
    Finished,
    /// Too many of the handle's jobs are running: together they would not keep to a rate.
    #[error("the handle has {limit} running replays, which is the limit; wait for one, or cancel it")]
    TooMany {
        /// How many may run at a time.
        limit: usize,
    },
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The replay jobs of all handles.
#[derive(Clone)]
pub struct ReplayJobs {
    desk: Desk,
    retention: Retention,
}

impl ReplayJobs {
    pub(crate) fn new(desk: Desk, retention: Retention) -> ReplayJobs {
        ReplayJobs { desk, retention }
    }

    /// Goes on with the jobs of the process before us.
    pub(crate) async fn go_on(&self) -> Result<(), StoreError> {
        for job in self.desk.store.running_replays().await? {
            self.spawn(job);
        }
        Ok(())
    }

    /// How many deliveries a job would make. Changes nothing.
    pub async fn dry_run(&self, handle: &Handle, new: NewReplay) -> Result<u64, ReplayError> {
        Ok(self.draft(handle, new).await?.matched)
    }

    /// One job of a handle, with its progress.
    pub async fn get(&self, handle: &Handle, id: ReplayId) -> Result<Option<ReplayJob>, StoreError> {
        self.desk.store.replay(handle, id).await
    }

    /// A handle's jobs, newest first.
    pub async fn list(&self, handle: &Handle, page: PageRequest) -> Result<Page<ReplayJob>, StoreError> {
        self.desk.store.replays(handle, page).await
    }

    /// Begins a job.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewReplay,
        once: Once<ReplayJob>,
    ) -> Result<Reply, ReplayError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ReplayError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let running = self.desk.store.running_replays().await?;
        if running.iter().filter(|job| job.handle == caller.handle).count() >= RUNNING_PER_HANDLE_MAX {
            return Err(ReplayError::TooMany { limit: RUNNING_PER_HANDLE_MAX });
        }
        let job = self.draft(&caller.handle, new).await?;
        let now = job.created_at;
        let (answer, idempotency) = once.answer_to(&job, now);
        let asked = json!({ "filter": job.filter, "missing": job.missing, "to": job.to, "ratePerSecond": job.rate_per_second,
            "matched": job.matched });
        let told = changed(None, Some(&asked));
        let audit = caller.audit_of(now, "replay.created", job.id.to_string(), told);
        let context = caller.context(idempotency, Some(audit));
        let written = self.desk.store.create_replay(job.clone(), context).await?;
        if let Written::Done(()) = written {
            self.spawn(job);
        }
        Ok(once.reply(written, answer)?)
    }

    /// Ends a job. Deliveries that it made go on.
    pub async fn cancel(
        &self,
        caller: Caller,
        id: ReplayId,
        once: Once<ReplayJob>,
    ) -> Result<Reply, ReplayError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ReplayError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let job = self.desk.store.replay(&caller.handle, id).await?.ok_or(ReplayError::NotFound)?;
        if job.status != JobStatus::Running {
            return Err(ReplayError::Finished);
        }
        let now = self.desk.clock.now();
        let ended = ReplayJob { status: JobStatus::Cancelled, finished_at: Some(now), ..job };
        let (answer, idempotency) = once.answer_to(&ended, now);
        let audit = caller.audit(now, "replay.cancelled", id.to_string());
        let context = caller.context(idempotency, Some(audit));
        match self.desk.store.finish_replay(ended, context).await {
            Err(StoreError::Conflict) => Err(ReplayError::Finished),
            written => Ok(once.reply(written?, answer)?),
        }
    }

    /// A job that does not run yet, with the number of those that match.
    async fn draft(&self, handle: &Handle, new: NewReplay) -> Result<ReplayJob, ReplayError> {
        let now = self.desk.clock.now();
        let NewReplay { filter, missing, to, rate_per_second } = new;
        let job = ReplayJob {
            id: new_id(&*self.desk.ids, now),
            handle: handle.clone(),
            filter,
            missing,
            to,
            rate_per_second,
            matched: 0,
            replayed: 0,
            skipped: 0,
            cursor: None,
            looked_at: None,
            moved_at: None,
            status: JobStatus::Running,
            created_at: now,
            finished_at: None,
        };
        Ok(ReplayJob { matched: self.count(&job, now).await?, ..job })
    }

    async fn count(&self, job: &ReplayJob, now: Timestamp) -> Result<u64, ReplayError> {
        let store = &*self.desk.store;
        if job.missing {
            let snapshot = self.desk.snapshots.get(&job.handle).await?;
            let entry = subscription_of(job, &snapshot).ok_or(ReplayError::NoSuchSubscription)?;
            return Ok(missed::count(store, job, &entry.subscription, self.retention, now).await?);
        }
        let filter = self.log_filter(&job.handle, job.filter.clone(), now).await?;
        Ok(store.count_replayable(&job.handle, filter).await?)
    }

    async fn log_filter(
        &self,
        handle: &Handle,
        conditions: DeliveryFilter,
        made_before: Timestamp,
    ) -> Result<LogFilter, StoreError> {
        let paused = paused_in(&*self.desk.snapshots.get(handle).await?);
        let until = conditions.until.map_or(made_before, |until| until.min(made_before));
        let conditions = DeliveryFilter { until: Some(until), ..conditions };
        // Of the dead, only dead letters can be replayed; saying so finds them by their index.
        let dead_letters = conditions.status == Some(Status::Dead);
        Ok(LogFilter { conditions, dead_letters, paused })
    }

    fn spawn(&self, job: ReplayJob) {
        let id = job.id;
        let this = self.clone();
        self.desk.tasks.spawn(async move {
            if let Err(error) = this.run(job).await {
                tracing::warn!(%error, replay = %id, "a replay stopped; it goes on at the next start");
            }
        });
    }

    async fn run(&self, mut job: ReplayJob) -> Result<(), StoreError> {
        let now = self.desk.clock.now();
        // A restart is no reason to be faster than the rate.
        let first = Instant::now() + job.next_batch_at(now).since(now);
        let mut ticks = tokio::time::interval_at(first, job.pause());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopped = self.desk.tasks.stopped();
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            job = match self.advance(job.clone()).await {
                Ok(Some(job)) => job,
                Ok(None) => return Ok(()),
                // Somebody changed the handle, replayed one of these, or ended the job.
                Err(StoreError::Conflict) => match self.look_up(&job).await {
                    Ok(Some(job)) => job,
                    Ok(None) => return Ok(()),
                    Err(StoreError::Unavailable { .. }) => job,
                    Err(error) => return Err(error),
                },
                // The store is busy or full: the next tick tries the same batch again.
                Err(StoreError::Unavailable { .. }) => job,
                Err(error) => return Err(error),
            };
        }
    }

    /// The job as it is stored, if it still runs.
    async fn look_up(&self, job: &ReplayJob) -> Result<Option<ReplayJob>, StoreError> {
        self.desk.snapshots.refresh(&job.handle).await?;
        let stored = self.desk.store.replay(&job.handle, job.id).await?;
        Ok(stored.filter(|job| job.status == JobStatus::Running))
    }

    /// Makes one batch, and answers the job as it is after it; none when it is done.
    async fn advance(&self, job: ReplayJob) -> Result<Option<ReplayJob>, StoreError> {
        let account = self.desk.snapshots.get(&job.handle).await?.account.clone();
        if account.is_removed() {
            return Ok(None);
        }
        if account.holds_deliveries() {
            // It goes on when the handle does.
            return Ok(Some(job));
        }
        if job.missing { self.make_up(job).await } else { self.repeat(job).await }
    }

    /// One batch of deliveries again.
    async fn repeat(&self, mut job: ReplayJob) -> Result<Option<ReplayJob>, StoreError> {
        let filter = self.log_filter(&job.handle, job.filter.clone(), job.created_at).await?;
        let originals = self.desk.store.replayable(&job.handle, filter, job.cursor, job.batch()).await?;
        let Some(last) = originals.last() else {
            return self.complete(job).await;
        };
        job.cursor = Some(last.id);
        let snapshot = self.desk.snapshots.get(&job.handle).await?;
        let mut plan = self.desk.planner.plan();
        for original in &originals {
            self.add(&mut plan, &mut job, &snapshot, original).await?;
        }
        self.write(job, plan, &snapshot).await
    }

    /// One batch of first deliveries of what the subscription missed.
    async fn make_up(&self, mut job: ReplayJob) -> Result<Option<ReplayJob>, StoreError> {
        let snapshot = self.desk.snapshots.get(&job.handle).await?;
        let Some(entry) = subscription_of(&job, &snapshot) else { return self.complete(job).await };
        let (now, wanted) = (self.desk.clock.now(), job.batch() as usize);
        let found =
            missed::look(&*self.desk.store, &job, &entry.subscription, self.retention, now, wanted).await?;
        if found.events.is_empty() && found.is_end {
            return self.complete(job).await;
        }
        job.looked_at = found.looked_at;
        let mut plan = self.desk.planner.plan();
        for event in &found.events {
            let first = Again { replay_id: Some(job.id), ..Again::default() };
            self.desk.planner.add(&mut plan, &snapshot.account, &entry.subscription, event, first, now);
            job.replayed += 1;
        }
        self.write(job, plan, &snapshot).await
    }

    async fn complete(&self, mut job: ReplayJob) -> Result<Option<ReplayJob>, StoreError> {
        job.status = JobStatus::Completed;
        job.finished_at = Some(self.desk.clock.now());
        // What was matched and is not there any more was replayed, discarded or forgotten by others.
        job.skipped = job.matched.saturating_sub(job.replayed);
        self.desk.store.finish_replay(job, Context::default()).await?;
        Ok(None)
    }

    /// Writes a batch and the job's progress in one commit.
    async fn write(
        &self,
        mut job: ReplayJob,
        plan: Plan,
        snapshot: &Snapshot,
    ) -> Result<Option<ReplayJob>, StoreError> {
        job.moved_at = Some(self.desk.clock.now());
        let append = Append {
            decided_upon: vec![(job.handle.clone(), snapshot.version)],
            deliveries: plan.deliveries(),
            job: Some(job.clone()),
            ..Append::default()
        };
        self.desk.store.append(append).await?;
        self.desk.planner.announce(plan).await;
        Ok(Some(job))
    }

    async fn add(
        &self,
        plan: &mut Plan,
        job: &mut ReplayJob,
        snapshot: &Arc<Snapshot>,
        original: &Delivery,
    ) -> Result<(), StoreError> {
        let entry = find(snapshot, original.subscription_id);
        let event = self.desk.store.event(&job.handle, original.event_id).await?;
        let (Some(entry), Some(event)) = (entry, event) else {
            job.skipped += 1;
            return Ok(());
        };
        let again = Again { replay_id: Some(job.id), ..repetition(original, &entry.subscription, job.to) };
        if repeatable(&event.event_type, &entry.subscription, again.endpoint_override.as_ref()).is_err() {
            job.skipped += 1;
            return Ok(());
        }
        let now = self.desk.clock.now();
        self.desk.planner.add(plan, &snapshot.account, &entry.subscription, &event, again, now);
        job.replayed += 1;
        Ok(())
    }
}

/// The subscription whose missed events a job delivers, if it is still there.
fn subscription_of<'a>(job: &ReplayJob, snapshot: &'a Snapshot) -> Option<&'a Arc<Entry>> {
    find(snapshot, job.filter.subscription_id?)
}
