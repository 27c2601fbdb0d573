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
use crate::inboxes::{
    Inboxes, ItemFilter, LOOKED_AT_MAX, Marked, Marking, News, Opened, Unread, number_at, position,
    position_at,
};
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
        self.open_inbox(handle, reader, move |db, handle, reader| items(db, handle, reader, &filter, page))
            .await
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
    ) -> Result<Opened<Unread>, StoreError> {
        self.open_inbox(handle, reader, move |db, handle, reader| {
            unread(db, handle, reader, until, after, limit)
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
                readings: readings(db, &handle, &readers)?,
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
                reading: reading(db, &handle, reader.as_str())?,
                found: find(db, &handle, &reader)?,
            })
        })
        .await
    }
}

pub(super) fn may_mark(db: &Connection, marking: &Marking) -> Tried<bool> {
    let Marking { handle, reader, .. } = marking;
    let versions = (stock(db, handle)?.version, kept_reading(db, handle, reader.as_str())?.version);
    Ok(versions == marking.decided_upon)
}

pub(super) fn mark(db: &Connection, marking: &Marking) -> Tried<()> {
    let Marking { handle, reader, reading, marks, .. } = marking;
    // What the reader did with items that are gone is still to be taken off what is kept.
    let leaving = leaving_marks(db, handle, &leaving_of(db, handle)?, reader.as_str())?;
    let kept = leaving.into_iter().fold(*reading, Reading::with);
    put_reading(db, handle, reader.as_str(), &kept)?;
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

/// A page of items, of a bounded part of the inbox.
fn items(
    db: &Connection,
    handle: &Handle,
    reader: &Reader,
    filter: &ItemFilter,
    page: PageRequest,
) -> Tried<Page<Marked>> {
    let Some(top) = newest_below(db, handle, number_at(page.before))? else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let floor = top.saturating_sub(LOOKED_AT_MAX - 1);
    let mut statement = db.prepare_cached(statements::INBOX_ITEMS)?;
    let asked = params![
        reader.as_str(),
        handle.as_str(),
        top as i64,
        floor as i64,
        filter.item_type.as_ref().map(EventType::as_str),
        filter.unread,
        filter.archived,
        page.limit + 1,
    ];
    let found = statement.query_and_then(asked, |row| marked(row, handle))?.collect::<Tried<Vec<_>>>()?;
    let mut found = Page::cut(found, page.limit, |marked: &Marked| position(marked.number));
    if found.next.is_none() {
        found.next = newest_below(db, handle, floor)?.map(position_at);
    }
    Ok(found)
}

/// The unread items of a bounded part of the inbox.
fn unread(
    db: &Connection,
    handle: &Handle,
    reader: &Reader,
    until: Timestamp,
    after: u64,
    limit: u32,
) -> Tried<Unread> {
    let Some(first) = oldest_above(db, handle, after)? else { return Ok(Unread::default()) };
    let top = first.saturating_add(LOOKED_AT_MAX - 1);
    let mut statement = db.prepare_cached(statements::INBOX_UNREAD)?;
    let asked = params![reader.as_str(), handle.as_str(), first as i64, top as i64, until.as_millis(), limit];
    let marks = statement.query_and_then(asked, |row| {
        let number: i64 = row.get(0)?;
        Ok((number as u64, mark_in(row, 1)?))
    })?;
    let marks: Vec<(u64, Mark)> = marks.collect::<Tried<_>>()?;
    let further = match marks.last() {
        Some((last, _)) if marks.len() == limit as usize => Some(*last),
        _ => oldest_above(db, handle, top)?.map(|_| top),
    };
    Ok(Unread { marks, further })
}

fn newest_below(db: &Connection, handle: &Handle, number: u64) -> Tried<Option<u64>> {
    let mut statement = db.prepare_cached(statements::NEWEST_INBOX_ITEM_BELOW)?;
    let found: Option<i64> =
        statement.query_row(params![handle.as_str(), number as i64], |row| row.get(0)).optional()?;
    Ok(found.map(|number| number as u64))
}

fn oldest_above(db: &Connection, handle: &Handle, number: u64) -> Tried<Option<u64>> {
    let asked = params![handle.as_str(), number as i64, 1];
    let found = numbers(db, statements::OLDEST_INBOX_ITEMS_ABOVE, asked)?;
    Ok(found.first().map(|(_, number)| *number as u64))
}

/// Forgets items, by age, by their own end, and those of inboxes that hold too much. An item goes at
/// once and for everybody; its marks go with it for as long as there is room for them in the batch, and
/// the others begin the next one. At most `limit` rows go, items and marks together; answers how many of
/// each went.
pub(super) fn forget_items(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<(u64, u64)> {
    let mut batch = Batch { left: limit, items: 0, marks: 0 };
    for (handle, number) in numbers(db, statements::LEAVING_INBOX_ITEMS, params![limit])? {
        batch.forget_marks(db, &handle, number)?;
    }
    let (before, ended_by) = (cutoffs.items_before.as_millis(), cutoffs.items_ended_by.as_millis());
    batch.forget(db, numbers(db, statements::OLD_INBOX_ITEMS, params![before, batch.left])?)?;
    let ended = numbers(db, statements::ENDED_INBOX_ITEMS, params![ended_by, before, batch.left])?;
    batch.forget(db, ended)?;
    if let Some(most) = cutoffs.items_max {
        let most = most.min(i64::MAX as u64) as i64;
        for (handle, items) in numbers(db, statements::OVERFULL_INBOXES, params![most, batch.left])? {
            let beyond = (items - most).min(i64::from(batch.left));
            let oldest = params![handle.as_str(), 0, beyond];
            batch.forget(db, numbers(db, statements::OLDEST_INBOX_ITEMS_ABOVE, oldest)?)?;
        }
    }
    Ok((batch.items, batch.marks))
}

/// Handles, each with a number.
fn numbers(db: &Connection, sql: &str, asked: impl Params) -> Tried<Vec<(Handle, i64)>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_and_then(asked, |row| Ok((row::handle(row, 0)?, row.get(1)?)))?;
    rows.collect()
}

/// What may still go in one transaction, and what went.
struct Batch {
    left: u32,
    items: u64,
    marks: u64,
}

impl Batch {
    fn forget(&mut self, db: &Connection, old: Vec<(Handle, i64)>) -> Tried<()> {
        for (handle, number) in old {
            if self.left == 0 {
                break;
            }
            db.prepare_cached(statements::FORGET_INBOX_ITEM)?.execute(params![handle.as_str(), number])?;
            put_stock(db, &handle, &stock(db, &handle)?.without(1))?;
            (self.left, self.items) = (self.left - 1, self.items + 1);
            self.forget_marks(db, &handle, number)?;
        }
        Ok(())
    }

    /// Forgets marks of an item that is gone, and remembers it if some are left.
    fn forget_marks(&mut self, db: &Connection, handle: &Handle, number: i64) -> Tried<()> {
        let mut found = marks_of(db, handle, number, self.left.saturating_add(1))?;
        let is_all = found.len() <= self.left as usize;
        found.truncate(self.left as usize);
        for (reader, mark) in &found {
            let kept = kept_reading(db, handle, reader)?.without(*mark);
            put_reading(db, handle, reader, &kept)?;
            let key = params![handle.as_str(), reader, number];
            db.prepare_cached(statements::FORGET_INBOX_MARK)?.execute(key)?;
        }
        self.left -= found.len() as u32;
        self.marks += found.len() as u64;
        let after = if is_all { statements::END_LEAVING } else { statements::BEGIN_LEAVING };
        db.prepare_cached(after)?.execute(params![handle.as_str(), number])?;
        Ok(())
    }
}

fn marks_of(db: &Connection, handle: &Handle, number: i64, limit: u32) -> Tried<Vec<(String, Mark)>> {
    let mut statement = db.prepare_cached(statements::INBOX_MARKS_OF_ITEM)?;
    let asked = params![handle.as_str(), number, limit];
    statement.query_and_then(asked, |row| Ok((row.get(0)?, mark_in(row, 1)?)))?.collect()
}

/// Removes what belongs to a handle, at most `limit` rows of each kind, and answers how many there were.
/// Readers stay until nothing is left that their numbers count, and the inbox's own numbers for good.
pub(super) fn clear(db: &Connection, handle: &Handle, limit: u32) -> Tried<usize> {
    let of_it = params![handle.as_str(), limit];
    let items = db.prepare_cached(statements::CLEAR_INBOX_ITEMS)?.execute(of_it)?;
    if items > 0 {
        put_stock(db, handle, &stock(db, handle)?.without(items as u64))?;
    }
    let marks = db.prepare_cached(statements::CLEAR_INBOX_MARKS)?.execute(of_it)?;
    if items + marks > 0 {
        return Ok(items + marks);
    }
    db.prepare_cached(statements::CLEAR_INBOX_LEAVING)?.execute([handle.as_str()])?;
    let mut statement = db.prepare_cached(statements::CLEAR_INBOX_READINGS)?;
    let gone: Vec<Reading> = statement.query_and_then(of_it, reading_in)?.collect::<Tried<_>>()?;
    if !gone.is_empty() {
        put_stock(db, handle, &gone.iter().fold(stock(db, handle)?, Stock::outliving))?;
    }
    Ok(gone.len())
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

/// How far a reader is.
fn reading(db: &Connection, handle: &Handle, reader: &str) -> Tried<Reading> {
    reading_beside(db, handle, &leaving_of(db, handle)?, reader)
}

fn readings(db: &Connection, handle: &Handle, readers: &[Reader]) -> Tried<Vec<Reading>> {
    let leaving = leaving_of(db, handle)?;
    readers.iter().map(|reader| reading_beside(db, handle, &leaving, reader.as_str())).collect()
}

fn reading_beside(db: &Connection, handle: &Handle, leaving: &[i64], reader: &str) -> Tried<Reading> {
    let kept = kept_reading(db, handle, reader)?;
    Ok(leaving_marks(db, handle, leaving, reader)?.into_iter().fold(kept, Reading::without))
}

/// The numbers of items that are gone, and whose marks are not all gone: mostly none.
fn leaving_of(db: &Connection, handle: &Handle) -> Tried<Vec<i64>> {
    let mut statement = db.prepare_cached(statements::LEAVING_OF_INBOX)?;
    let numbers = statement.query_map([handle.as_str()], |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

fn leaving_marks(db: &Connection, handle: &Handle, leaving: &[i64], reader: &str) -> Tried<Vec<Mark>> {
    let mut marks = Vec::new();
    for number in leaving {
        let mut statement = db.prepare_cached(statements::INBOX_MARK)?;
        let mut found =
            statement.query_and_then(params![handle.as_str(), reader, number], |row| mark_in(row, 0))?;
        marks.extend(found.next().transpose()?);
    }
    Ok(marks)
}

/// A reader's numbers as they are kept: those of items that are leaving count.
fn kept_reading(db: &Connection, handle: &Handle, reader: &str) -> Tried<Reading> {
    let mut statement = db.prepare_cached(statements::INBOX_READING)?;
    let mut found = statement.query_and_then(params![handle.as_str(), reader], reading_in)?;
    Ok(found.next().transpose()?.unwrap_or_default())
}

fn reading_in(row: &Row<'_>) -> Tried<Reading> {
    let numbers: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(Reading { version: numbers.0 as u64, read: numbers.1 as u64, seen: numbers.2 as u64 })
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
