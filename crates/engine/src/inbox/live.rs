//! New items and counts, told while they come, to whoever listens.
//!
//! The store is the record: items have numbers without gaps, and a listener that was away, or is too
//! slow, goes on from its number. Where somebody listens, one task reads what is new, once for all of
//! them, and puts it into a short ring; what one reader did is read for that reader alone, and wakes
//! nobody else. Where nobody listens, an item costs a look at a number.

mod listener;
mod room;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use angarium_domain::handle::Handle;
use angarium_domain::inbox::{Counts, Item, Reader};
use angarium_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::live::TooManyListeners;
use crate::metrics::Metrics;
use room::Room;

pub use listener::InboxListener;

/// The most listeners of one reader: windows and devices of one person.
pub const LISTENERS_PER_READER_MAX: usize = 10;
/// How many items a listener may have missed and still be told of each (contract 6).
pub const MISSED_MAX: u64 = 1_000;
/// For how long a listener may have been away and still be told of each.
pub const AWAY_MAX: Duration = Duration::from_hours(24);
/// Items that are read at a time, and so the most that a listener holds.
const BATCH: u32 = 50;
/// How long the teller waits before it asks a store again that could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// How many may listen. Each listener is a connection and a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// In all.
    pub all_max: usize,
    /// To one inbox: no handle takes the streams of all others.
    pub per_handle_max: usize,
}

impl Default for StreamLimits {
    /// 2,048 in all, of which 1,000 to one inbox.
    fn default() -> StreamLimits {
        StreamLimits { all_max: 2_048, per_handle_max: 1_000 }
    }
}

/// For whom something is new.
#[derive(Debug, Clone)]
enum Whose {
    /// Items came, or went.
    Everybody,
    /// These readers did something.
    Readers(HashSet<Reader>),
}

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
    /// The number of the newest item there ever was.
    last: u64,
    items: Vec<Arc<Told>>,
    /// That the inbox could not be read, instead of all this.
    is_gap: bool,
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
    limits: StreamLimits,
    metrics: Arc<Metrics>,
    stopped: CancellationToken,
}

#[derive(Default)]
struct Shared {
    /// How many listen: what a write looks at before anything else.
    listeners: AtomicUsize,
    /// Handles that somebody listens to. Shared, because listeners come and go on every thread.
    rooms: Mutex<HashMap<Handle, Arc<Room>>>,
    /// Handles in which something is new, and for whom. Shared, because every write may say so.
    news: Mutex<HashMap<Handle, Whose>>,
    ring: Notify,
}

