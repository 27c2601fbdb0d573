//! Looking after the store itself.

use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;

/// What was forgotten in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Deliveries, with their attempts.
    pub deliveries: u64,
    /// Events without deliveries.
    pub events: u64,
    /// Idempotency records.
    pub keys: u64,
    /// Replay jobs that had ended.
    pub replays: u64,
    /// Spans of statistics.
    pub tallies: u64,
    /// Items of inboxes.
    pub items: u64,
    /// What was done with such items.
    pub marks: u64,
    /// Signals. A session goes with the last of its own.
    pub signals: u64,
    /// Decisions whose rules rest no more.
    pub cooldowns: u64,
    /// Voice notes that failed or expired.
    pub voice_notes: u64,
    /// Reports.
    pub reports: u64,
}

impl Forgotten {
    /// How many rows in all.
    pub fn total(&self) -> u64 {
        let Forgotten {
            deliveries,
            events,
            keys,
            replays,
            tallies,
            items,
            marks,
            signals,
            cooldowns,
            voice_notes,
            reports,
        } = self;
        let logs = deliveries + events + keys + replays + tallies;
        logs + items + marks + signals + cooldowns + voice_notes + reports
    }
}

/// How much is where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Events in the log.
    pub events: u64,
    /// Deliveries waiting.
    pub scheduled: u64,
    /// Deliveries leased.
    pub in_flight: u64,
    /// Deliveries delivered.
    pub delivered: u64,
    /// Deliveries given up.
    pub dead: u64,
    /// Deliveries cancelled.
    pub cancelled: u64,
}

/// Looking after the store.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Forgets finished things older than the cutoffs: at most `limit` of each kind, so that no
    /// batch holds the store for long. Never forgets anything unfinished, nor an event that still
    /// has a delivery.
    async fn forget(&self, cutoffs: Cutoffs, limit: u32) -> Result<Forgotten, StoreError>;

    /// Makes a small durable write, to know whether it can.
    async fn probe(&self) -> Result<(), StoreError>;

    /// How many deliveries are scheduled, in all lanes, those not counted that wait behind an older
    /// one of their ordering key; counts no further than `limit`.
    async fn backlog(&self, limit: u32) -> Result<u64, StoreError>;

    /// When the earliest delivery is due, over all lanes.
    async fn oldest_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Counts everything. Reads the whole store: for tools, not for requests.
    async fn census(&self) -> Result<Census, StoreError>;
}
