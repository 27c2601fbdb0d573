//! Somebody who listens to an inbox, at their own pace.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use angarium_domain::handle::Handle;
use angarium_domain::inbox::{Counts, Reader};
use angarium_store::StoreError;
use tokio::sync::watch;

use super::room::Room;
use super::{AWAY_MAX, After, InboxHeard, InboxLive, MISSED_MAX, Tidings};

/// Somebody who listens to one inbox, until it is dropped.
pub struct InboxListener {
    live: InboxLive,
    handle: Handle,
    reader: Reader,
    room: Arc<Room>,
    /// Changes whenever there is something for this reader.
    news: watch::Receiver<()>,
    /// The next place in the room's ring.
    place: u64,
    /// The number of the last item that it was told of.
    number: u64,
    /// The newest counts of its reader.
    counts: Counts,
    /// The version of the last counts that it was told.
    version: Option<u64>,
    /// Whether the store has what it was not told.
    is_behind: bool,
    /// What it is told before anything else.
    queue: VecDeque<InboxHeard>,
    /// Up to where its reader was told. None: not even that something was missed.
    told: Option<u64>,
}

impl InboxListener {
    pub(super) fn new(
        live: InboxLive,
        handle: Handle,
        reader: Reader,
        room: Arc<Room>,
        news: watch::Receiver<()>,
        place: u64,
    ) -> InboxListener {
        InboxListener {
            live,
            handle,
            reader,
            room,
            news,
            place,
            number: 0,
            counts: Counts::default(),
            version: None,
            is_behind: false,
            queue: VecDeque::new(),
            told: None,
        }
    }

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
                if matches!(heard, InboxHeard::Gap(_)) {
                    self.live.metrics.resynced();
                }
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
            tokio::select! {
                biased;
                () = stopped.cancelled() => return None,
                changed = self.news.changed() => changed.ok()?,
                () = &mut patience => return Some(InboxHeard::Nothing(self.number)),
            }
            self.look();
        }
    }

    /// Takes in what the ring has, or notices that the ring has moved on.
    fn look(&mut self) {
        let (tidings, counts) = self.room.since(self.place, &self.reader);
        self.hear(counts);
        match tidings {
            Ok(tidings) => {
                self.place += tidings.len() as u64;
                for tidings in tidings {
                    self.take(&tidings);
                }
            }
            Err(place) => {
                self.place = place;
                self.is_behind = true;
            }
        }
        if !self.is_behind {
            self.tell_counts();
        }
    }

    /// Begins where it was asked to, with what was read for it.
    pub(super) fn begin(&mut self, after: After, mut first: Tidings, counts: Counts) {
        self.counts = counts;
        let last = first.last;
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
        let (mut news, counts) = self.live.read_for(&self.handle, self.number, &self.reader).await?;
        self.hear(Some(counts));
        self.is_behind = false;
        if self.is_lost(self.number, &news) {
            self.number = news.last;
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
        number > news.last || news.last - number > MISSED_MAX || is_old
    }

    /// Takes in what was read for this listener alone: behind a full batch there may be more.
    fn take_own(&mut self, news: &Tidings) {
        self.take(news);
        self.tell_counts();
        self.is_behind |= !news.is_all();
    }

    /// Takes in items that are new to this listener, in the order in which they came.
    fn take(&mut self, tidings: &Tidings) {
        if tidings.is_gap {
            self.queue.push_back(InboxHeard::Gap(self.number));
            return;
        }
        if tidings.after > self.number {
            self.is_behind = true;
            return;
        }
        for told in tidings.items.iter().filter(|told| told.number > self.number) {
            self.queue.push_back(InboxHeard::Item(told.clone(), self.counts));
            self.version = Some(self.counts.version);
        }
        self.number = self.number.max(tidings.reached());
    }

    /// Counts of the reader that may be newer.
    fn hear(&mut self, counts: Option<Counts>) {
        if let Some(newer) = counts.filter(|counts| counts.version > self.counts.version) {
            self.counts = newer;
        }
    }

    /// Tells counts that came without an item.
    fn tell_counts(&mut self) {
        if self.version.is_none_or(|version| version < self.counts.version) {
            self.version = Some(self.counts.version);
            self.queue.push_back(InboxHeard::Counts(self.number, self.counts));
        }
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
