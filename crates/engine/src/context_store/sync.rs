//! Syncs as durable jobs: what is asked for is done, whatever happens to the process meanwhile.
//!
//! Every step is a write of the source upon its last revision. After a crash a sync begins again with
//! its documents under another number; what was written under the old one is swept.
//!
//! A sync that cannot go on by a fault of ours ends, too: as failed, so that it can be asked for again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use angarium_channels::library::{Documents, Reading};
use angarium_domain::context::chunk::{self, Chunk};
use angarium_domain::context::source::{Content, SOURCES_MAX, Source, TextRoom, Validators};
use angarium_domain::context::sync::{Reason, Trouble};
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{EventId, SourceId};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::event_log::{Append, Beside};
use angarium_store::page::PageRequest;
use angarium_store::write::Context;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::ContextStore;
use crate::DECISIONS_MAX;
use crate::ids::new_id;
use crate::notices;
use crate::turns::Turn;

/// Pieces written in one transaction: bounds the time that it holds the writer.
const BATCH: usize = 64;
/// Pieces swept in one transaction.
const SWEPT: u32 = 200;
/// Before a store that could not is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Before a handle that is suspended is looked at again.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// Whether a sync is over for this process.
enum Step {
    Ended,
    GoesOn,
}

impl ContextStore {
    /// Goes on with the syncs of the process before us, and begins to sweep.
    pub(crate) async fn go_on(&self) -> Result<(), StoreError> {
        for source in self.desk.store.syncing_sources().await? {
            self.spawn(&source);
        }
        let this = self.clone();
        self.desk.tasks.spawn(async move { this.keep_sweeping().await });
        Ok(())
    }

    /// Runs the sync that a source asks for, in one task however often it is asked for.
    pub(super) fn spawn(&self, source: &Source) {
        let (this, handle, id) = (self.clone(), source.handle.clone(), source.id);
        if !self.running.begin(id) {
            return;
        }
        self.desk.tasks.spawn(async move {
            loop {
                this.run_to_an_end(&handle, id).await;
                if this.running.is_over(id) {
                    return;
                }
            }
        });
    }

