//! The context store: sources, their syncs, and searching what they brought.

mod running;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::library::{Library, RefusedSource};
use angarium_domain::account::Closed;
use angarium_domain::audit::changed;
use angarium_domain::context::search::{Query, RESULTS_MAX, Snippet};
use angarium_domain::context::source::{ConfigPatch, SOURCES_MAX};
use angarium_domain::context::{Chunk, Config, Source};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SourceId;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::context_store::Search;
use angarium_store::event_log::Append;
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::{Context, Written};
use serde_json::json;
use tokio::sync::Notify;

use crate::ids::new_id;
use crate::once::{Once, RepeatError, Reply};
use crate::turns::Turns;
use crate::{Caller, DECISIONS_MAX, Desk};
use running::Running;

/// Syncs at a time, and of one handle. Each holds the documents of a source in memory.
const RUNNING_MAX: usize = 8;
const RUNNING_PER_HANDLE_MAX: usize = 2;
/// Searches at a time, and of one handle: each keeps a core busy, and one with many documents for longer.
const SEARCHES_MAX: usize = 2;
const SEARCHES_PER_HANDLE_MAX: usize = 1;
/// How long a search waits for its turn.
const SEARCH_WAIT: Duration = Duration::from_secs(2);

/// A source as it is asked for.
pub struct NewSource {
    /// Its maker's words.
    pub name: String,
    /// Where its documents come from.
    pub config: Config,
}

/// What is changed of a source.
#[derive(Clone)]
pub struct SourcePatch {
    /// Its name.
    pub name: Option<String>,
    /// Where its documents come from.
    pub config: ConfigPatch,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Of which source.
    pub source: SourceId,
    /// The piece.
    pub chunk: Chunk,
    /// The part of it that holds the most of what was looked for.
    pub snippet: Snippet,
}

