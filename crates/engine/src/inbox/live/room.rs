//! The listeners of one inbox, and the last things that were told to them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use angarium_domain::inbox::{Counts, Reader};
use tokio::sync::watch;

use super::{LISTENERS_PER_READER_MAX, Tidings};
use crate::live::TooManyListeners;

/// Tidings that are kept for listeners that are not as fast as others; who needs older ones reads them.
const RING_MAX: usize = 32;

#[derive(Default)]
pub(super) struct Room {
    /// Shared between the one who tells and those who listen; held for a look or a push.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seats: HashMap<Reader, Seat>,
    listeners: usize,
    /// The number up to which everything was told, once that is known.
    last: Option<u64>,
    ring: VecDeque<Arc<Tidings>>,
    /// The place of the oldest tidings in the ring.
    begin: u64,
}

/// A reader with somebody who listens as that reader.
#[derive(Default)]
struct Seat {
    listeners: usize,
    /// The newest that were told.
    counts: Option<Counts>,
    /// What the reader's listeners wait on.
    news: watch::Sender<()>,
}

impl Room {
    /// One listener more, unless the inbox or the reader has as many as there may be. Answers what to
    /// wait on, and the place of the next tidings.
    pub(super) fn enter(
        &self,
        reader: &Reader,
        most: usize,
    ) -> Result<(watch::Receiver<()>, u64), TooManyListeners> {
        let mut inner = self.inner();
        if inner.listeners >= most {
            return Err(TooManyListeners { limit: most, whose: "of this handle" });
        }
        let end = inner.end();
        let seat = inner.seats.entry(reader.clone()).or_default();
        if seat.listeners >= LISTENERS_PER_READER_MAX {
            return Err(TooManyListeners { limit: LISTENERS_PER_READER_MAX, whose: "of this reader" });
        }
        seat.listeners += 1;
        let news = seat.news.subscribe();
        inner.listeners += 1;
        Ok((news, end))
    }

    /// One listener less. Answers whether nobody is left.
    pub(super) fn leave(&self, reader: &Reader) -> bool {
        let mut inner = self.inner();
        inner.listeners -= 1;
        let seat = inner.seats.get_mut(reader).expect("whoever leaves has entered");
        seat.listeners -= 1;
        if seat.listeners == 0 {
            inner.seats.remove(reader);
        }
        inner.listeners == 0
    }

    pub(super) fn readers(&self) -> Vec<Reader> {
        self.inner().seats.keys().cloned().collect()
    }

    /// Those of some readers who listen.
    pub(super) fn listening(&self, readers: &HashSet<Reader>) -> Vec<Reader> {
        let inner = self.inner();
        readers.iter().filter(|reader| inner.seats.contains_key(*reader)).cloned().collect()
    }

    /// The number up to which everything was told: beyond all numbers, if that is not known.
    pub(super) fn last(&self) -> u64 {
        self.inner().last.unwrap_or(u64::MAX)
    }

    /// What comes after this number is told from now on, if nothing has been told yet.
    pub(super) fn begin_at(&self, last: u64) {
        self.inner().last.get_or_insert(last);
    }

    /// Tells everybody, each with their counts.
    pub(super) fn push(&self, tidings: Tidings, counts: HashMap<Reader, Counts>) {
        let mut inner = self.inner();
        inner.last = Some(tidings.reached());
        inner.keep(tidings);
        inner.count(counts);
        inner.wake_all();
    }

    /// Tells readers of their counts, and wakes nobody else.
    pub(super) fn count(&self, counts: HashMap<Reader, Counts>) {
        let mut inner = self.inner();
        let readers: Vec<Reader> = counts.keys().cloned().collect();
        inner.count(counts);
        for seat in readers.iter().filter_map(|reader| inner.seats.get(reader)) {
            seat.news.send_replace(());
        }
    }

    /// Tells everybody that something is missing.
    pub(super) fn lose(&self) {
        let mut inner = self.inner();
        inner.keep(Tidings { after: 0, last: 0, items: Vec::new(), is_gap: true });
        inner.wake_all();
    }

