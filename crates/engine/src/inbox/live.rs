//! New items and counts, told while they come, to whoever listens.
//!
//! The store is the record: items have numbers without gaps, and a listener that was away, or is too
//! slow, goes on from its number. Where somebody listens, one task reads what is new, once for all of
//! them, and puts it into a short ring. Where nobody does, an item costs a look at a number.

mod room;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use angarium_domain::handle::Handle;
use angarium_domain::inbox::{Counts, Item, Reader, Reading, Stock};
use angarium_store::{Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::live::TooManyListeners;
use room::Room;

/// The most listeners of one reader: windows and devices of one person.
pub const LISTENERS_PER_READER_MAX: usize = 10;
/// The most listeners in all: each is a connection and a task.
pub const INBOX_LISTENERS_MAX: usize = 10_000;
/// How many items a listener may have missed and still be told of each (contract 6).
pub const MISSED_MAX: u64 = 1_000;
/// For how long a listener may have been away and still be told of each.
pub const AWAY_MAX: Duration = Duration::from_hours(24);
/// Items that are read at a time, and so the most that a listener holds.
const BATCH: u32 = 50;
/// How long the teller waits before it asks a store again that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// An item on its way to listeners.
pub struct Told {
    /// Its place in the inbox.
    pub number: u64,
    /// The item.
    pub item: Arc<Item>,
    text: OnceLock<Box<str>>,
}

/// What was new at one moment.
struct Tidings {
    /// The number after which items were looked for.
    after: u64,
    stock: Stock,
    readings: HashMap<Reader, Reading>,
    items: Vec<Arc<Told>>,
}

/// What a listener hears, each with the number to go on from.
pub enum InboxHeard {
    /// An item came; with the listener's counts.
    Item(Arc<Told>, Counts),
    /// The listener's counts are others.
    Counts(u64, Counts),
    /// Items were missed: look at the inbox.
    Gap(u64),
    /// Nothing to tell for as long as the listener was ready to wait.
    Nothing(u64),
}

/// Tells listeners. A clone tells the same ones.
#[derive(Clone)]
pub(crate) struct InboxLive {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stopped: CancellationToken,
}

#[derive(Default)]
struct Shared {
    /// How many listen: what a write looks at before anything else.
    listeners: AtomicUsize,
    /// Handles that somebody listens to. Shared, because listeners come and go on every thread.
    rooms: Mutex<HashMap<Handle, Arc<Room>>>,
    /// Handles in which something is new. Shared, because every write may say so.
    news: Mutex<HashSet<Handle>>,
    ring: Notify,
}

/// Somebody who listens to one inbox, until it is dropped.
pub struct InboxListener {
    live: InboxLive,
    handle: Handle,
    reader: Reader,
    room: Arc<Room>,
    next: watch::Receiver<u64>,
    /// The next place in the room's ring.
    place: u64,
    /// The number of the last item that it was told of.
    number: u64,
    /// The version of the last counts that it was told.
    version: Option<u64>,
    /// Whether the store has what it was not told.
    is_behind: bool,
    /// What it is told before anything else.
    queue: VecDeque<InboxHeard>,
    /// Up to where its reader was told. None: not even that something was missed.
    told: Option<u64>,
}

impl InboxLive {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, stopped: CancellationToken) -> InboxLive {
        InboxLive { shared: Arc::default(), store, clock, stopped }
    }

    /// Begins to listen: from now on, or from after an item's number. If that is too long ago, or no
    /// number that there was, a gap is heard first.
    pub(crate) async fn listen(
        &self,
        handle: &Handle,
        reader: &Reader,
        after: After,
    ) -> Result<InboxListener, ListenError> {
        let mut listener = self.enter(handle, reader)?;
        let from = if let After::Number(number) = after { number } else { u64::MAX };
        let first = self.read(handle, from, vec![reader.clone()]).await?;
        listener.begin(after, first);
        Ok(listener)
    }

    fn enter(&self, handle: &Handle, reader: &Reader) -> Result<InboxListener, TooManyListeners> {
        let mut rooms = self.rooms();
        if self.shared.listeners.load(Ordering::Relaxed) >= INBOX_LISTENERS_MAX {
            return Err(TooManyListeners { limit: INBOX_LISTENERS_MAX, whose: "in all" });
        }
        let room = rooms.entry(handle.clone()).or_default();
        if !room.enter(reader, LISTENERS_PER_READER_MAX) {
            return Err(TooManyListeners { limit: LISTENERS_PER_READER_MAX, whose: "of this reader" });
        }
        self.shared.listeners.fetch_add(1, Ordering::Relaxed);
        let next = room.subscribe();
        let place = *next.borrow();
        Ok(InboxListener {
            live: self.clone(),
            handle: handle.clone(),
            reader: reader.clone(),
            room: room.clone(),
            next,
            place,
            number: 0,
            version: None,
            is_behind: false,
            queue: VecDeque::new(),
            told: None,
        })
    }

    /// Something in an inbox may be new: it is looked at soon.
    pub(crate) fn look(&self, handle: &Handle) {
        if self.shared.listeners.load(Ordering::Relaxed) > 0 {
            self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).insert(handle.clone());
            self.shared.ring.notify_one();
        }
    }

    /// Something in any inbox may be new.
    pub(crate) fn look_everywhere(&self) {
        let handles: Vec<Handle> = self.rooms().keys().cloned().collect();
        for handle in &handles {
            self.look(handle);
        }
    }

    /// Tells whatever is new, for as long as the engine runs.
    pub(crate) async fn run(self) {
        loop {
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return,
                () = self.shared.ring.notified() => {}
            }
            let news = std::mem::take(&mut *self.shared.news.lock().unwrap_or_else(PoisonError::into_inner));
            for handle in news {
                if let Err(error) = self.tell(&handle).await {
                    tracing::warn!(%error, %handle, "an inbox could not be read; its listeners hear of it later");
                    tokio::time::sleep(AGAIN).await;
                    self.look(&handle);
                }
            }
        }
    }

    async fn tell(&self, handle: &Handle) -> Result<(), StoreError> {
        let Some(room) = self.rooms().get(handle).cloned() else { return Ok(()) };
        loop {
            let tidings = self.read(handle, room.last(), room.readers()).await?;
            let is_all = tidings.is_all();
            room.push(tidings);
            if is_all {
                return Ok(());
            }
        }
    }

    async fn read(&self, handle: &Handle, after: u64, readers: Vec<Reader>) -> Result<Tidings, StoreError> {
        let news = self.store.news(handle, after.min(i64::MAX as u64), BATCH, readers.clone()).await?;
        let told = |(number, item)| Arc::new(Told { number, item, text: OnceLock::new() });
        Ok(Tidings {
            after,
            stock: news.stock,
            readings: readers.into_iter().zip(news.readings).collect(),
            items: news.items.into_iter().map(told).collect(),
        })
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Handle, Arc<Room>>> {
        self.shared.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a listener begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// With what comes from now on.
    Now,
    /// After the item with this number, which it was told of.
    Number(u64),
    /// Somewhere that is no place in this inbox.
    Nowhere,
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// There are enough.
    #[error(transparent)]
    TooMany(#[from] TooManyListeners),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Told {
    /// The item's text on the wire: written by the first who asks, for all of them.
    pub fn text(&self, write: impl FnOnce(&Item) -> String) -> &str {
        self.text.get_or_init(|| write(&self.item).into_boxed_str())
    }
}

impl InboxListener {
    /// The number to go on from for whoever hears no more than what was handed out. None as long as that
    /// would hide that something was missed.
    pub fn place(&self) -> Option<u64> {
        self.told
    }

    /// The next thing to tell, for as long as `patience`. None when the process is on its way out.
    pub async fn next(&mut self, patience: Duration) -> Option<InboxHeard> {
        let stopped = self.live.stopped.clone();
        let patience = tokio::time::sleep(patience);
        tokio::pin!(patience);
        loop {
            if stopped.is_cancelled() {
                return None;
            }
            if let Some(heard) = self.queue.pop_front() {
                self.told = Some(heard.reached());
                return Some(heard);
            }
            if self.is_behind {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => return None,
                    read = self.catch_up() => if let Err(error) = read {
                        tracing::warn!(%error, handle = %self.handle, "a listener could not catch up; it tries again");
                        patience.as_mut().await;
                        return Some(InboxHeard::Nothing(self.number));
                    }
                }
                continue;
            }
            let place = self.place;
            tokio::select! {
                biased;
                () = stopped.cancelled() => return None,
                waited = self.next.wait_for(|next| *next > place) => drop(waited.ok()?),
                () = &mut patience => return Some(InboxHeard::Nothing(self.number)),
            }
            self.look();
        }
    }

    /// Takes in what the ring has, or notices that the ring has moved on.
    fn look(&mut self) {
        match self.room.at(self.place) {
            Ok(tidings) => {
                self.place += 1;
                self.take(&tidings);
            }
            Err(place) => {
                self.place = place;
                self.is_behind = true;
            }
        }
    }

    fn begin(&mut self, after: After, mut first: Tidings) {
        let last = first.stock.last;
        self.room.begin_at(last);
        self.number = match after {
            After::Number(number) if !self.is_lost(number, &first) => {
                self.told = Some(number);
                number
            }
            After::Now => {
                self.told = Some(last);
                last
            }
            After::Number(_) | After::Nowhere => {
                self.queue.push_back(InboxHeard::Gap(last));
                last
            }
        };
        first.after = self.number;
        self.take_own(&first);
    }

    /// Reads from the store what the ring has no more.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        self.place = self.room.end();
        let mut news = self.live.read(&self.handle, self.number, vec![self.reader.clone()]).await?;
        self.is_behind = false;
        if self.is_lost(self.number, &news) {
            self.number = news.stock.last;
            news.after = self.number;
            self.queue.push_back(InboxHeard::Gap(self.number));
        }
        self.take_own(&news);
        Ok(())
    }

    /// Whether too much was missed since a number, or too long ago, or there was no such number.
    fn is_lost(&self, number: u64, news: &Tidings) -> bool {
        let oldest = self.live.clock.now().saturating_sub(AWAY_MAX);
        let is_old = news.items.first().is_some_and(|told| told.item.created_at < oldest);
        number > news.stock.last || news.stock.last - number > MISSED_MAX || is_old
    }

    /// Takes in what was read for this listener alone: behind a full batch there may be more.
    fn take_own(&mut self, news: &Tidings) {
        self.take(news);
        self.is_behind |= !news.is_all();
    }

    /// Takes in what is new to this listener, in the order in which it happened.
    fn take(&mut self, tidings: &Tidings) {
        // Tidings without the reader were read before the listener came.
        let Some(reading) = tidings.readings.get(&self.reader) else { return };
        if tidings.after > self.number {
            self.is_behind = true;
            return;
        }
        let counts = reading.counts(&tidings.stock);
        for told in tidings.items.iter().filter(|told| told.number > self.number) {
            self.queue.push_back(InboxHeard::Item(told.clone(), counts));
        }
        let has_items = tidings.items.iter().any(|told| told.number > self.number);
        self.number = self.number.max(tidings.reached());
        if self.version.is_none_or(|version| version < counts.version) {
            self.version = Some(counts.version);
            if !has_items {
                self.queue.push_back(InboxHeard::Counts(self.number, counts));
            }
        }
    }
}

impl InboxHeard {
    /// The number up to which its hearer was told.
    fn reached(&self) -> u64 {
        match self {
            InboxHeard::Item(told, _) => told.number,
            InboxHeard::Counts(number, _) | InboxHeard::Gap(number) | InboxHeard::Nothing(number) => *number,
        }
    }
}

impl Tidings {
    /// Whether there was nothing more at that moment.
    fn is_all(&self) -> bool {
        self.items.len() < BATCH as usize
    }

    /// The number up to which everything is in them. What is not there any more was forgotten.
    fn reached(&self) -> u64 {
        let last_item = || self.items.last().map_or(0, |told| told.number);
        if self.is_all() { self.stock.last } else { last_item() }
    }
}

impl Drop for InboxListener {
    fn drop(&mut self) {
        let mut rooms = self.live.rooms();
        self.live.shared.listeners.fetch_sub(1, Ordering::Relaxed);
        if self.room.leave(&self.reader) {
            rooms.remove(&self.handle);
        }
    }
}
