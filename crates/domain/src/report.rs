//! Reports to whoever runs the service: a customer's, an operator's, and a stranger's about what somebody publishes.
//!
//! What a report names is either checked, because its reporter may see it, or it is a word and nothing more.

mod untold;

use std::net::IpAddr;

pub use untold::{Sort, Told, Untold};

use serde::{Deserialize, Serialize};

use crate::event_type::EventType;
use crate::handle::Handle;
use crate::ids::{
    DeliveryId, EmailSubscriptionKind, EventId, Kind as _, ReportId, SubscriptionId, SubscriptionKind,
};
use crate::time::Timestamp;

/// The longest summary.
pub const SUMMARY_CHARS_MAX: usize = 200;
/// The longest details.
pub const DETAILS_CHARS_MAX: usize = 10_000;
/// The longest word about what a report is about.
pub const WORD_CHARS_MAX: usize = 200;
/// The longest artifact: an address where something can be seen, or a few lines.
pub const ARTIFACT_CHARS_MAX: usize = 4_000;
/// The longest details of somebody who showed no credential.
pub const STRANGERS_DETAILS_CHARS_MAX: usize = 4_000;
/// The longest artifact of somebody who showed no credential, and the longest address of content.
pub const STRANGERS_ARTIFACT_CHARS_MAX: usize = 1_000;
/// Reports of strangers that are kept: some 150 MB at most. One more, and the oldest goes.
pub const STRANGERS_MAX: u32 = 5_000;
/// The longest note about what came of a report.
pub const NOTE_CHARS_MAX: usize = 4_000;
/// Deliveries in the evidence of one report, newest first.
pub const DELIVERIES_MAX: u32 = 5;

/// One report. What it says never changes; it is closed, and may be opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// Of which kind.
    pub kind: Kind,
    /// Whose it is, if its reporter showed a credential for the handle. It goes with the handle.
    pub handle: Option<Handle>,
    /// Who reported it.
    pub reporter: Reporter,
    /// In one line.
    pub summary: String,
    /// At length.
    pub details: String,
    /// What it is about.
    pub about: About,
    /// What the service knows about that. None unless ids were named and checked.
    pub evidence: Option<Evidence>,
    /// That nothing is left to be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// When.
    pub created_at: Timestamp,
}

/// That nothing is left to be done about a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// Since when.
    pub at: Timestamp,
    /// Who says so.
    pub by: String,
    /// What came of it, in their words.
    pub note: Option<String>,
}

/// Whether something is left to be done about a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Open,
    /// It is not.
    Closed,
}

/// Who reports what to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A user of the service, that something does not work.
    Support,
    /// A platform admin, that somebody else has to look.
    Escalation,
    /// Anybody, that something published is not right.
    Content,
}

/// Who reported something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reporter {
    /// A token's id or a JWT's subject; none for somebody without a credential.
    pub actor: Option<String>,
    /// The address that it came from, which may be a proxy's.
    pub ip: Option<IpAddr>,
    /// The request that brought it.
    pub request_id: String,
}

/// What a report is about, in its reporter's words. Those of a reporter with a credential were checked: the handle, the
/// subscription and the event are there, and theirs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct About {
    /// A handle.
    pub handle: Option<String>,
    /// A session of a chain, or of whatever the reporter calls one.
    pub session_id: Option<String>,
    /// A subscription.
    pub subscription_id: Option<String>,
    /// An event.
    pub event_id: Option<String>,
    /// A request, by the `x-request-id` of its answer.
    pub request_id: Option<String>,
    /// What shows it again.
    pub repro_artifact: Option<String>,
    /// Where the content is.
    pub url: Option<String>,
    /// Where an answer would go.
    pub contact: Option<String>,
    /// Another report that this one is about.
    pub report_id: Option<ReportId>,
}

/// What the log says about a subscription and an event: what support would ask for first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The subscription that was named.
    pub subscription: Option<SubscriptionEvidence>,
    /// The event that was named.
    pub event: Option<EventEvidence>,
    /// The deliveries of what was named, newest first, at most [`DELIVERIES_MAX`].
    pub deliveries: Vec<DeliveryEvidence>,
}

/// How a subscription stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionEvidence {
    /// Which.
    pub subscription_id: SubscriptionId,
    /// Where it receives: host and path, never the query.
    pub endpoint: String,
    /// How it stood when the report came; `removed` where only its deliveries are left.
    pub status: String,
}

/// What an event was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventEvidence {
    /// Which.
    pub event_id: EventId,
    /// Its type.
    pub r#type: EventType,
    /// Live, test, system or sandbox.
    pub origin: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryEvidence {
    /// Which.
    pub delivery_id: DeliveryId,
    /// Of which event.
    pub event_id: EventId,
    /// To which subscription.
    pub subscription_id: SubscriptionId,
    /// Live, test, system or sandbox.
    pub origin: String,
    /// Where it stood, in the words of the wire.
    pub status: String,
    /// Its attempts, by number.
    pub attempts: Vec<AttemptEvidence>,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptEvidence {
    /// From 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// Where it went: host and path, never the query.
    pub endpoint: String,
    /// The status that the receiver answered with.
    pub status: Option<u16>,
    /// What it came to, in words.
    pub outcome: String,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Support, Kind::Escalation, Kind::Content];

    /// Its word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Support => "support",
            Kind::Escalation => "escalation",
            Kind::Content => "content",
        }
    }
}

impl Status {
    /// Both.
    pub const ALL: [Status; 2] = [Status::Open, Status::Closed];
}

impl Report {
    /// Whether nobody knows who reported it.
    pub fn is_of_a_stranger(&self) -> bool {
        self.reporter.actor.is_none()
    }

    /// Whether something is left to be done about it.
    pub fn status(&self) -> Status {
        if self.closing.is_some() { Status::Closed } else { Status::Open }
    }
}

/// The subscription that a reporter means, by any of the names that it has: `sub_…`, `ems_…` for those of e-mail, and
/// `wh_…` in the v1 API. They have the same 26 characters.
pub fn subscription_named(text: &str) -> Option<SubscriptionId> {
    let (prefix, digits) = text.split_once('_')?;
    let is_known = [SubscriptionKind::PREFIX, EmailSubscriptionKind::PREFIX, "wh"].contains(&prefix);
    format!("{}_{digits}", SubscriptionKind::PREFIX).parse().ok().filter(|_| is_known)
}

/// Whether a text holds nothing but what people write: letters and signs, and breaks between lines.
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|char| !char.is_control() || matches!(char, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_known_by_each_of_its_names() {
        let id = SubscriptionId::from_bytes([7; 16]);
        for prefix in ["sub", "ems", "wh"] {
            assert_eq!(subscription_named(&format!("{prefix}_{}", id.digits())), Some(id), "{prefix}");
        }
        for text in ["", "sub", "sub_", "evt_00e1r70w3g7y1r70w3g7y1r70w", &id.digits()] {
            assert_eq!(subscription_named(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_has_lines_and_no_other_controls() {
        assert!(is_plain("at noon,\r\n\tall of them \u{1F4A5}\n"));
        for text in ["\0", "a\u{1b}[2J", "\u{7f}", "\u{85}"] {
            assert!(!is_plain(text), "{text:?}");
        }
    }
}