impl InboxLive {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        limits: StreamLimits,
        metrics: Arc<Metrics>,
        stopped: CancellationToken,
    ) -> InboxLive {
        InboxLive { shared: Arc::default(), store, clock, limits, metrics, stopped }
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.shared.listeners.load(Ordering::Relaxed)
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
        let (first, counts) = self.read_for(handle, from, reader).await?;
        listener.begin(after, first, counts);
        Ok(listener)
    }

    fn enter(&self, handle: &Handle, reader: &Reader) -> Result<InboxListener, TooManyListeners> {
        let mut rooms = self.rooms();
        let StreamLimits { all_max, per_handle_max } = self.limits;
        if self.listeners() >= all_max {
            return Err(TooManyListeners { limit: all_max, whose: "in all" });
        }
        let room = rooms.entry(handle.clone()).or_default().clone();
        let (news, place) = room.enter(reader, per_handle_max)?;
        self.shared.listeners.fetch_add(1, Ordering::Relaxed);
        Ok(InboxListener::new(self.clone(), handle.clone(), reader.clone(), room, news, place))
    }

    /// Something in an inbox may be new: it is looked at soon.
    pub(crate) fn look(&self, handle: &Handle) {
        self.note(handle, Whose::Everybody);
    }

    /// A reader did something in an inbox: whoever listens as that reader hears of it soon.
    pub(crate) fn look_for(&self, handle: &Handle, reader: &Reader) {
        self.note(handle, Whose::Readers(HashSet::from([reader.clone()])));
    }

    fn note(&self, handle: &Handle, whose: Whose) {
        if self.listeners() > 0 {
            let mut news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner);
            match news.get_mut(handle) {
                Some(known) => known.add(whose),
                None => drop(news.insert(handle.clone(), whose)),
            }
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

    /// Tells whatever is new, for as long as the engine runs. An inbox that cannot be read is asked again
    /// a while later, and keeps nobody else waiting.
    pub(crate) async fn run(self) {
        let mut later: Vec<(Handle, Whose)> = Vec::new();
        let mut again = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return,
                () = tokio::time::sleep_until(again), if !later.is_empty() => {
                    for (handle, whose) in later.drain(..) {
                        self.note(&handle, whose);
                    }
                }
                () = self.shared.ring.notified() => {}
            }
            let news = std::mem::take(&mut *self.shared.news.lock().unwrap_or_else(PoisonError::into_inner));
            for (handle, whose) in news {
                let told = tokio::select! {
                    biased;
                    () = self.stopped.cancelled() => return,
                    told = self.tell(&handle, &whose) => told,
                };
                if let Err(error) = told {
                    tracing::warn!(%error, %handle, "an inbox could not be read; its listeners hear of it later");
                    if later.is_empty() {
                        again = Instant::now() + AGAIN;
                    }
                    later.push((handle, whose));
                }
            }
        }
    }

    /// Tells what is new in one inbox: as much as is read at a time, so that every inbox has its turn.
    ///
    /// # Errors
    ///
    /// Those of the store that end by themselves. Of others its listeners are told that something is
    /// missing, and hear more with what comes next.
    async fn tell(&self, handle: &Handle, whose: &Whose) -> Result<(), StoreError> {
        let Some(room) = self.rooms().get(handle).cloned() else { return Ok(()) };
        let readers = match whose {
            Whose::Everybody => room.readers(),
            Whose::Readers(readers) => room.listening(readers),
        };
        if readers.is_empty() {
            return Ok(());
        }
        let (tidings, counts) = match self.read(handle, room.last(), readers).await {
            Ok(read) => read,
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, %handle, "an inbox makes no sense; its listeners are told to look at it");
                room.lose();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let is_all = tidings.is_all();
        match whose {
            Whose::Readers(_) if tidings.items.is_empty() => room.count(counts),
            // Items are news to all of them.
            Whose::Readers(_) => self.look(handle),
            Whose::Everybody => {
                room.push(tidings, counts);
                if !is_all {
                    self.look(handle);
                }
            }
        }
        Ok(())
    }

    async fn read_for(
        &self,
        handle: &Handle,
        after: u64,
        reader: &Reader,
    ) -> Result<(Tidings, Counts), StoreError> {
        let (tidings, mut counts) = self.read(handle, after, vec![reader.clone()]).await?;
        Ok((tidings, counts.remove(reader).expect("it was asked for")))
    }

    async fn read(
        &self,
        handle: &Handle,
        after: u64,
        readers: Vec<Reader>,
    ) -> Result<(Tidings, HashMap<Reader, Counts>), StoreError> {
        let news = self.store.news(handle, after.min(i64::MAX as u64), BATCH, readers.clone()).await?;
        let told = |(number, item)| Arc::new(Told { number, item, text: OnceLock::new() });
        let items = news.items.into_iter().map(told).collect();
        let counts = news.readings.iter().map(|reading| reading.counts(&news.stock));
        let tidings = Tidings { after, last: news.stock.last, items, is_gap: false };
        Ok((tidings, readers.into_iter().zip(counts).collect()))
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Handle, Arc<Room>>> {
        self.shared.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Whose {
    fn add(&mut self, more: Whose) {
        match (&mut *self, more) {
            (Whose::Everybody, _) => {}
            (Whose::Readers(_), Whose::Everybody) => *self = Whose::Everybody,
            (Whose::Readers(known), Whose::Readers(more)) => known.extend(more),
        }
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
        if self.is_all() { self.last } else { last_item() }
    }
}
