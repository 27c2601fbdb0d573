//! Inboxes, in `SQLite`.

use std::sync::Arc;

use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{ActionUrl, Item, Mark, Reader, Reading, Stock};
use angarium_domain::payload::Payload;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::fault::Tried;
use super::row;
use crate::error::StoreError;
use crate::inboxes::{Inboxes, ItemFilter, Marked, Marking, News, Opened, number_at, position};
use crate::page::{Page, PageRequest};
use crate::statements;

#[async_trait]
impl Inboxes for SqliteStore {
    async fn items(
        &self,
        handle: &Handle,
        reader: &Reader,
        filter: ItemFilter,
        page: PageRequest,
    ) -> Result<Opened<Page<Marked>>, StoreError> {
        let opened = self.open_inbox(handle, reader, move |db, handle, reader| {
            let mut statement = db.prepare_cached(statements::INBOX_ITEMS)?;
            let asked = params![
                reader.as_str(),
                handle.as_str(),
                number_at(page.before) as i64,
                filter.item_type.as_ref().map(EventType::as_str),
                filter.unread,
                filter.archived,
                page.limit + 1,
            ];
            statement.query_and_then(asked, |row| marked(row, handle))?.collect::<Tried<Vec<_>>>()
        });
        let Opened { stock, reading, found } = opened.await?;
        let found = Page::cut(found, page.limit, |marked: &Marked| position(marked.number));
        Ok(Opened { stock, reading, found })
    }

    async fn item(
        &self,
        handle: &Handle,
        reader: &Reader,
        id: ItemId,
    ) -> Result<Opened<Option<Marked>>, StoreError> {
        self.open_inbox(handle, reader, move |db, handle, reader| {
            let mut statement = db.prepare_cached(statements::INBOX_ITEM)?;
            let asked = params![reader.as_str(), handle.as_str(), id.as_bytes()];
            let mut rows = statement.query_and_then(asked, |row| marked(row, handle))?;
            rows.next().transpose()
        })
        .await
    }

    async fn unread(
        &self,
        handle: &Handle,
        reader: &Reader,
        until: Timestamp,
        after: u64,
        limit: u32,
    ) -> Result<Opened<Vec<(u64, Mark)>>, StoreError> {
        self.open_inbox(handle, reader, move |db, handle, reader| {
            let mut statement = db.prepare_cached(statements::INBOX_UNREAD)?;
            let asked = params![reader.as_str(), handle.as_str(), after as i64, until.as_millis(), limit];
            statement
                .query_and_then(asked, |row| {
                    let number: i64 = row.get(0)?;
                    Ok((number as u64, mark_in(row, 1)?))
                })?
                .collect()
        })
        .await
    }

    async fn news(
        &self,
        handle: &Handle,
        after: u64,
        limit: u32,
        readers: Vec<Reader>,
    ) -> Result<News, StoreError> {
        let handle = handle.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::INBOX_NEWS)?;
            let asked = params![handle.as_str(), after as i64, limit];
            let items = statement.query_and_then(asked, |row| {
                let number: i64 = row.get(0)?;
                Ok((number as u64, Arc::new(item(row, &handle)?)))
            })?;
            Ok(News {
                stock: stock(db, &handle)?,
                readings: readers.iter().map(|reader| reading(db, &handle, reader)).collect::<Tried<_>>()?,
                items: items.collect::<Tried<_>>()?,
            })
        })
        .await
    }
}

impl SqliteStore {
    /// Reads something of an inbox, and what counts are made of: a read is of one moment.
    async fn open_inbox<T, F>(
        &self,
        handle: &Handle,
        reader: &Reader,
        find: F,
    ) -> Result<Opened<T>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Handle, &Reader) -> Tried<T> + Send + 'static,
    {
        let (handle, reader) = (handle.clone(), reader.clone());
        self.read(move |db| {
            Ok(Opened {
                stock: stock(db, &handle)?,
                reading: reading(db, &handle, &reader)?,
                found: find(db, &handle, &reader)?,
            })
        })
        .await
    }
}

pub(super) fn may_mark(db: &Connection, marking: &Marking) -> Tried<bool> {
    let Marking { handle, reader, .. } = marking;
    let versions = (stock(db, handle)?.version, reading(db, handle, reader)?.version);
    Ok(versions == marking.decided_upon)
}

pub(super) fn mark(db: &Connection, marking: &Marking) -> Tried<()> {
    let Marking { handle, reader, reading, marks, .. } = marking;
    put_reading(db, handle, reader.as_str(), reading)?;
    let mut statement = db.prepare_cached(statements::PUT_INBOX_MARK)?;
    for (number, Mark { seen_at, read_at, archived_at, was_read }) in marks {
        let millis = |time: &Option<Timestamp>| time.map(Timestamp::as_millis);
        statement.execute(params![
            handle.as_str(),
            reader.as_str(),
            *number as i64,
            millis(seen_at),
            millis(read_at),
            millis(archived_at),
            was_read,
        ])?;
    }
    Ok(())
}

