//! What Angarium remembers: narrow ports, and the engines behind them.
//!
//! A port speaks of events, leases and settlements, never of tables. Engines
//! store what they are told: no delay, limit or next state is computed here.
//! Nothing above this crate may assume one process, one writer, or a
//! transaction that spans two calls.

pub mod accounts;
pub mod alerts;
pub mod audit;
pub mod blobs;
pub mod chains;
pub mod conformance;
pub mod context_store;
pub mod crash_point;
pub mod delivery_queue;
pub mod directory;
pub mod error;
pub mod event_log;
pub mod history;
pub mod inboxes;
mod interruption;
pub mod mailboxes;
pub mod memory;
pub mod page;
pub mod replays;
pub mod reports;
pub mod seal;
pub mod sqlite;
mod statements;
pub mod statistics;
pub mod upkeep;
pub mod voice_notes;
pub mod write;

pub use accounts::Accounts;
pub use alerts::Alerts;
pub use audit::AuditLog;
pub use chains::Chains;
pub use context_store::ContextStore;
pub use delivery_queue::DeliveryQueue;
pub use directory::Directory;
pub use error::StoreError;
pub use event_log::EventLog;
pub use history::History;
pub use inboxes::Inboxes;
pub use mailboxes::Mailboxes;
pub use replays::Replays;
pub use reports::Reports;
pub use statistics::Statistics;
pub use upkeep::Upkeep;
pub use voice_notes::VoiceNotes;

/// All ports of one engine.
pub trait Store:
    EventLog
    + DeliveryQueue
    + History
    + Directory
    + Accounts
    + Chains
    + Replays
    + Inboxes
    + VoiceNotes
    + Reports
    + AuditLog
    + Statistics
    + ContextStore
    + Alerts
    + Mailboxes
    + Upkeep
{
}

impl<T> Store for T where
    T: EventLog
        + DeliveryQueue
        + History
        + Directory
        + Accounts
        + Chains
        + Replays
        + Inboxes
        + VoiceNotes
        + Reports
        + AuditLog
        + Statistics
        + Alerts
        + Mailboxes
        + ContextStore
        + Upkeep
{
}