    /// The tidings from a place on, or where to go on if they are gone; and the reader's counts.
    pub(super) fn since(
        &self,
        place: u64,
        reader: &Reader,
    ) -> (Result<Vec<Arc<Tidings>>, u64>, Option<Counts>) {
        let inner = self.inner();
        let counts = inner.seats.get(reader).and_then(|seat| seat.counts);
        let tidings = match place.checked_sub(inner.begin) {
            Some(told) => Ok(inner.ring.iter().skip(told as usize).cloned().collect()),
            None => Err(inner.end()),
        };
        (tidings, counts)
    }

    /// The place of the next tidings.
    pub(super) fn end(&self) -> u64 {
        self.inner().end()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.begin + self.ring.len() as u64
    }

    fn keep(&mut self, tidings: Tidings) {
        self.ring.push_back(Arc::new(tidings));
        if self.ring.len() > RING_MAX {
            self.ring.pop_front();
            self.begin += 1;
        }
    }

    fn count(&mut self, counts: HashMap<Reader, Counts>) {
        for (reader, counts) in counts {
            if let Some(seat) = self.seats.get_mut(&reader)
                && seat.counts.is_none_or(|known| known.version < counts.version)
            {
                seat.counts = Some(counts);
            }
        }
    }

    fn wake_all(&self) {
        for seat in self.seats.values() {
            seat.news.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(version: u64) -> Counts {
        Counts { unread: 1, unseen: 1, version }
    }

    fn nothing_after(last: u64) -> Tidings {
        Tidings { after: last, last, items: Vec::new(), is_gap: false }
    }

    #[test]
    fn what_one_reader_did_wakes_nobody_else_and_what_came_wakes_everybody() {
        let room = Room::default();
        let (ann, bob) = (Reader::new("ann"), Reader::new("bob"));
        let (mut of_ann, place) = room.enter(&ann, 9).expect("a seat");
        let (mut of_bob, _) = room.enter(&bob, 9).expect("a seat");
        let mut woken = || {
            let woken = [&mut of_ann, &mut of_bob].map(|news| news.has_changed().expect("the room is there"));
            of_ann.mark_unchanged();
            of_bob.mark_unchanged();
            woken
        };
        room.count(HashMap::from([(ann.clone(), counts(3))]));
        assert_eq!(woken(), [true, false]);
        assert_eq!((room.since(place, &ann).1, room.since(place, &bob).1), (Some(counts(3)), None));
        room.push(nothing_after(1), HashMap::from([(bob.clone(), counts(4))]));
        assert_eq!(woken(), [true, true]);
        // Counts that were read earlier and come later are old.
        room.count(HashMap::from([(bob.clone(), counts(2))]));
        assert_eq!(room.since(place, &bob).1, Some(counts(4)));
    }

    #[test]
    fn an_inbox_has_so_many_listeners_and_each_reader_has_some_of_them() {
        let room = Room::default();
        let reader = |n: usize| Reader::new(&format!("reader {n}"));
        for _ in 0..LISTENERS_PER_READER_MAX {
            assert!(room.enter(&reader(0), 12).is_ok());
        }
        assert!(room.enter(&reader(0), 12).is_err(), "the reader has enough");
        for n in 1..=2 {
            assert!(room.enter(&reader(n), 12).is_ok());
        }
        assert_eq!(
            room.enter(&reader(3), 12).err().map(|it| it.to_string()).as_deref(),
            Some("there are 12 listeners of this handle, which is the limit")
        );
        assert_eq!(room.readers().len(), 3, "who was refused has no seat");
        assert!(!room.leave(&reader(1)));
        assert!(room.enter(&reader(3), 12).is_ok());
    }

    #[test]
    fn whoever_is_too_slow_for_the_ring_is_told_where_to_go_on() {
        let room = Room::default();
        let reader = Reader::new("ann");
        let (_news, place) = room.enter(&reader, 1).expect("a seat");
        for n in 0..RING_MAX as u64 {
            room.push(nothing_after(n), HashMap::new());
        }
        assert_eq!(room.since(place, &reader).0.map(|all| all.len()).ok(), Some(RING_MAX));
        room.lose();
        assert_eq!(room.since(place, &reader).0.err(), Some(RING_MAX as u64 + 1));
    }
}
