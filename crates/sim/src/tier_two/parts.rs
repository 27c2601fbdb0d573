//! The simulated clock, the simulated chance and whatever else the engine is made of.

use std::sync::{Mutex, PoisonError};

use angarium_channels::library::{Library, Reading, RefusedSource};
use angarium_domain::context::source::{Config, TextRoom, Validators};
use angarium_domain::context::sync::{Reason, Trouble};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_engine::{Clock, IdSource};
use async_trait::async_trait;
use tokio::time::Instant;

use crate::chance::Chance;

/// The wall clock of one life of the process: it moves with the runtime's own.
pub(super) struct SimClock {
    began_at: Timestamp,
    began: Instant,
}

impl SimClock {
    /// A clock that shows `now`. To be made inside the runtime whose time it follows.
    pub(super) fn showing(now: Timestamp) -> SimClock {
        SimClock { began_at: now, began: Instant::now() }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.began_at + self.began.elapsed()
    }
}

/// A library without books: nobody here makes a source.
pub(super) struct ClosedLibrary;

#[async_trait]
impl Library for ClosedLibrary {
    async fn check(&self, _config: Config) -> Result<Config, RefusedSource> {
        Err(RefusedSource { field: "kind", reason: "there are no sources in simulations".to_owned() })
    }

    async fn read(&self, _handle: &Handle, _config: &Config, _last: &Validators, _room: TextRoom) -> Reading {
        Reading::Failed(Trouble::lasting(Reason::Empty, "there are no sources in simulations"))
    }
}

/// Ids and keys from a seed.
pub(super) struct SimIds(Mutex<Source>);

struct Source {
    chance: Chance,
    last_at: Timestamp,
    last_number: u64,
}

impl SimIds {
    pub(super) fn new(chance: Chance) -> SimIds {
        SimIds(Mutex::new(Source { chance, last_at: Timestamp::default(), last_number: 0 }))
    }
}

impl IdSource for SimIds {
    fn stamp(&self, at: Timestamp) -> (Timestamp, [u8; 10]) {
        let source = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        source.last_at = source.last_at.max(at);
        source.last_number += source.chance.within(1..=1_000_000);
        let mut bytes = [0; 10];
        bytes[3..].copy_from_slice(&source.last_number.to_be_bytes()[1..]);
        (source.last_at, bytes)
    }

    fn key(&self) -> [u8; 32] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).chance.bytes()
    }
}