/// Why a source was not made, synced or removed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The handle has no such source.
    #[error("there is no such source")]
    NotFound,
    /// The handle has as many as it may have.
    #[error("the handle has {SOURCES_MAX} sources, which is the limit")]
    TooMany,
    /// Its documents may not come from there.
    #[error(transparent)]
    Refused(#[from] RefusedSource),
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The context store of all handles.
#[derive(Clone)]
pub struct ContextStore {
    desk: Desk,
    library: Arc<dyn Library>,
    turns: Arc<Turns>,
    searches: Arc<Turns>,
    /// Which syncs have a task.
    running: Arc<Running>,
    /// Told when there is something to sweep.
    sweeps: Arc<Notify>,
    /// Share of the waits between attempts that is really waited.
    waits_percent: u32,
    /// The most bytes of text of all sources of a handle.
    bytes_per_handle_max: u64,
}

impl ContextStore {
    pub(crate) fn new(
        desk: Desk,
        library: Arc<dyn Library>,
        waits_percent: u32,
        bytes_per_handle_max: u64,
    ) -> ContextStore {
        let turns = Arc::new(Turns::new(RUNNING_MAX, RUNNING_PER_HANDLE_MAX));
        let searches = Arc::new(Turns::new(SEARCHES_MAX, SEARCHES_PER_HANDLE_MAX));
        let (running, sweeps) = (Arc::default(), Arc::default());
        ContextStore { desk, library, turns, searches, running, sweeps, waits_percent, bytes_per_handle_max }
    }

    /// One source of a handle.
    pub async fn get(&self, handle: &Handle, id: SourceId) -> Result<Option<Source>, StoreError> {
        self.desk.store.source(handle, id).await
    }

    /// A handle's sources, newest first.
    pub async fn list(&self, handle: &Handle, page: PageRequest) -> Result<Page<Source>, StoreError> {
        self.desk.store.sources(handle, page).await
    }

    /// Makes a source, and begins its first sync.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewSource,
        once: Once<Source>,
    ) -> Result<Reply, SourceError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<SourceError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        // Before the handle is asked, and before a name server is: what is begun in one life of a handle must not
        // come into the next.
        let now = self.desk.clock.now();
        self.admit(&caller).await?;
        let config = self.library.check(new.config).await?;
        let id = new_id(&*self.desk.ids, now);
        let source = Source::new(id, caller.handle.clone(), new.name, &config, now);
        let (answer, idempotency) = once.answer_to(&source, now);
        let told = json!({ "name": source.name, "kind": source.kind, "location": source.location });
        let audit =
            caller.audit_of(now, "context_source.created", id.to_string(), changed(None, Some(&told)));
        let context = caller.context(idempotency, Some(audit));
        let written = match self.desk.store.create_source(source.clone(), config, SOURCES_MAX, context).await
        {
            // The id is new, so it is the limit, or the handle's end.
            Err(StoreError::Conflict) => {
                let owns = self.desk.owns(&source.handle, now).await?;
                return Err(if owns { SourceError::TooMany } else { Closed::NotFound.into() });
            }
            written => written?,
        };
        if let Written::Done(()) = written {
            self.spawn(&source);
        }
        Ok(once.reply(written, answer)?)
    }

    /// Changes a source. With other documents, a sync begins; what is searchable stays so until that ends.
    pub async fn change(
        &self,
        caller: Caller,
        id: SourceId,
        patch: SourcePatch,
        once: Once<Source>,
    ) -> Result<Reply, SourceError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<SourceError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        self.admit(&caller).await?;
        for _ in 0..DECISIONS_MAX {
            let source = self.get(&caller.handle, id).await?.ok_or(SourceError::NotFound)?;
            let config = self.checked(&caller.handle, id, patch.config.clone()).await?;
            let now = self.desk.clock.now();
            let changed_to = source.change(patch.name.clone(), config.as_ref(), now);
            let (answer, idempotency) = once.answer_to(&changed_to, now);
            let told = |source: &Source| json!({ "name": source.name, "location": source.location });
            let told = changed(Some(&told(&source)), Some(&told(&changed_to)));
            let audit = caller.audit_of(now, "context_source.changed", id.to_string(), told);
            let context = caller.context(idempotency, Some(audit));
            let is_to_run = config.is_some();
            let store = &self.desk.store;
            let written = match config {
                Some(config) => store.change_source(changed_to.clone(), config, context).await,
                None => store.move_source(changed_to.clone(), context).await,
            };
            match written {
                Err(StoreError::Conflict) => {}
                written => {
                    let written = written?;
                    // One that runs finds out at its next write, and begins again.
                    if let (Written::Done(()), true) = (&written, is_to_run) {
                        self.spawn(&changed_to);
                    }
                    return Ok(once.reply(written, answer)?);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Where documents come from after a change; none if that stays.
    async fn checked(
        &self,
        handle: &Handle,
        id: SourceId,
        patch: ConfigPatch,
    ) -> Result<Option<Config>, SourceError> {
        let config = self.desk.store.source_config(handle, id).await?.ok_or(SourceError::NotFound)?;
        let patched = config
            .patched(patch)
            .map_err(|foreign| RefusedSource { field: foreign.field, reason: foreign.to_string() })?;
        match patched {
            Some(config) => Ok(Some(self.library.check(config).await?)),
            None => Ok(None),
        }
    }

    /// Asks for a sync of a source, or joins the one that runs.
    pub async fn sync(&self, caller: Caller, id: SourceId, once: Once<Source>) -> Result<Reply, SourceError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<SourceError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        self.admit(&caller).await?;
        for _ in 0..DECISIONS_MAX {
            let source = self.get(&caller.handle, id).await?.ok_or(SourceError::NotFound)?;
            let now = self.desk.clock.now();
            let Some(asked) = source.ask_for_sync(now) else {
                // Its task may have met a fault of ours that kept it from writing the end.
                self.spawn(&source);
                return self.joined(&source, once, now).await;
            };
            let (answer, idempotency) = once.answer_to(&asked, now);
            let audit = caller.audit(now, "context_source.sync_asked", id.to_string());
            let context = caller.context(idempotency, Some(audit));
            match self.desk.store.move_source(asked.clone(), context).await {
                Err(StoreError::Conflict) => {}
                written => {
                    let written = written?;
                    if let Written::Done(()) = written {
                        self.spawn(&asked);
                    }
                    return Ok(once.reply(written, answer)?);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Answers that a sync is under way. That is no write, so nothing is paid for; what was answered is remembered
    /// under the key all the same: repeated later, it must not ask for another sync.
    async fn joined(
        &self,
        source: &Source,
        once: Once<Source>,
        now: Timestamp,
    ) -> Result<Reply, SourceError> {
        let (answer, idempotency) = once.answer_to(source, now);
        if idempotency.is_none() {
            return Ok(Reply { answer, replayed: false });
        }
        let append = Append { context: Context { idempotency, ..Context::default() }, ..Append::default() };
        let written = self.desk.store.append(append).await?;
        Ok(once.reply(written, answer)?)
    }

    /// Removes a source. When this returns, no search finds anything of it.
    pub async fn remove(&self, caller: Caller, id: SourceId, once: Once<()>) -> Result<Reply, SourceError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<SourceError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        self.admit(&caller).await?;
        let now = self.desk.clock.now();
        let (answer, idempotency) = once.answer_to(&(), now);
        let audit = caller.audit(now, "context_source.removed", id.to_string());
        let context = caller.context(idempotency, Some(audit));
        match self.desk.store.remove_source(&caller.handle, id, context).await {
            Err(StoreError::Conflict) => Err(SourceError::NotFound),
            written => {
                self.sweeps.notify_one();
                Ok(once.reply(written?, answer)?)
            }
        }
    }

    /// Searches a handle's documents: the best pieces first, at most [`RESULTS_MAX`] of them over all
    /// pages. A sync that ends between two pages may move what is on the second.
    pub async fn search(
        &self,
        handle: &Handle,
        text: &str,
        source: Option<SourceId>,
        page: PageRequest,
    ) -> Result<Page<Hit>, StoreError> {
        let query = Query::parse(text);
        let most = u128::from(RESULTS_MAX);
        let skip = page.before.map_or(0, |before| u128::from_be_bytes(before).min(most)) as u32;
        let limit = page.limit.min(RESULTS_MAX - skip);
        let search = Search { query: query.clone(), source, skip, limit: limit + 1 };
        let taking = self.searches.take(handle);
        let Ok(turn) = tokio::time::timeout(SEARCH_WAIT, taking).await else {
            let reason = "too many searches at a time".to_owned();
            return Err(StoreError::Unavailable { reason });
        };
        let mut found = self.desk.store.search_chunks(handle, search).await?;
        drop(turn);
        let more = found.len() > limit as usize && skip + limit < RESULTS_MAX;
        found.truncate(limit as usize);
        let items = found.into_iter().map(|found| Hit {
            source: found.source,
            snippet: query.snippet(&found.chunk.text),
            chunk: found.chunk,
        });
        Ok(Page { items: items.collect(), next: more.then(|| u128::from(skip + limit).to_be_bytes()) })
    }

    async fn admit(&self, caller: &Caller) -> Result<(), SourceError> {
        Ok(self.desk.snapshots.get(&caller.handle).await?.account.admits_writes()?)
    }
}
