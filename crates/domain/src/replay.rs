//! Delivering past events again, on request.

use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, State, Status};
use crate::event_type::EventType;
use crate::handle::Handle;
use crate::ids::{DeliveryId, EventId, ReplayId, SubscriptionId};
use crate::time::Timestamp;

/// Which deliveries: every named condition must hold. Also the filter of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryFilter {
    /// Deliveries to this subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<SubscriptionId>,
    /// Deliveries of this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Deliveries of events of exactly this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// Deliveries in this state, in the words of the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Made at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Made before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Which endpoint settings a replay uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The subscription as it is now.
    #[default]
    Current,
    /// The address that the original delivery went to; keys and policy are of now.
    Original,
}

/// Why a delivery cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayable {
    /// It is still on its way.
    #[error("the delivery is not finished; it can be replayed once it is delivered or dead")]
    Unfinished,
    /// Its subscription was deleted, so there is nowhere to send it.
    #[error("the delivery was cancelled because its subscription was deleted")]
    Cancelled,
}

/// Whether a delivery may be replayed: the delivered and the dead may (contract 3.5).
pub fn replayable(delivery: &Delivery) -> Result<(), NotReplayable> {
    match delivery.state {
        State::Scheduled { .. } | State::InFlight { .. } => Err(NotReplayable::Unfinished),
        State::Cancelled { .. } => Err(NotReplayable::Cancelled),
        State::Delivered { .. } | State::Dead { .. } => Ok(()),
    }
}

/// A job that replays many deliveries at a bounded rate. It survives a restart: `cursor` moves in
/// the same commit as the deliveries that it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayJob {
    /// Never changes.
    pub id: ReplayId,
    /// Never changes.
    pub handle: Handle,
    /// Which deliveries. Those made after the job are not included.
    pub filter: DeliveryFilter,
    /// Which endpoint settings.
    pub to: Target,
    /// How many deliveries a second are made at most.
    pub rate_per_second: u32,
    /// How many matched when the job was made.
    pub matched: u64,
    /// How many were made so far.
    pub replayed: u64,
    /// How many matched but could not be replayed: their subscription is gone, or they had been
    /// replayed, discarded or forgotten before the job came to them.
    pub skipped: u64,
    /// The last delivery looked at; the job goes from old to new.
    pub cursor: Option<DeliveryId>,
    /// Where the job stands.
    pub status: JobStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Where a replay job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Making deliveries.
    Running,
    /// Done.
    Completed,
    /// Ended by its owner.
    Cancelled,
}
