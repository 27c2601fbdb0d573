//! What Angarium remembers: narrow ports, and the engines behind them.
//!
//! A port speaks of events, leases and settlements, never of tables. Engines
//! store what they are told: no delay, limit or next state is computed here.
//! Nothing above this crate may assume one process, one writer, or a
//! transaction that spans two calls.

pub mod error;
pub mod page;
pub mod write;
pub mod event_log;
pub mod delivery_queue;
pub mod history;
pub mod directory;
pub mod replays;
pub mod upkeep;
pub mod crash_point;
mod interruption;
pub mod seal;
mod statements;
pub mod memory;
pub mod sqlite;
pub mod conformance;

pub use delivery_queue::DeliveryQueue;
pub use directory::Directory;
pub use error::StoreError;
pub use event_log::EventLog;
pub use history::History;
pub use replays::Replays;
pub use upkeep::Upkeep;

/// All ports of one engine.
pub trait Store: EventLog + DeliveryQueue + History + Directory + Replays + Upkeep {}

impl<T: EventLog + DeliveryQueue + History + Directory + Replays + Upkeep> Store for T {}
