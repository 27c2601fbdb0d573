//! How many connections there are, and from where.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer::{Peer, Proxies, network_of};

/// The seats of a listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seats {
    all: Arc<Semaphore>,
    per_address_max: usize,
    /// Proxies stand for many callers, and may have every seat.
    proxies: Proxies,
    /// Shared between the accept loop and the ends of connections; held for a look-up.
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's seat, given back when it is dropped.
pub(super) struct Seat {
    _one_of_all: OwnedSemaphorePermit,
    of_address: Option<(IpAddr, Seats)>,
}

impl Seats {
    pub(super) fn new(connections_max: usize, per_address_max: usize, proxies: Proxies) -> Seats {
        let all = Arc::new(Semaphore::new(connections_max));
        Seats { all, per_address_max, proxies, taken: Arc::default() }
    }

    /// A seat for somebody, if there is one for them.
    pub(super) fn take(&self, peer: Peer) -> Option<Seat> {
        let one_of_all = self.all.clone().try_acquire_owned().ok()?;
        let address = peer.0.to_canonical();
        if self.proxies.contain(address) {
            return Some(Seat { _one_of_all: one_of_all, of_address: None });
        }
        let network = network_of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(Seat { _one_of_all: one_of_all, of_address: Some((network, self.clone())) })
    }

    fn give_back(&self, network: IpAddr) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&network);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((network, seats)) = self.of_address.take() {
            seats.give_back(network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Peer {
        Peer(text.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_so_many_seats_and_no_more() {
        let seats = Seats::new(10, 2, Proxies::default());
        let first = seats.take(from("192.0.2.1")).expect("a seat");
        let _second = seats.take(from("::ffff:192.0.2.1")).expect("a seat");
        assert!(seats.take(from("192.0.2.1")).is_none());
        assert!(seats.take(from("192.0.2.2")).is_some());
        drop(first);
        assert!(seats.take(from("192.0.2.1")).is_some());
    }

    #[test]
    fn nothing_is_remembered_of_those_who_left() {
        let seats = Seats::new(10, 2, Proxies::default());
        let taken: Vec<_> = ["192.0.2.1", "192.0.2.2"].map(|text| seats.take(from(text))).into();
        assert_eq!(seats.taken.lock().expect("a lock").len(), 2);
        drop(taken);
        assert!(seats.taken.lock().expect("a lock").is_empty());
        assert_eq!(seats.all.available_permits(), 10);
    }

    #[test]
    fn a_proxy_may_have_every_seat_and_nobody_has_more_than_all() {
        let seats = Seats::new(3, 1, Proxies::new(&["10.0.0.0/8".parse().expect("a network")]));
        let taken: Vec<_> = (0..3).map_while(|_| seats.take(from("10.0.0.1"))).collect();
        assert_eq!(taken.len(), 3);
        assert!(seats.take(from("10.0.0.1")).is_none());
        assert!(seats.take(from("192.0.2.1")).is_none());
    }
}
