//! The listeners of one inbox, and the last things that were told to them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use angarium_domain::inbox::Reader;
use tokio::sync::watch;

use super::Tidings;

/// Tidings that are kept for listeners that are not as fast as others; who needs older ones reads them.
const RING_MAX: usize = 32;

#[derive(Default)]
pub(super) struct Room {
    /// Shared between the one who tells and those who listen; held for a look or a push.
    inner: Mutex<Inner>,
    /// The place after the newest tidings: what listeners wait on.
    end: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// Who listens, each with how many listeners.
    readers: HashMap<Reader, usize>,
    /// The number up to which everything was told, once that is known.
    last: Option<u64>,
    ring: VecDeque<Arc<Tidings>>,
    /// The place of the oldest tidings in the ring.
    begin: u64,
}

impl Room {
    /// One listener more, unless the reader has as many as there may be.
    pub(super) fn enter(&self, reader: &Reader, most: usize) -> bool {
        let mut inner = self.inner();
        let listeners = inner.readers.entry(reader.clone()).or_default();
        let may_enter = *listeners < most;
        *listeners += usize::from(may_enter);
        may_enter
    }

    /// One listener less. Answers whether nobody is left.
    pub(super) fn leave(&self, reader: &Reader) -> bool {
        let mut inner = self.inner();
        let listeners = inner.readers.get_mut(reader).expect("whoever leaves has entered");
        *listeners -= 1;
        if *listeners == 0 {
            inner.readers.remove(reader);
        }
        inner.readers.is_empty()
    }

    pub(super) fn readers(&self) -> Vec<Reader> {
        self.inner().readers.keys().cloned().collect()
    }

    /// The number up to which everything was told: beyond all numbers, if that is not known.
    pub(super) fn last(&self) -> u64 {
        self.inner().last.unwrap_or(u64::MAX)
    }

    /// What comes after this number is told from now on, if nothing has been told yet.
    pub(super) fn begin_at(&self, last: u64) {
        self.inner().last.get_or_insert(last);
    }

    pub(super) fn push(&self, tidings: Tidings) {
        let mut inner = self.inner();
        inner.last = Some(tidings.reached());
        inner.ring.push_back(Arc::new(tidings));
        if inner.ring.len() > RING_MAX {
            inner.ring.pop_front();
            inner.begin += 1;
        }
        self.end.send_replace(inner.begin + inner.ring.len() as u64);
    }

    /// The tidings at a place, or where to go on if they are gone.
    pub(super) fn at(&self, place: u64) -> Result<Arc<Tidings>, u64> {
        let inner = self.inner();
        let at = place.checked_sub(inner.begin).and_then(|at| inner.ring.get(usize::try_from(at).ok()?));
        at.cloned().ok_or(inner.begin + inner.ring.len() as u64)
    }

    /// The place of the next tidings.
    pub(super) fn end(&self) -> u64 {
        *self.end.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
