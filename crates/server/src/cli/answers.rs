//! What our API answers, as far as the commands read it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use angarium_domain::access::{Mode, Scope};
use angarium_domain::delivery::{DeathCause, Status};
use angarium_domain::dispatch::Condition;
use angarium_domain::event::Origin;
use angarium_domain::event_type::EventType;
use angarium_domain::ids::{ApiKeyId, DeliveryId, EventId, ReplayId, SubscriptionId, TokenId};
use angarium_domain::outcome::{Class, Failure};
use angarium_domain::replay::JobStatus;
use angarium_domain::retry::Delay;
use angarium_domain::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

/// An act, as the audit log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditLine {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) object: String,
    pub(crate) ip: Option<IpAddr>,
    before: Option<BTreeMap<String, Value>>,
    after: Option<BTreeMap<String, Value>>,
}

impl AuditLine {
    /// The names of the fields that the act changed.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let fields = self.before.iter().chain(&self.after).flat_map(BTreeMap::keys).map(String::as_str);
        fields.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// An event that is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) event_id: EventId,
    /// How many subscriptions want it.
    pub(crate) deliveries: u64,
}

/// A delivery, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
pub(crate) struct Delivery {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) event_id: EventId,
    pub(crate) event_type: EventType,
    pub(crate) subscription_id: SubscriptionId,
    pub(crate) status: Status,
    pub(crate) origin: Origin,
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) last_status: Option<u16>,
    pub(crate) last_error: Option<Failure>,
    pub(crate) reason: Option<DeathCause>,
    pub(crate) replay_of: Option<DeliveryId>,
    pub(crate) replayed_by: Option<DeliveryId>,
    pub(crate) discarded_at: Option<Timestamp>,
}

/// A delivery with its attempts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryLife {
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    pub(crate) attempt_log: Vec<Attempt>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) started_at: Timestamp,
    pub(crate) duration_ms: f64,
    pub(crate) timing: Timing,
    pub(crate) endpoint: String,
    pub(crate) remote_address: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<Failure>,
    pub(crate) error_detail: Option<String>,
    pub(crate) response_headers: Vec<(String, String)>,
    pub(crate) response_body: String,
    pub(crate) response_truncated: bool,
    pub(crate) class: Class,
    pub(crate) why: String,
    pub(crate) advice: Option<String>,
    pub(crate) delay: Option<Delay>,
}

/// Where an attempt's time went. A reused connection has no first three parts.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire, with their unit")]
pub(crate) struct Timing {
    pub(crate) dns_ms: Option<f64>,
    pub(crate) connect_ms: Option<f64>,
    pub(crate) tls_ms: Option<f64>,
    pub(crate) first_byte_ms: Option<f64>,
}

/// One delivery is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replayed {
    pub(crate) delivery_id: DeliveryId,
}

/// A replay that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayCreated {
    /// None if it was only counted.
    pub(crate) replay_id: Option<ReplayId>,
    pub(crate) matched: u64,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replay {
    pub(crate) status: JobStatus,
    pub(crate) missing: bool,
    pub(crate) matched: u64,
    pub(crate) replayed: u64,
    pub(crate) skipped: u64,
}

/// A subscription in figures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    pub(crate) since: Timestamp,
    pub(crate) attempts: u64,
    pub(crate) delivered: u64,
    pub(crate) retried: u64,
    pub(crate) dead: u64,
    pub(crate) success_rate: Option<f64>,
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) attempt_ms: Percentiles,
    pub(crate) delivery_ms: Percentiles,
    pub(crate) lane: LaneNow,
    pub(crate) backlog: Backlog,
}

/// Times in milliseconds; none if there was nothing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LaneNow {
    pub(crate) state: Condition,
    pub(crate) limit: Option<u32>,
    pub(crate) in_flight: u32,
}

/// What waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Backlog {
    pub(crate) scheduled: u32,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
    pub(crate) oldest_age_seconds: Option<u64>,
}

/// A personal access token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
pub(crate) struct Token {
    pub(crate) token_id: TokenId,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
    /// Its text, on creation only.
    pub(crate) token: Option<String>,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKey {
    pub(crate) key_id: ApiKeyId,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
    /// Its text, on creation only.
    pub(crate) key: Option<String>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Webhook {
    pub(crate) subscription_id: SubscriptionId,
    pub(crate) endpoint_url: String,
    /// On creation only.
    pub(crate) secret: Option<String>,
}

impl Delivery {
    /// What the last attempt came to, in a word; none before the first.
    pub(crate) fn last_answer(&self) -> Option<String> {
        answer(self.last_status, self.last_error)
    }

    /// Whether nothing more will happen to it.
    pub(crate) fn is_final(&self) -> bool {
        match self.status {
            Status::Pending | Status::InFlight | Status::Retrying | Status::Held => false,
            Status::Delivered | Status::Dead | Status::Cancelled => true,
        }
    }
}

impl Attempt {
    /// What it came to, in a word.
    pub(crate) fn answer(&self) -> String {
        answer(self.status, self.error).unwrap_or_else(|| "no answer".to_owned())
    }
}

fn answer(status: Option<u16>, error: Option<Failure>) -> Option<String> {
    status.map(|status| status.to_string()).or_else(|| error.map(|error| error.as_str().to_owned()))
}

/// So many deliveries, in words.
pub(crate) fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}

/// Reads one of the words that the wire has for something, for a flag.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}
