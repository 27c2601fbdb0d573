//! The context store, in `SQLite`: sources and their pieces. [`index`] has the words.

mod index;

use angarium_domain::context::{Chunk, Config, Source};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SourceId;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::accounts::require_owner;
use super::conditions::Conditions;
use super::context::SealedContext;
use super::fault::{Fault, Tried};
use super::row::{self, from_json, json};
use crate::context_store::{ContextStore, Found, Search};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::statements;
use crate::write::{Context, Written};
use index::Indexed;

#[async_trait]
impl ContextStore for SqliteStore {
    async fn create_source(
        &self,
        source: Source,
        config: Config,
        limit: usize,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        let config = self.key().seal(&config_row(&source.handle, source.id), &json(&config));
        self.write_once(context, move |db, context| {
            require_owner(db, &source.handle, source.created_at)?;
            let handle = source.handle.as_str();
            let count: i64 =
                db.prepare_cached(statements::COUNT_SOURCES)?.query_row([handle], |row| row.get(0))?;
            require((count as usize) < limit)?;
            db.prepare_cached(statements::INSERT_SOURCE)?.execute(params![
                handle,
                source.id.as_bytes(),
                source.revision as i64,
                source.run.is_some(),
                source.generation,
                source.filling(),
                json(&source),
                config
            ])?;
            context.note(db)
        })
        .await
    }

    async fn source(&self, handle: &Handle, id: SourceId) -> Result<Option<Source>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| stored(db, &handle, id)).await
    }

    async fn source_config(&self, handle: &Handle, id: SourceId) -> Result<Option<Config>, StoreError> {
        let (handle, key) = (handle.clone(), self.key().clone());
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::SOURCE_CONFIG)?;
            let key_of_row = params![handle.as_str(), id.as_bytes()];
            let sealed: Option<Vec<u8>> = statement.query_row(key_of_row, |row| row.get(0)).optional()?;
            let Some(sealed) = sealed else { return Ok(None) };
            let plain = key
                .open(&config_row(&handle, id), &sealed)
                .map_err(|error| Fault::corrupt(&id.to_string(), error))?;
            from_json(&plain).map(Some)
        })
        .await
    }

    async fn sources(&self, handle: &Handle, page: PageRequest) -> Result<Page<Source>, StoreError> {
        let mut query = Conditions::of(statements::SELECT_SOURCES, handle);
        if let Some(before) = page.before {
            query = query.and("id <", before.to_vec());
        }
        let query = query.first("id DESC", page.limit + 1);
        let items = self.read(move |db| query.query(db, source)).await?;
        Ok(Page::cut(items, page.limit, |source| *source.id.as_bytes()))
    }

    async fn syncing_sources(&self) -> Result<Vec<Source>, StoreError> {
        self.read(|db| db.prepare_cached(statements::SYNCING_SOURCES)?.query_and_then([], source)?.collect())
            .await
    }

    async fn move_source(&self, source: Source, context: Context) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            check_source(db, &source)?;
            put_source(db, &source)?;
            context.note(db)
        })
        .await
    }

    async fn change_source(
        &self,
        source: Source,
        config: Config,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        let config = self.key().seal(&config_row(&source.handle, source.id), &json(&config));
        self.write_once(context, move |db, context| {
            check_source(db, &source)?;
            put_source(db, &source)?;
            let row = params![config, source.handle.as_str(), source.id.as_bytes()];
            db.prepare_cached(statements::RESEAL_SOURCE)?.execute(row)?;
            context.note(db)
        })
        .await
    }

    async fn remove_source(
        &self,
        handle: &Handle,
        id: SourceId,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        let handle = handle.clone();
        self.write_once(context, move |db, context| {
            let there = stored(db, &handle, id)?;
            require(there.is_some())?;
            there.iter().try_for_each(|source| remove(db, source))?;
            context.note(db)
        })
        .await
    }

    async fn add_chunks(&self, source: &Source, chunks: Vec<Chunk>) -> Result<(), StoreError> {
        let (handle, id, filling) = (source.handle.clone(), source.id, source.filling());
        // Told apart here, so that the one thread that writes need not.
        let pieces: Vec<(Vec<u8>, Indexed)> =
            chunks.iter().map(|chunk| (json(chunk), Indexed::of(id, filling, chunk))).collect();
        self.write(move |db| {
            let key = params![handle.as_str(), id.as_bytes(), filling];
            require(filling > 0 && db.prepare_cached(statements::SOURCE_FILLS)?.exists(key)?)?;
            for (chunk, indexed) in &pieces {
                let row = params![handle.as_str(), id.as_bytes(), filling, chunk];
                db.prepare_cached(statements::INSERT_CHUNK)?.execute(row)?;
                indexed.insert(db, db.last_insert_rowid())?;
            }
            Ok(())
        })
        .await
    }

    async fn sweep_chunks(&self, limit: u32) -> Result<bool, StoreError> {
        self.write(move |db| {
            sweep(db, None, limit)?;
            Ok(db.prepare_cached(statements::ANY_GARBAGE)?.exists([])?)
        })
        .await
    }

    async fn search_chunks(&self, handle: &Handle, search: Search) -> Result<Vec<Found>, StoreError> {
        let handle = handle.clone();
        self.parts.searches.read(move |db| index::search(db, &handle, &search)).await
    }
}

