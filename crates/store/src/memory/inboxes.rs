//! Inboxes, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use angarium_domain::handle::Handle;
use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{Item, Mark, Reader, Reading, Stock};
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::accounts::remove_some;
use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::inboxes::{
    Inboxes, ItemFilter, LOOKED_AT_MAX, Marked, Marking, News, Opened, Unread, number_at, position,
    position_at,
};
use crate::page::{Page, PageRequest};

/// The inbox of one handle.
#[derive(Default)]
pub(super) struct Inbox {
    stock: Stock,
    items: BTreeMap<u64, Arc<Item>>,
    /// Those of items that are leaving count.
    readings: BTreeMap<Reader, Reading>,
    /// Items that are gone, and whose marks are not all gone yet.
    leaving: BTreeSet<u64>,
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
            let Some(top) = inbox.newest_below(number_at(page.before)) else {
                return Page { items: Vec::new(), next: None };
            };
            let floor = top.saturating_sub(LOOKED_AT_MAX - 1);
            let older = inbox.items.range(floor..=top).rev();
            let marked = older.map(|(number, item)| inbox.marked(*number, item, reader));
            let found = marked.filter(|marked| matches(&filter, marked)).take(page.limit as usize + 1);
            let found = Page::cut(found.collect(), page.limit, |marked: &Marked| position(marked.number));
            let next = found.next.or_else(|| inbox.newest_below(floor).map(position_at));
            Page { next, ..found }
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
    ) -> Result<Opened<Unread>, StoreError> {
        Ok(self.lock().open(handle, reader, |inbox| {
            let Some(first) = inbox.oldest_above(after) else { return Unread::default() };
            let top = first.saturating_add(LOOKED_AT_MAX - 1);
            let newer = inbox.items.range(first..=top);
            let by_then = newer.filter(|(_, item)| item.created_at <= until);
            let marks = by_then.map(|(number, _)| (*number, inbox.mark_of(*number, reader)));
            let marks: Vec<_> = marks.filter(|(_, mark)| mark.is_unread()).take(limit as usize).collect();
            let further = match marks.last() {
                Some((last, _)) if marks.len() == limit as usize => Some(*last),
                _ => inbox.oldest_above(top).map(|_| top),
            };
            Unread { marks, further }
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
        let kept = self.readings.get(reader).copied().unwrap_or_default();
        self.leaving_marks(reader).fold(kept, Reading::without)
    }

    /// What a reader did with items that are gone.
    fn leaving_marks(&self, reader: &Reader) -> impl Iterator<Item = Mark> {
        self.leaving.iter().map(|number| self.mark_of(*number, reader))
    }

    fn newest_below(&self, number: u64) -> Option<u64> {
        self.items.range(..number).next_back().map(|(number, _)| *number)
    }

    fn oldest_above(&self, number: u64) -> Option<u64> {
        self.items.range(number.saturating_add(1)..).next().map(|(number, _)| *number)
    }

    fn mark_of(&self, number: u64, reader: &Reader) -> Mark {
        self.marks.get(&(number, reader.clone())).copied().unwrap_or_default()
    }

    fn marked(&self, number: u64, item: &Arc<Item>, reader: &Reader) -> Marked {
        Marked { number, item: item.clone(), mark: self.mark_of(number, reader) }
    }

    /// Forgets an item for everybody; its marks are still there.
    fn forget(&mut self, number: u64) {
        self.items.remove(&number);
        self.stock = self.stock.without(1);
        self.leaving.insert(number);
    }

    /// Forgets marks of an item that is gone, and answers how many.
    fn forget_marks(&mut self, number: u64, limit: u32) -> u32 {
        let of_it = self.marks.iter().filter(|((of, _), _)| *of == number);
        let gone: Vec<_> = of_it.map(|(key, mark)| (key.clone(), *mark)).take(limit as usize).collect();
        for (key, mark) in &gone {
            let reading = self.readings.get_mut(&key.1).expect("whoever marks has a reading");
            *reading = reading.without(*mark);
            self.marks.remove(key);
        }
        if !self.marks.keys().any(|(of, _)| *of == number) {
            self.leaving.remove(&number);
        }
        gone.len() as u32
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
        let kept = inbox.leaving_marks(reader).fold(*reading, Reading::with);
        inbox.readings.insert(reader.clone(), kept);
        inbox.marks.extend(marks.iter().map(|(number, mark)| ((*number, reader.clone()), *mark)));
    }

    /// Forgets items, by age, by their own end, and those of inboxes that hold too much, and marks of
    /// those that are gone: at most `limit` rows. Answers how many of each.
    pub(super) fn forget_items(&mut self, cutoffs: Cutoffs, limit: u32) -> (u64, u64) {
        let (mut left, mut items) = (limit, 0);
        let leaving = self.inboxes.iter().flat_map(|(handle, inbox)| {
            inbox.leaving.iter().map(|number| (handle.clone(), *number)).collect::<Vec<_>>()
        });
        for (handle, number) in leaving.collect::<Vec<_>>() {
            left -= self.inbox(&handle).forget_marks(number, left);
        }
        let mut old =
            self.items_that(|item| (item.created_at < cutoffs.items_before).then_some(item.created_at));
        old.extend(self.items_that(|item| {
            item.expires_at
                .filter(|end| *end <= cutoffs.items_ended_by && item.created_at >= cutoffs.items_before)
        }));
        for (handle, number) in old {
            if left == 0 {
                break;
            }
            let inbox = self.inbox(&handle);
            inbox.forget(number);
            (left, items) = (left - 1, items + 1);
            left -= inbox.forget_marks(number, left);
        }
        let most = cutoffs.items_max.unwrap_or(u64::MAX);
        for inbox in self.inboxes.values_mut() {
            while left > 0 && inbox.stock.items > most {
                let oldest = inbox.oldest_above(0).expect("it holds more than that");
                inbox.forget(oldest);
                (left, items) = (left - 1, items + 1);
                left -= inbox.forget_marks(oldest, left);
            }
        }
        (items, u64::from(limit - left) - items)
    }

    fn inbox(&mut self, handle: &Handle) -> &mut Inbox {
        self.inboxes.get_mut(handle).expect("it was found there")
    }

    /// The items for which there is a time, in its order.
    fn items_that(&self, when: impl Fn(&Item) -> Option<Timestamp>) -> Vec<(Handle, u64)> {
        let all = self
            .inboxes
            .iter()
            .flat_map(|(handle, inbox)| inbox.items.iter().map(move |(number, item)| (handle, number, item)));
        let mut found: Vec<_> =
            all.filter_map(|(handle, number, item)| Some((when(item)?, handle.clone(), *number))).collect();
        found.sort();
        found.into_iter().map(|(_, handle, number)| (handle, number)).collect()
    }

    /// Removes what belongs to a handle, at most `limit` rows of each kind, and answers how many there
    /// were. The inbox's own numbers stay.
    pub(super) fn clear_inbox(&mut self, handle: &Handle, limit: usize) -> usize {
        let Some(inbox) = self.inboxes.get_mut(handle) else { return 0 };
        let items = remove_some(&mut inbox.items, limit, |_| true);
        if items > 0 {
            inbox.stock = inbox.stock.without(items as u64);
        }
        let marks = remove_some(&mut inbox.marks, limit, |_| true);
        if items + marks > 0 {
            return items + marks;
        }
        inbox.leaving.clear();
        let readers: Vec<Reader> = inbox.readings.keys().take(limit).cloned().collect();
        for reader in &readers {
            let gone = inbox.readings.remove(reader).expect("it was found there");
            inbox.stock = inbox.stock.outliving(&gone);
        }
        readers.len()
    }
}
