//! Rulebooks in memory: what is decided upon, for handles that have one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use angarium_domain::chain::Rulebook;
use angarium_domain::handle::Handle;
use angarium_store::directory::Snapshot;
use angarium_store::{Store, StoreError};

/// Bytes of rulebooks that are kept in memory, as long as they are stored; beyond that those make room
/// that were not asked for longest, and are read again when they are.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a rulebook takes beside its text.
const BOOK_BYTES: usize = 1024;

/// Shared, because every decision reads it and only changes write it.
#[derive(Clone)]
pub(super) struct Rulebooks {
    store: Arc<dyn Store>,
    known: Arc<RwLock<Shelf>>,
}

/// Rulebooks, and how lately each was asked for.
struct Shelf {
    bytes_max: usize,
    bytes: usize,
    books: HashMap<Handle, Book>,
    looks: AtomicU64,
}

struct Book {
    rulebook: Arc<Rulebook>,
    bytes: usize,
    /// The number of the last look at it.
    looked: AtomicU64,
}

impl Rulebooks {
    pub(super) fn new(store: Arc<dyn Store>) -> Rulebooks {
        Rulebooks { store, known: Arc::new(RwLock::new(Shelf::new(BYTES_MAX))) }
    }

    /// The rulebook that belongs to a snapshot, or a newer one: whoever writes upon the snapshot is told
    /// by the store if it is old. Empty, without a look anywhere, if there never was one.
    pub(super) async fn of(&self, handle: &Handle, snapshot: &Snapshot) -> Result<Arc<Rulebook>, StoreError> {
        if snapshot.rulebook_version == 0 {
            return Ok(Arc::default());
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(handle);
        match known {
            Some(rulebook) if rulebook.version >= snapshot.rulebook_version => Ok(rulebook),
            _ => self.read(handle).await,
        }
    }

    async fn read(&self, handle: &Handle) -> Result<Arc<Rulebook>, StoreError> {
        let fresh = Arc::new(self.store.rulebook(handle).await?);
        let bytes = BOOK_BYTES + fresh.to_stored().len();
        Ok(self.known.write().unwrap_or_else(PoisonError::into_inner).put(handle, fresh, bytes))
    }
}

impl Shelf {
    fn new(bytes_max: usize) -> Shelf {
        Shelf { bytes_max, bytes: 0, books: HashMap::new(), looks: AtomicU64::new(0) }
    }

    fn get(&self, handle: &Handle) -> Option<Arc<Rulebook>> {
        let book = self.books.get(handle)?;
        book.looked.store(self.look(), Ordering::Relaxed);
        Some(book.rulebook.clone())
    }

    /// Keeps a rulebook, and answers it, or a newer one: two readers may come back in the wrong order.
    fn put(&mut self, handle: &Handle, rulebook: Arc<Rulebook>, bytes: usize) -> Arc<Rulebook> {
        let newer = self.get(handle).filter(|known| known.version > rulebook.version);
        if let Some(newer) = newer {
            return newer;
        }
        let looked = AtomicU64::new(self.look());
        let book = Book { rulebook: rulebook.clone(), bytes, looked };
        self.bytes += bytes;
        self.bytes -= self.books.insert(handle.clone(), book).map_or(0, |old| old.bytes);
        self.make_room(handle);
        rulebook
    }

    /// Lets the others go, those not looked at longest first, until there is room.
    fn make_room(&mut self, kept: &Handle) {
        while self.bytes > self.bytes_max {
            let others = self.books.iter().filter(|(handle, _)| *handle != kept);
            let oldest = others.min_by_key(|(_, book)| book.looked.load(Ordering::Relaxed));
            let Some(handle) = oldest.map(|(handle, _)| handle.clone()) else { return };
            self.bytes -= self.books.remove(&handle).map_or(0, |book| book.bytes);
        }
    }

    fn look(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(name: &str) -> Handle {
        name.parse().expect("a handle")
    }

    fn book(version: u64) -> Arc<Rulebook> {
        let stored = Rulebook::default().to_stored();
        Arc::new(Rulebook::from_stored(version, &stored).expect("it was just written"))
    }

    #[test]
    fn the_rulebook_that_was_not_asked_for_longest_makes_room_by_bytes() {
        let mut shelf = Shelf::new(100);
        for name in ["a", "b", "c"] {
            shelf.put(&handle(name), book(1), 30);
        }
        assert!(shelf.get(&handle("a")).is_some());
        shelf.put(&handle("d"), book(1), 30);
        let known = |shelf: &Shelf, name| shelf.books.contains_key(&handle(name));
        assert_eq!(["a", "b", "c", "d"].map(|name| known(&shelf, name)), [true, false, true, true]);
        shelf.put(&handle("e"), book(1), 90);
        assert_eq!((shelf.books.len(), shelf.bytes), (1, 90));
        // One that is larger than all room is kept alone.
        shelf.put(&handle("f"), book(1), 200);
        assert_eq!((shelf.books.len(), shelf.bytes), (1, 200));
    }

    #[test]
    fn a_newer_rulebook_takes_the_place_of_an_older_one_and_not_the_other_way_round() {
        let mut shelf = Shelf::new(100);
        shelf.put(&handle("a"), book(2), 40);
        assert_eq!(shelf.put(&handle("a"), book(1), 30).version, 2);
        assert_eq!(shelf.put(&handle("a"), book(3), 50).version, 3);
        assert_eq!((shelf.books.len(), shelf.bytes), (1, 50));
    }
}