/// Whether a source is written upon the revision before its own.
pub(super) fn check_source(db: &Connection, source: &Source) -> Tried<()> {
    let before = source.revision as i64 - 1;
    let key = params![source.handle.as_str(), source.id.as_bytes(), before];
    require(db.prepare_cached(statements::SOURCE_IS_AT)?.exists(key)?)
}

/// Writes a source that was checked.
pub(super) fn put_source(db: &Connection, source: &Source) -> Tried<()> {
    let Some(before) = stored(db, &source.handle, source.id)? else { return Ok(()) };
    db.prepare_cached(statements::PUT_SOURCE)?.execute(params![
        source.revision as i64,
        source.run.is_some(),
        source.generation,
        source.filling(),
        json(source),
        source.handle.as_str(),
        source.id.as_bytes()
    ])?;
    let named = [source.generation, source.filling()];
    discard(db, &before, |number| !named.contains(&number))
}

/// Removes what belongs to a handle: at most `limit` sources and as many pieces. Answers how much
/// there was.
pub(super) fn clear_sources(db: &Connection, handle: &Handle, limit: u32) -> Tried<usize> {
    let mut statement = db.prepare_cached(statements::SOURCES_TO_CLEAR)?;
    let sources = statement.query_and_then(params![handle.as_str(), limit], source)?;
    let sources: Vec<Source> = sources.collect::<Tried<_>>()?;
    sources.iter().try_for_each(|source| remove(db, source))?;
    Ok(sources.len() + sweep(db, Some(handle), limit)?)
}

/// The row that a source's configuration is sealed for.
pub(super) fn config_row(handle: &Handle, id: SourceId) -> String {
    format!("context source\n{handle}\n{id}")
}

fn remove(db: &Connection, source: &Source) -> Tried<()> {
    let key = params![source.handle.as_str(), source.id.as_bytes()];
    db.prepare_cached(statements::CLEAR_SOURCE)?.execute(key)?;
    discard(db, source, |_| true)
}

fn discard(db: &Connection, source: &Source, is_garbage: impl Fn(u32) -> bool) -> Tried<()> {
    for number in [source.generation, source.filling()] {
        if number > 0 && is_garbage(number) {
            let row = params![source.handle.as_str(), source.id.as_bytes(), number];
            db.prepare_cached(statements::DISCARD_CHUNKS)?.execute(row)?;
        }
    }
    Ok(())
}

/// Removes pieces that no search will see again, of one handle or of all: at most `limit`. Answers how
/// much there was.
fn sweep(db: &Connection, of: Option<&Handle>, limit: u32) -> Tried<usize> {
    let mut left = limit as usize;
    let mut swept = 0;
    while left > 0 {
        let Some((handle, source, number)) = some_garbage(db, of)? else { break };
        let mut statement = db.prepare_cached(statements::CHUNKS_TO_SWEEP)?;
        let rows = statement.query_map(params![source, number, left as i64], |row| row.get(0))?;
        let chunks: Vec<i64> = rows.collect::<Result<_, _>>()?;
        for chunk in &chunks {
            db.prepare_cached(statements::DELETE_WORDS)?.execute([chunk])?;
            db.prepare_cached(statements::CLEAR_CHUNK)?.execute([chunk])?;
        }
        left -= chunks.len();
        swept += chunks.len();
        if left > 0 {
            db.prepare_cached(statements::CLEAR_GARBAGE)?.execute(params![handle, source, number])?;
            left -= 1;
            swept += 1;
        }
    }
    Ok(swept)
}

fn some_garbage(db: &Connection, of: Option<&Handle>) -> Tried<Option<(String, Vec<u8>, u32)>> {
    let garbage = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found = match of {
        Some(handle) => {
            db.prepare_cached(statements::GARBAGE_OF)?.query_row([handle.as_str()], garbage).optional()?
        }
        None => db.prepare_cached(statements::GARBAGE)?.query_row([], garbage).optional()?,
    };
    Ok(found)
}

fn stored(db: &Connection, handle: &Handle, id: SourceId) -> Tried<Option<Source>> {
    let mut statement = db.prepare_cached(statements::SOURCE)?;
    let mut rows = statement.query_and_then(params![handle.as_str(), id.as_bytes()], source)?;
    rows.next().transpose()
}

fn source(row: &Row<'_>) -> Tried<Source> {
    from_json(row.get_ref(0)?.as_bytes()?)
}

fn found(row: &Row<'_>) -> Tried<Found> {
    Ok(Found { source: row::id(row, 0)?, chunk: from_json(row.get_ref(1)?.as_bytes()?)? })
}

fn require(holds: bool) -> Tried<()> {
    if holds { Ok(()) } else { Err(Fault::Refused(StoreError::Conflict)) }
}
