//! Inboxes: the items of handles, and how far each reader is with them.

use std::sync::Arc;

use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{Item, Mark, Reader, Reading, Stock};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};

/// Items that are looked at for one page at most, or for one part of what is unread, whether they are
/// answered or not: a few milliseconds of reading.
pub const LOOKED_AT_MAX: u64 = 2_000;

/// Which items to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemFilter {
    /// Those that the reader has not read, or those that the reader has.
    pub unread: Option<bool>,
    /// Those that the reader has put away, or those that the reader has not.
    pub archived: Option<bool>,
    /// Exactly this type.
    pub item_type: Option<EventType>,
}

/// An item as one reader has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Its place in the inbox.
    pub number: u64,
    /// The item.
    pub item: Arc<Item>,
    /// What the reader did with it.
    pub mark: Mark,
}

/// Something of an inbox, with what counts are made of: all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<T> {
    /// What the inbox holds.
    pub stock: Stock,
    /// How far the reader is.
    pub reading: Reading,
    /// What was asked for.
    pub found: T,
}

/// What is unread, in a part of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unread {
    /// The marks of items, by number, from old to new.
    pub marks: Vec<(u64, Mark)>,
    /// The number after which to go on; none if everything was looked at.
    pub further: Option<u64>,
}

/// What is new in an inbox, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What the inbox holds.
    pub stock: Stock,
    /// How far the readers are, in the order in which they were named.
    pub readings: Vec<Reading>,
    /// Items with their numbers, from old to new.
    pub items: Vec<(u64, Arc<Item>)>,
}

/// What a reader did with items, for [`crate::event_log::Beside`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marking {
    /// Whose inbox.
    pub handle: Handle,
    /// Who.
    pub reader: Reader,
    /// The versions of stock and reading that it was decided upon. Refused if either is another by now.
    pub decided_upon: (u64, u64),
    /// How far the reader is from now on.
    pub reading: Reading,
    /// The marks of items, by number, from now on.
    pub marks: Vec<(u64, Mark)>,
}

/// Inboxes. Items come and are marked by [`crate::EventLog::append`] and with settlements, as what is
/// [beside](crate::event_log::Beside) events; each gets the next number of its inbox when it is
/// written, and whoever sees a number can see every lower one. They go by [`crate::Upkeep::forget`]:
/// an item at once and for everybody, and what was done with it in batches. The numbers and the version of
/// an inbox outlive it, so that they never say something else in a later inbox of the same handle.
#[async_trait]
pub trait Inboxes: Send + Sync {
    /// A handle's items, newest first, as one reader has them. The positions of pages are numbers
    /// ([`position`]). Looks at [`LOOKED_AT_MAX`] numbers at most: a page may be shorter than its limit,
    /// or empty, and not be the last one.
    async fn items(
        &self,
        handle: &Handle,
        reader: &Reader,
        filter: ItemFilter,
        page: PageRequest,
    ) -> Result<Opened<Page<Marked>>, StoreError>;

    /// One item of a handle, as one reader has it.
    async fn item(
        &self,
        handle: &Handle,
        reader: &Reader,
        id: ItemId,
    ) -> Result<Opened<Option<Marked>>, StoreError>;

    /// The marks of the items that count as unread for a reader: those made by `until` and numbered
    /// above `after`, in the order of their numbers, at most `limit`, of [`LOOKED_AT_MAX`] numbers at most.
    async fn unread(
        &self,
        handle: &Handle,
        reader: &Reader,
        until: Timestamp,
        after: u64,
        limit: u32,
    ) -> Result<Opened<Unread>, StoreError>;

    /// What an inbox holds above a number, at most `limit` items, and how far some readers are.
    async fn news(
        &self,
        handle: &Handle,
        after: u64,
        limit: u32,
        readers: Vec<Reader>,
    ) -> Result<News, StoreError>;
}

/// The position of a page that begins below an item's number.
pub fn position(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// The position of a page that begins with this number, where nothing was found above it.
pub(crate) fn position_at(number: u64) -> [u8; 16] {
    position(number.saturating_add(1))
}

/// The number behind a position, or the first beyond all numbers.
pub fn number_at(position: Option<[u8; 16]>) -> u64 {
    let number = position.map_or(u128::MAX, u128::from_be_bytes);
    // What the engines count in.
    u64::try_from(number).unwrap_or(u64::MAX).min(i64::MAX as u64)
}
