//! The record of one attempt: what an operator reads at three in the morning.

use serde::{Deserialize, Serialize};

use crate::outcome::{Class, Outcome};
use crate::retry::Delay;
use crate::time::Timestamp;

/// How many bytes of an answer's body a record keeps.
pub const BODY_KEPT_BYTES: usize = 4 * 1024;

/// One attempt, as it is stored. Records are written once, together with their settlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// From 1; the number in `x-arjun-attempt`.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// What came back.
    #[serde(flatten)]
    pub exchange: Exchange,
    /// The class given by the subscription's policy.
    pub class: Class,
    /// The wait that followed, if another attempt was scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// What a channel brings back from one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took, and its parts.
    pub timing: Timing,
    /// Where it went: host and path, never the query.
    pub endpoint: String,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<String>,
    /// The answer's headers as received; values that are not text are shown in a lossy form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<(String, String)>,
    /// The first [`BODY_KEPT_BYTES`] of the answer's body, in a lossy text form.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response_body: String,
    /// Whether there was more.
    #[serde(default)]
    pub response_truncated: bool,
    /// The channel's words about a failure, without internal addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Where the time of an attempt went, in microseconds. A part that did not happen is absent: a
/// reused connection has no name lookup, no connect and no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// From the start to the end of reading.
    pub total_us: u64,
    /// Looking the name up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    /// Connecting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// The TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    /// From the request to the status line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
}

impl Exchange {
    /// An exchange without a receiver: what was to be delivered is written with its settlement.
    pub fn stored(place: &str) -> Exchange {
        Exchange {
            outcome: Outcome::Stored,
            timing: Timing::default(),
            endpoint: place.to_owned(),
            remote_address: None,
            response_headers: Vec::new(),
            response_body: String::new(),
            response_truncated: false,
            detail: None,
        }
    }

    /// An exchange in which nothing was sent.
    pub fn failed(failure: crate::outcome::Failure, endpoint: &str, detail: impl Into<String>) -> Exchange {
        Exchange {
            outcome: Outcome::Failed { failure },
            timing: Timing::default(),
            endpoint: endpoint.to_owned(),
            remote_address: None,
            response_headers: Vec::new(),
            response_body: String::new(),
            response_truncated: false,
            detail: Some(detail.into()),
        }
    }
}