    /// Runs a sync, and has it fail where it cannot be run.
    async fn run_to_an_end(&self, handle: &Handle, id: SourceId) {
        // What a document does to its reader must not leave a sync that nobody runs.
        let error = match AssertUnwindSafe(self.run(handle, id)).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a panic".to_owned(),
        };
        tracing::error!(error, %handle, source = %id, "a sync cannot be run and is ended");
        let given_up = AssertUnwindSafe(self.give_up(handle, id)).catch_unwind().await;
        if !matches!(given_up, Ok(Ok(()))) {
            tracing::error!(%handle, source = %id, "its end cannot be written; it goes on when it is asked for");
        }
    }

    /// Ends a sync as failed by our own fault, whatever its state is.
    async fn give_up(&self, handle: &Handle, id: SourceId) -> Result<(), StoreError> {
        let trouble = Trouble::lasting(Reason::InternalError, "the sync could not be run; this is our fault");
        loop {
            let source = match self.desk.store.source(handle, id).await {
                Err(StoreError::Unavailable { .. }) => None,
                source => match source? {
                    Some(source) => Some(source),
                    None => return Ok(()),
                },
            };
            let ended = match &source {
                Some(source) => self.fail(source, &trouble).await,
                None => Ok(Step::GoesOn),
            };
            match ended {
                Ok(Step::Ended) => return Ok(()),
                Ok(Step::GoesOn) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
            if self.unless_stopped(tokio::time::sleep(AGAIN_AFTER)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn run(&self, handle: &Handle, id: SourceId) -> Result<(), StoreError> {
        let mut pause = Duration::ZERO;
        loop {
            let waited = async {
                tokio::time::sleep(pause).await;
                self.turn(handle, id).await
            };
            let step = match self.unless_stopped(waited).await {
                None | Some(Ok(None)) => return Ok(()),
                Some(Ok(Some(_turn))) => self.step(handle, id).await,
                Some(Err(error)) => Err(error),
            };
            pause = match step {
                Ok(Step::Ended) => return Ok(()),
                // Somebody else has written the source, or its handle: look again.
                Ok(Step::GoesOn) | Err(StoreError::Conflict) => Duration::ZERO,
                Err(StoreError::Unavailable { .. }) => AGAIN_AFTER,
                Err(error) => return Err(error),
            };
        }
    }

    /// A wait or a question, given up when nothing more is to be started. Writes are not given up.
    async fn unless_stopped<T>(&self, waited: impl Future<Output = T>) -> Option<T> {
        let stopped = self.desk.tasks.stopped();
        tokio::select! {
            biased;
            () = stopped.cancelled() => None,
            done = waited => Some(done),
        }
    }

    /// A place for the sync that a source asks for, as soon as it is due and its handle may act. None
    /// if there is no sync any more.
    async fn turn(&self, handle: &Handle, id: SourceId) -> Result<Option<Turn>, StoreError> {
        let Some(due_at) = self.due(handle, id).await? else { return Ok(None) };
        let wait = due_at.since(self.desk.clock.now());
        tokio::time::sleep(wait * self.waits_percent / 100).await;
        loop {
            let account = self.desk.snapshots.get(handle).await?.account.clone();
            if account.is_removed() {
                return Ok(None);
            }
            if account.admits_writes().is_ok() {
                return Ok(Some(self.turns.take(handle).await));
            }
            tokio::time::sleep(LOOK_AFTER).await;
        }
    }

    async fn due(&self, handle: &Handle, id: SourceId) -> Result<Option<Timestamp>, StoreError> {
        let source = self.desk.store.source(handle, id).await?;
        Ok(source.and_then(|source| source.run).map(|run| run.due_at))
    }

    /// One attempt to read the documents and to write what came of it.
    async fn step(&self, handle: &Handle, id: SourceId) -> Result<Step, StoreError> {
        let store = &*self.desk.store;
        let source = store.source(handle, id).await?;
        let begun = source.and_then(|source| source.begin(self.desk.clock.now()));
        let Some(begun) = begun else { return Ok(Step::Ended) };
        let Some(config) = store.source_config(handle, id).await? else { return Ok(Step::Ended) };
        store.move_source(begun.clone(), Context::default()).await?;
        // What is not searchable must be read, whatever an address said about it earlier.
        let known = if begun.is_searchable() { begun.validators.clone() } else { Validators::default() };
        let room = self.room(&begun).await?;
        let Some(reading) = self.unless_stopped(self.library.read(handle, &config, &known, room)).await
        else {
            return Ok(Step::Ended);
        };
        let written = match reading {
            Reading::Documents(documents) => self.take_in(&begun, documents).await,
            Reading::Unchanged if begun.is_searchable() => self.stay(&begun).await,
            Reading::Unchanged => {
                let message = "the address says that nothing has changed, and was never asked before";
                self.fail(&begun, &Trouble::passing(Reason::ProtocolError, message)).await
            }
            Reading::Failed(trouble) => self.fail(&begun, &trouble).await,
        };
        match written {
            // The address was asked: that is an attempt, and the next one waits as after any other.
            Err(StoreError::Unavailable { reason }) => {
                tracing::warn!(reason, %handle, source = %id, "what a sync has read cannot be written");
                let message = "what was read could not be stored";
                self.fail(&begun, &Trouble::passing(Reason::InternalError, message)).await
            }
            written => written,
        }
    }

    /// The room that the handle's other sources leave. Another sync under way may bring something more meanwhile.
    async fn room(&self, begun: &Source) -> Result<TextRoom, StoreError> {
        let all = PageRequest { before: None, limit: SOURCES_MAX as u32 };
        let sources = self.desk.store.sources(&begun.handle, all).await?.items;
        let others = sources.iter().filter(|source| source.id != begun.id);
        let others = others.map(|source| source.content.bytes).sum();
        Ok(TextRoom::beside(others, begun.content.bytes, self.bytes_per_handle_max))
    }

    /// Writes documents under a new number, and then has them seen.
    async fn take_in(&self, begun: &Source, read: Documents) -> Result<Step, StoreError> {
        let Some(filling) = begun.fill() else { return Ok(Step::Ended) };
        self.desk.store.move_source(filling.clone(), Context::default()).await?;
        self.sweeps.notify_one();
        let mut content = Content::default();
        for (document, reason, message) in read.skipped {
            content.skip(&document, reason, message);
        }
        let mut batch: Vec<Chunk> = Vec::with_capacity(BATCH);
        for document in &read.documents {
            content.documents += 1;
            content.bytes += document.text.len() as u64;
            for piece in chunk::chunks(document) {
                content.chunks += 1;
                batch.push(piece);
                if self.desk.tasks.is_stopping() {
                    return Ok(Step::Ended);
                }
                if batch.len() == BATCH {
                    self.add(&filling, std::mem::take(&mut batch)).await?;
                }
            }
        }
        if !batch.is_empty() {
            self.desk.store.add_chunks(&filling, batch).await?;
        }
        let Some(ended) = filling.succeed(content, read.validators, self.desk.clock.now()) else {
            return Ok(Step::Ended);
        };
        self.publish(&ended, |id, now| notices::synced(id, &ended, true, now)).await
    }

    /// Writes a batch, and leaves the writer to others for as long as that took.
    async fn add(&self, filling: &Source, batch: Vec<Chunk>) -> Result<(), StoreError> {
        let begun_at = Instant::now();
        self.desk.store.add_chunks(filling, batch).await?;
        // Whoever is to stop finds out before the next batch.
        let _ = self.unless_stopped(tokio::time::sleep(begun_at.elapsed())).await;
        Ok(())
    }

    async fn stay(&self, begun: &Source) -> Result<Step, StoreError> {
        let Some(ended) = begun.stay(self.desk.clock.now()) else { return Ok(Step::Ended) };
        self.publish(&ended, |id, now| notices::synced(id, &ended, false, now)).await
    }

    /// Writes that an attempt came to nothing. While the store cannot, the write is repeated and not the attempt.
    async fn fail(&self, begun: &Source, trouble: &Trouble) -> Result<Step, StoreError> {
        loop {
            match self.fail_once(begun, trouble).await {
                Err(StoreError::Unavailable { .. }) => {
                    if self.unless_stopped(tokio::time::sleep(AGAIN_AFTER)).await.is_none() {
                        return Ok(Step::Ended);
                    }
                }
                written => return written,
            }
        }
    }

    async fn fail_once(&self, begun: &Source, trouble: &Trouble) -> Result<Step, StoreError> {
        let Some(stored) = self.desk.store.source(&begun.handle, begun.id).await? else {
            return Ok(Step::Ended);
        };
        // Since it began, the attempt has written nothing but the number of its documents.
        let filled = stored.revision == begun.revision + 1 && stored.filling() > begun.generation_last;
        if stored.revision != begun.revision && !filled {
            return Err(StoreError::Conflict);
        }
        let Some(next) = stored.fail(trouble, self.desk.clock.now()) else { return Ok(Step::Ended) };
        if next.run.is_some() {
            self.desk.store.move_source(next, Context::default()).await?;
            self.sweeps.notify_one();
            return Ok(Step::GoesOn);
        }
        self.publish(&next, |id, now| notices::sync_failed(id, &next, now)).await
    }

    /// Writes the end of a sync together with the event that tells of it.
    async fn publish(
        &self,
        ended: &Source,
        event: impl Fn(EventId, Timestamp) -> std::sync::Arc<Event> + Send + Sync,
    ) -> Result<Step, StoreError> {
        let desk = &self.desk;
        for _ in 0..DECISIONS_MAX {
            let snapshot = desk.snapshots.get(&ended.handle).await?;
            let now = desk.clock.now();
            let event = event(new_id(&*desk.ids, now), now);
            let mut plan = desk.planner.plan();
            desk.planner.fan_out(&mut plan, &snapshot, &event);
            let append = Append {
                decided_upon: vec![(ended.handle.clone(), snapshot.version)],
                events: vec![event],
                deliveries: plan.deliveries(),
                beside: vec![Beside::Source(Box::new(ended.clone()))],
                ..Append::default()
            };
            match desk.store.append(append).await {
                Ok(_) => {
                    desk.planner.announce(plan).await;
                    self.sweeps.notify_one();
                    return Ok(Step::Ended);
                }
                Err(StoreError::Conflict) => {
                    desk.snapshots.refresh(&ended.handle).await?;
                    let stored = desk.store.source(&ended.handle, ended.id).await?;
                    if stored.is_none_or(|stored| stored.revision + 1 != ended.revision) {
                        return Err(StoreError::Conflict);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Removes what no search will see again, batch by batch, whenever there is any.
    async fn keep_sweeping(&self) {
        let stopped = self.desk.tasks.stopped();
        loop {
            let begun_at = Instant::now();
            let wait = match self.desk.store.sweep_chunks(SWEPT).await {
                // As long as it took: the writer is for others half of the time at least.
                Ok(true) => begun_at.elapsed(),
                Ok(false) => Duration::MAX,
                Err(error) => {
                    tracing::warn!(%error, "pieces that nobody sees are not removed yet; they are soon");
                    AGAIN_AFTER
                }
            };
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.sweeps.notified(), if wait == Duration::MAX => {}
            }
        }
    }
}
