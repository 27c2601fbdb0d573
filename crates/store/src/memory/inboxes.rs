//! Inboxes, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use angarium_domain::handle::Handle;
use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{Item, Mark, Reader, Reading, Stock};
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::inboxes::{Inboxes, ItemFilter, Marked, Marking, News, Opened, number_at, position};
use crate::page::{Page, PageRequest};

/// The inbox of one handle.
#[derive(Default)]
pub(super) struct Inbox {
    stock: Stock,
    items: BTreeMap<u64, Arc<Item>>,
    readings: BTreeMap<Reader, Reading>,
    marks: BTreeMap<(u64, Reader), Mark>,
}

#[async_trait]
impl Inboxes for MemoryStore {
    async fn items(
        &self,
        handle: &Handle,
        reader: &Reader,
        filter: ItemFilter,
        page: PageRequest,
    ) -> Result<Opened<Page<Marked>>, StoreError> {
        Ok(self.lock().open(handle, reader, |inbox| {
            let older = inbox.items.range(..number_at(page.before)).rev();
            let marked = older.map(|(number, item)| inbox.marked(*number, item, reader));
            let found = marked.filter(|marked| matches(&filter, marked)).take(page.limit as usize + 1);
            Page::cut(found.collect(), page.limit, |marked: &Marked| position(marked.number))
        }))
    }

    async fn item(
        &self,
        handle: &Handle,
        reader: &Reader,
        id: ItemId,
    ) -> Result<Opened<Option<Marked>>, StoreError> {
        Ok(self.lock().open(handle, reader, |inbox| {
            let found = inbox.items.iter().find(|(_, item)| item.id == id);
            found.map(|(number, item)| inbox.marked(*number, item, reader))
        }))
    }

    async fn unread(
        &self,
        handle: &Handle,
        reader: &Reader,
        until: Timestamp,
        after: u64,
        limit: u32,
    ) -> Result<Opened<Vec<(u64, Mark)>>, StoreError> {
        Ok(self.lock().open(handle, reader, |inbox| {
            let newer = inbox.items.range(after.saturating_add(1)..);
            let by_then = newer.filter(|(_, item)| item.created_at <= until);
            let marks = by_then.map(|(number, _)| (*number, inbox.mark_of(*number, reader)));
            marks.filter(|(_, mark)| mark.is_unread()).take(limit as usize).collect()
        }))
    }

    async fn news(
        &self,
        handle: &Handle,
        after: u64,
        limit: u32,
        readers: Vec<Reader>,
    ) -> Result<News, StoreError> {
        let contents = self.lock();
        let none = Inbox::default();
        let inbox = contents.inboxes.get(handle).unwrap_or(&none);
        let newer = inbox.items.range(after.saturating_add(1)..);
        Ok(News {
            stock: inbox.stock,
            readings: readers.iter().map(|reader| inbox.reading(reader)).collect(),
            items: newer.map(|(number, item)| (*number, item.clone())).take(limit as usize).collect(),
        })
    }
}

fn matches(filter: &ItemFilter, marked: &Marked) -> bool {
    let Marked { item, mark, .. } = marked;
    filter.unread.is_none_or(|unread| unread == mark.read_at.is_none())
        && filter.archived.is_none_or(|archived| archived == mark.archived_at.is_some())
        && filter.item_type.as_ref().is_none_or(|wanted| *wanted == item.item_type)
}

impl Inbox {
    fn reading(&self, reader: &Reader) -> Reading {
        self.readings.get(reader).copied().unwrap_or_default()
    }

    fn mark_of(&self, number: u64, reader: &Reader) -> Mark {
        self.marks.get(&(number, reader.clone())).copied().unwrap_or_default()
    }

    fn marked(&self, number: u64, item: &Arc<Item>, reader: &Reader) -> Marked {
        Marked { number, item: item.clone(), mark: self.mark_of(number, reader) }
    }

    /// Forgets one item for everybody, and answers how many rows went with it.
    fn forget(&mut self, number: u64) -> u32 {
        self.items.remove(&number);
        let gone: Vec<_> = self
            .marks
            .iter()
            .filter(|((of, _), _)| *of == number)
            .map(|(key, mark)| (key.clone(), *mark))
            .collect();
        for (key, mark) in &gone {
            let reading = self.readings.get_mut(&key.1).expect("whoever marks has a reading");
            *reading = reading.without(*mark);
            self.marks.remove(key);
        }
        self.stock = self.stock.without(1);
        1 + gone.len() as u32
    }
}

impl Contents {
    fn open<T>(&self, handle: &Handle, reader: &Reader, find: impl FnOnce(&Inbox) -> T) -> Opened<T> {
        let none = Inbox::default();
        let inbox = self.inboxes.get(handle).unwrap_or(&none);
        Opened { stock: inbox.stock, reading: inbox.reading(reader), found: find(inbox) }
    }

    pub(super) fn has_item(&self, item: &Item) -> bool {
        let inbox = self.inboxes.get(&item.handle);
        inbox.is_some_and(|inbox| inbox.items.values().any(|known| known.id == item.id))
    }

    pub(super) fn put_item(&mut self, item: Arc<Item>) {
        let inbox = self.inboxes.entry(item.handle.clone()).or_default();
        inbox.stock = inbox.stock.with_one_more();
        inbox.items.insert(inbox.stock.last, item);
    }

    pub(super) fn may_mark(&self, marking: &Marking) -> bool {
        let opened = self.open(&marking.handle, &marking.reader, |_| ());
        (opened.stock.version, opened.reading.version) == marking.decided_upon
    }

    pub(super) fn mark(&mut self, marking: &Marking) {
        let Marking { handle, reader, reading, marks, .. } = marking;
        let inbox = self.inboxes.entry(handle.clone()).or_default();
        inbox.readings.insert(reader.clone(), *reading);
        inbox.marks.extend(marks.iter().map(|(number, mark)| ((*number, reader.clone()), *mark)));
    }

    /// Forgets items, oldest first, until `limit` rows are gone, and answers how many items those were.
    pub(super) fn forget_items(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let mut old: Vec<_> = self
            .inboxes
            .iter()
            .flat_map(|(handle, inbox)| inbox.items.iter().map(move |(number, item)| (handle, number, item)))
            .filter(|(_, _, item)| {
                item.created_at < cutoffs.items_before
                    || item.expires_at.is_some_and(|end| end <= cutoffs.items_ended_by)
            })
            .map(|(handle, number, item)| (item.created_at, handle.clone(), *number))
            .collect();
        old.sort();
        let (mut rows, mut items) = (0, 0);
        for (_, handle, number) in old {
            if rows >= limit {
                break;
            }
            let inbox = self.inboxes.get_mut(&handle).expect("it was found there");
            rows += inbox.forget(number);
            items += 1;
        }
        items
    }

    /// Removes what is left of a handle's inbox.
    pub(super) fn clear_inbox(&mut self, handle: &Handle) -> usize {
        self.inboxes
            .remove(handle)
            .map_or(0, |inbox| 1 + inbox.items.len() + inbox.readings.len() + inbox.marks.len())
    }
}