pub(super) fn put_item(db: &Connection, item: &Item) -> Tried<()> {
    let stock = stock(db, &item.handle)?.with_one_more();
    db.prepare_cached(statements::PUT_INBOX_ITEM)?.execute(params![
        item.handle.as_str(),
        stock.last as i64,
        item.id.as_bytes(),
        item.item_type.as_str(),
        item.title,
        item.body,
        item.data.as_ref().map(|data| &data.as_bytes()[..]),
        item.action_url.as_ref().map(ActionUrl::as_str),
        item.created_at.as_millis(),
        item.expires_at.map(Timestamp::as_millis),
    ])?;
    put_stock(db, &item.handle, &stock)
}

/// Forgets items, by age and then by their own end, until `limit` rows are gone, and answers how many
/// items those were.
pub(super) fn forget_items(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let (before, ended_by) = (cutoffs.items_before.as_millis(), cutoffs.items_ended_by.as_millis());
    let mut old = numbers(db, statements::OLD_INBOX_ITEMS, params![before, limit])?;
    old.extend(numbers(db, statements::ENDED_INBOX_ITEMS, params![ended_by, before, limit])?);
    let (mut rows, mut items) = (0, 0);
    for (handle, number) in old {
        if rows >= limit as usize {
            break;
        }
        rows += forget_item(db, &handle, number)?;
        items += 1;
    }
    Ok(items)
}

fn numbers(db: &Connection, sql: &str, asked: impl Params) -> Tried<Vec<(Handle, i64)>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_and_then(asked, |row| Ok((row::handle(row, 0)?, row.get(1)?)))?;
    rows.collect()
}

/// Forgets one item for everybody, and answers how many rows went with it.
fn forget_item(db: &Connection, handle: &Handle, number: i64) -> Tried<usize> {
    let key = params![handle.as_str(), number];
    let mut marks = db.prepare_cached(statements::INBOX_MARKS_OF_ITEM)?;
    let marks = marks.query_and_then(key, |row| Ok((row.get(0)?, mark_in(row, 1)?)))?;
    let marks: Vec<(String, Mark)> = marks.collect::<Tried<_>>()?;
    for (reader, mark) in &marks {
        let reading = reading_of(db, handle, reader)?.without(*mark);
        put_reading(db, handle, reader, &reading)?;
    }
    db.prepare_cached(statements::FORGET_INBOX_MARKS)?.execute(key)?;
    db.prepare_cached(statements::FORGET_INBOX_ITEM)?.execute(key)?;
    put_stock(db, handle, &stock(db, handle)?.without(1))?;
    Ok(1 + marks.len())
}

fn stock(db: &Connection, handle: &Handle) -> Tried<Stock> {
    let mut statement = db.prepare_cached(statements::INBOX)?;
    let stock = statement.query_row([handle.as_str()], |row| {
        let numbers: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Stock { version: numbers.0 as u64, last: numbers.1 as u64, items: numbers.2 as u64 })
    });
    Ok(stock.optional()?.unwrap_or_default())
}

fn put_stock(db: &Connection, handle: &Handle, stock: &Stock) -> Tried<()> {
    let row = params![handle.as_str(), stock.version as i64, stock.last as i64, stock.items as i64];
    db.prepare_cached(statements::PUT_INBOX)?.execute(row)?;
    Ok(())
}

fn reading(db: &Connection, handle: &Handle, reader: &Reader) -> Tried<Reading> {
    reading_of(db, handle, reader.as_str())
}

fn reading_of(db: &Connection, handle: &Handle, reader: &str) -> Tried<Reading> {
    let mut statement = db.prepare_cached(statements::INBOX_READING)?;
    let reading = statement.query_row(params![handle.as_str(), reader], |row| {
        let numbers: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Reading { version: numbers.0 as u64, read: numbers.1 as u64, seen: numbers.2 as u64 })
    });
    Ok(reading.optional()?.unwrap_or_default())
}

fn put_reading(db: &Connection, handle: &Handle, reader: &str, reading: &Reading) -> Tried<()> {
    let Reading { version, read, seen } = *reading;
    let row = params![handle.as_str(), reader, version as i64, read as i64, seen as i64];
    db.prepare_cached(statements::PUT_INBOX_READING)?.execute(row)?;
    Ok(())
}

fn marked(row: &Row<'_>, handle: &Handle) -> Tried<Marked> {
    let number: i64 = row.get(0)?;
    Ok(Marked { number: number as u64, item: Arc::new(item(row, handle)?), mark: mark_in(row, 9)? })
}

/// An item, in the columns after its number.
fn item(row: &Row<'_>, handle: &Handle) -> Tried<Item> {
    let data = row.get_ref(5)?.as_blob_or_null()?;
    Ok(Item {
        id: row::id(row, 1)?,
        handle: handle.clone(),
        item_type: row::parsed(row, 2)?,
        title: row.get(3)?,
        body: row.get(4)?,
        data: data.map(|data| Payload::from_stored(Bytes::copy_from_slice(data))),
        action_url: row.get_ref(6)?.as_str_or_null()?.map(ActionUrl::from_stored),
        created_at: row::time(row, 7)?,
        expires_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
    })
}

/// A mark, which is not there if its reader did nothing.
fn mark_in(row: &Row<'_>, first: usize) -> Tried<Mark> {
    let time =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis));
    Ok(Mark {
        seen_at: time(first)?,
        read_at: time(first + 1)?,
        archived_at: time(first + 2)?,
        was_read: row.get::<_, Option<bool>>(first + 3)?.unwrap_or_default(),
    })
}
