//! Sources of the context store, their documents in pieces, and searching them.

use angarium_domain::context::search::Query;
use angarium_domain::context::{Chunk, Config, Source};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SourceId;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// What to look for in a handle's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The words: a piece must hold one of them, in its text or its document's title.
    pub query: Query,
    /// Only in this source.
    pub source: Option<SourceId>,
    /// How many of the best are left out, because an earlier page had them.
    pub skip: u32,
    /// At most so many.
    pub limit: u32,
}

/// A piece that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of which source.
    pub source: SourceId,
    /// The piece.
    pub chunk: Chunk,
}

/// The context store.
///
/// Pieces are written under a number ([`Source::filling`]) while searches see those of another one
/// ([`Source::generation`]), and one write of the source makes the new ones seen: a search sees all of
/// a sync or nothing of it. A source is written only upon the revision before its own.
#[async_trait]
pub trait ContextStore: Send + Sync {
    /// Writes a new source.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its id is taken, if the handle has `limit` sources, or if the handle does not own
    /// what was begun when the source was made.
    async fn create_source(
        &self,
        source: Source,
        config: Config,
        limit: usize,
        context: Context,
    ) -> Result<Written<()>, StoreError>;

    /// One source of a handle.
    async fn source(&self, handle: &Handle, id: SourceId) -> Result<Option<Source>, StoreError>;

    /// Where a source's documents come from.
    async fn source_config(&self, handle: &Handle, id: SourceId) -> Result<Option<Config>, StoreError>;

    /// A handle's sources, newest first.
    async fn sources(&self, handle: &Handle, page: PageRequest) -> Result<Page<Source>, StoreError>;

    /// Every source with a sync that is asked for or under way: what to go on with after a restart.
    async fn syncing_sources(&self) -> Result<Vec<Source>, StoreError>;

    /// Writes a source's new state. Pieces under a number that the source no longer names are never
    /// seen again, and go by [`ContextStore::sweep_chunks`]. With events, this is
    /// [`Beside::Source`](crate::event_log::Beside::Source).
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the stored revision is not the one before, or there is no such source.
    async fn move_source(&self, source: Source, context: Context) -> Result<Written<()>, StoreError>;

    /// Writes a source's new state together with where its documents come from now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the stored revision is not the one before, or there is no such source.
    async fn change_source(
        &self,
        source: Source,
        config: Config,
        context: Context,
    ) -> Result<Written<()>, StoreError>;

    /// Removes a source: from now on no search finds anything of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if there is no such source.
    async fn remove_source(
        &self,
        handle: &Handle,
        id: SourceId,
        context: Context,
    ) -> Result<Written<()>, StoreError>;

    /// Adds pieces to those that are being written, in one short write.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the source is not there, or is not filling that number any more.
    async fn add_chunks(&self, source: &Source, chunks: Vec<Chunk>) -> Result<(), StoreError>;

    /// Removes pieces that nobody will see again: at most `limit`. Answers whether there may be more.
    async fn sweep_chunks(&self, limit: u32) -> Result<bool, StoreError>;

    /// The pieces of a handle that hold a word of the query, those first that hold more and rarer ones
    /// for their length. A query without words finds nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if it took longer than the engine gives a search.
    async fn search_chunks(&self, handle: &Handle, search: Search) -> Result<Vec<Found>, StoreError>;
}
