//! The context store, in memory: searches read everything.

use std::collections::{BTreeMap, BTreeSet};

use angarium_domain::context::search::Query;
use angarium_domain::context::{Chunk, Config, Source};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SourceId;
use async_trait::async_trait;

use super::MemoryStore;
use crate::context_store::{ContextStore, Found, Search};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Everything of the context store.
#[derive(Default)]
pub(super) struct Shelves {
    sources: BTreeMap<(Handle, SourceId), (Source, Config)>,
    chunks: BTreeMap<Volume, Vec<Chunk>>,
    /// What no search will see again.
    garbage: BTreeSet<(Handle, Volume)>,
}

/// The pieces that a source has under one number.
type Volume = (SourceId, u32);

#[async_trait]
impl ContextStore for MemoryStore {
    async fn create_source(
        &self,
        source: Source,
        config: Config,
        limit: usize,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.require_owner(&source.handle, source.created_at)?;
        let key = (source.handle.clone(), source.id);
        let shelves = &mut contents.shelves;
        if shelves.sources.contains_key(&key) || shelves.of(&source.handle).count() >= limit {
            return Err(StoreError::Conflict);
        }
        shelves.sources.insert(key, (source, config));
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn source(&self, handle: &Handle, id: SourceId) -> Result<Option<Source>, StoreError> {
        Ok(self.lock().shelves.sources.get(&(handle.clone(), id)).map(|(source, _)| source.clone()))
    }

    async fn source_config(&self, handle: &Handle, id: SourceId) -> Result<Option<Config>, StoreError> {
        Ok(self.lock().shelves.sources.get(&(handle.clone(), id)).map(|(_, config)| config.clone()))
    }

    async fn sources(&self, handle: &Handle, page: PageRequest) -> Result<Page<Source>, StoreError> {
        let contents = self.lock();
        let before = SourceId::from_bytes(page.before.unwrap_or([0xFF; 16]));
        let mut older: Vec<Source> =
            contents.shelves.of(handle).filter(|source| source.id < before).cloned().collect();
        older.reverse();
        older.truncate(page.limit as usize + 1);
        Ok(Page::cut(older, page.limit, |source| *source.id.as_bytes()))
    }

    async fn syncing_sources(&self) -> Result<Vec<Source>, StoreError> {
        let contents = self.lock();
        let sources = contents.shelves.sources.values().map(|(source, _)| source);
        Ok(sources.filter(|source| source.run.is_some()).cloned().collect())
    }

    async fn move_source(&self, source: Source, context: Context) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.shelves.check(&source)?;
        contents.shelves.put(&source);
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn change_source(
        &self,
        source: Source,
        config: Config,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.shelves.check(&source)?;
        contents.shelves.put(&source);
        contents.shelves.sources.insert((source.handle.clone(), source.id), (source, config));
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn remove_source(
        &self,
        handle: &Handle,
        id: SourceId,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        if !contents.shelves.remove(handle, id) {
            return Err(StoreError::Conflict);
        }
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn add_chunks(&self, source: &Source, chunks: Vec<Chunk>) -> Result<(), StoreError> {
        let shelves = &mut self.lock().shelves;
        let stored = shelves.sources.get(&(source.handle.clone(), source.id));
        let fills = |(stored, _): &(Source, Config)| stored.filling() == source.filling();
        if source.filling() == 0 || !stored.is_some_and(fills) {
            return Err(StoreError::Conflict);
        }
        shelves.chunks.entry((source.id, source.filling())).or_default().extend(chunks);
        Ok(())
    }

    async fn sweep_chunks(&self, limit: u32) -> Result<bool, StoreError> {
        let shelves = &mut self.lock().shelves;
        shelves.sweep(None, limit as usize);
        Ok(!shelves.garbage.is_empty())
    }

    async fn search_chunks(&self, handle: &Handle, search: Search) -> Result<Vec<Found>, StoreError> {
        Ok(self.lock().shelves.search(handle, &search))
    }
}

impl Shelves {
    fn of(&self, handle: &Handle) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(move |((owner, _), _)| owner == handle).map(|(_, (source, _))| source)
    }

    /// Whether a source is written upon the revision before its own.
    pub(super) fn check(&self, source: &Source) -> Result<(), StoreError> {
        let stored = self.sources.get(&(source.handle.clone(), source.id));
        let follows = |(stored, _): &(Source, Config)| stored.revision + 1 == source.revision;
        if stored.is_some_and(follows) { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Writes a source that was checked.
    pub(super) fn put(&mut self, source: &Source) {
        let Some((stored, _)) = self.sources.get_mut(&(source.handle.clone(), source.id)) else { return };
        let before = std::mem::replace(stored, source.clone());
        let named = [source.generation, source.filling()];
        self.discard(&before, |number| !named.contains(&number));
    }

    /// Removes a source. Answers whether it was there.
    fn remove(&mut self, handle: &Handle, id: SourceId) -> bool {
        let Some((source, _)) = self.sources.remove(&(handle.clone(), id)) else { return false };
        self.discard(&source, |_| true);
        true
    }

    fn discard(&mut self, source: &Source, is_garbage: impl Fn(u32) -> bool) {
        for number in [source.generation, source.filling()] {
            if number > 0 && is_garbage(number) {
                self.garbage.insert((source.handle.clone(), (source.id, number)));
            }
        }
    }

    /// Removes pieces that no search will see again, of one handle or of all: at most `limit`. Answers
    /// how much there was.
    fn sweep(&mut self, of: Option<&Handle>, limit: usize) -> usize {
        let mut left = limit;
        let mine = |(owner, _): &&(Handle, Volume)| of.is_none_or(|handle| owner == handle);
        let garbage: Vec<_> = self.garbage.iter().filter(mine).cloned().collect();
        for (owner, volume) in garbage {
            let chunks = self.chunks.entry(volume).or_default();
            let removed = chunks.len().min(left);
            chunks.truncate(chunks.len() - removed);
            left -= removed;
            if left == 0 {
                break;
            }
            self.chunks.remove(&volume);
            self.garbage.remove(&(owner, volume));
            left -= 1;
        }
        limit - left
    }

    /// Removes what belongs to a handle, as [`crate::Accounts::clear`] says.
    pub(super) fn clear(&mut self, handle: &Handle, limit: usize) -> usize {
        let sources: Vec<SourceId> = self.of(handle).map(|source| source.id).take(limit).collect();
        for id in &sources {
            self.remove(handle, *id);
        }
        sources.len() + self.sweep(Some(handle), limit)
    }

    fn search(&self, handle: &Handle, search: &Search) -> Vec<Found> {
        let seen = self.of(handle).filter(|source| source.is_searchable());
        let seen = seen.filter(|source| search.source.is_none_or(|only| source.id == only));
        let corpus = Corpus::of(self, &search.query);
        let mut found: Vec<(f64, Found)> = Vec::new();
        for source in seen {
            for chunk in self.chunks.get(&(source.id, source.generation)).into_iter().flatten() {
                let score = corpus.score(chunk, &search.query);
                if score > 0.0 {
                    found.push((score, Found { source: source.id, chunk: chunk.clone() }));
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let page = found.into_iter().skip(search.skip as usize).take(search.limit as usize);
        page.map(|(_, found)| found).collect()
    }
}

/// What the weight of a word depends on, over everything that is stored: BM25.
struct Corpus {
    average_length: f64,
    weights: BTreeMap<String, f64>,
}

impl Corpus {
    fn of(shelves: &Shelves, query: &Query) -> Corpus {
        let (mut count, mut length) = (0.0, 0.0);
        let mut holding: BTreeMap<String, f64> = BTreeMap::new();
        for chunk in shelves.chunks.values().flatten() {
            let words: Vec<String> = chunk.searched().collect();
            count += 1.0;
            length += words.len() as f64;
            for word in query.words().filter(|word| words.iter().any(|known| known == word)) {
                *holding.entry(word.to_owned()).or_default() += 1.0;
            }
        }
        let weight = |n: f64| ((count - n + 0.5) / (n + 0.5)).ln().max(1e-6);
        let weights = holding.into_iter().map(|(word, n)| (word, weight(n))).collect();
        Corpus { average_length: if count > 0.0 { length / count } else { 1.0 }, weights }
    }

    fn score(&self, chunk: &Chunk, query: &Query) -> f64 {
        let words: Vec<String> = chunk.searched().collect();
        let length = words.len() as f64 / self.average_length;
        let of_word = |word: &str| {
            let times = words.iter().filter(|known| *known == word).count() as f64;
            let weight = self.weights.get(word).copied().unwrap_or(0.0);
            weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length))
        };
        query.words().map(of_word).sum()
    }
}
