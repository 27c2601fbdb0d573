//! Chains of signals: what is known of a session, and what its handle's rules decide upon it.
//!
//! A session collects signals in a ledger that only grows. A rule says which signals it asks for and
//! what is decided when they are there; the first rule of a trigger that holds decides. Everything here
//! is a function of what is given: the ledger, the rules and the time.

mod evaluate;
mod ledger;
mod name;
mod origins;
mod room;
mod rule;
mod rulebook;
mod signal;
#[cfg(test)]
mod tests;

pub use evaluate::{Board, Explained, Failure, Group, Match, Ruling, Verdict};
pub use ledger::{Cooldown, Evidence, Progress, Recorded, SessionFull};
pub use name::{InvalidName, InvalidSessionId, NAME_CHARS_MAX, Name, RESERVED, SessionId};
pub use origins::{InvalidOrigin, InvalidOrigins, ORIGINS_MAX, Origin, Origins};
pub use room::{HandleFull, Holdings, Room};
pub use rule::{
    CONDITIONS_MAX, Condition, DECISION_BYTES_MAX, Decision, InvalidDecision, InvalidWanted, PRIORITIES,
    Rule, SECONDS, Wanted, When,
};
pub use rulebook::{InvalidRulebook, Publish, RULES_BYTES_MAX, RULES_MAX, Rulebook};
pub use signal::{
    Confidence, InvalidConfidence, InvalidValue, METADATA_BYTES_MAX, Metadata, SOURCE_CHARS_MAX, Signal,
    Source, VALUE_BYTES_MAX, Value,
};

use std::time::Duration;

/// The most signals that a session holds. They make room when they expire.
pub const SIGNALS_PER_SESSION_MAX: u32 = 200;
/// The most signals in one request.
pub const SIGNALS_PER_REQUEST_MAX: usize = 50;
/// The most triggers that are asked for at once.
pub const TRIGGERS_MAX: usize = 20;
/// The longest that a decision may be kept by whoever asked for it: rules may change meanwhile, and
/// signals come.
pub const DECISION_KEPT_MAX: Duration = Duration::from_mins(1);
/// How deeply a value, metadata or a decision may nest.
pub const DEPTH_MAX: usize = 16;

/// How deeply a value nests: a scalar not at all.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
