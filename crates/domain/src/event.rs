//! What happened: the event and the bodies that it becomes on the wire.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::access::Mode;
use crate::cloud_events;
use crate::event_type::EventType;
use crate::handle::Handle;
use crate::ids::EventId;
use crate::payload::Payload;
use crate::time::{InvalidTimestamp, Timestamp};
use crate::trace_context::TraceContext;

/// An accepted event. Nothing in it changes after acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same on every attempt and replay: the receiver's key for duplicates.
    pub id: EventId,
    /// Whose event it is.
    pub handle: Handle,
    /// The dotted name of its kind.
    pub event_type: EventType,
    /// When it happened, as the publisher says; the time of acceptance if the publisher does not.
    pub occurred_at: OccurredAt,
    /// When we accepted it.
    pub accepted_at: Timestamp,
    /// Where it came from.
    pub origin: Origin,
    /// The publisher's word for what must stay in order; at most 128 bytes.
    pub ordering_key: Option<Box<str>>,
    /// The publisher's bytes.
    pub payload: Payload,
    /// The request that published it, if somebody traces it.
    pub trace: Option<Arc<TraceContext>>,
}

/// Where an event came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Published through the API.
    Live,
    /// Made by the test route of a subscription.
    Test,
    /// Made by Angarium about itself, such as `webhook.delivery.terminal_failure`.
    System,
    /// Published or tested with a test key: recorded and matched, and never sent.
    Sandbox,
}

impl Origin {
    /// Where an event comes from that somebody publishes in this mode.
    pub fn of_published(mode: Mode) -> Origin {
        match mode {
            Mode::Live => Origin::Live,
            Mode::Test => Origin::Sandbox,
        }
    }

    /// Where an event comes from that a subscription's test makes in this mode.
    pub fn of_test(mode: Mode) -> Origin {
        match mode {
            Mode::Live => Origin::Test,
            Mode::Test => Origin::Sandbox,
        }
    }

    /// Whether deliveries of such an event are attempted. Those of others are born cancelled.
    pub fn is_sent(self) -> bool {
        match self {
            Origin::Live | Origin::Test | Origin::System => true,
            Origin::Sandbox => false,
        }
    }
}

/// The publisher's time of an event, with seconds or milliseconds exactly as accepted (contract 1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurredAt(Box<str>);

impl OccurredAt {
    /// Takes back what [`OccurredAt::as_str`] gave to the store.
    pub fn from_stored(text: String) -> OccurredAt {
        OccurredAt(text.into())
    }

    /// RFC 3339 in UTC.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Timestamp> for OccurredAt {
    fn from(at: Timestamp) -> OccurredAt {
        OccurredAt(at.to_string().into())
    }
}

impl std::str::FromStr for OccurredAt {
    type Err = InvalidTimestamp;

    /// Keeps the text when it is UTC with whole seconds or milliseconds; brings other forms to that.
    fn from_str(text: &str) -> Result<OccurredAt, InvalidTimestamp> {
        let at: Timestamp = text.parse()?;
        let seconds = "2026-02-25T12:00:00Z".len();
        let millis = "2026-02-25T12:00:00.000Z".len();
        let ours =
            text.ends_with('Z') && text.as_bytes()[10] == b'T' && [seconds, millis].contains(&text.len());
        Ok(if ours { OccurredAt(text.into()) } else { at.into() })
    }
}

impl fmt::Display for OccurredAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shape of a delivery's body (contract 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadFormat {
    /// `{id,type,handle,occurredAt,payload}`.
    #[default]
    Native,
    /// `{type,timestamp,data}`, as Standard Webhooks advises.
    Standard,
    /// CloudEvents 1.0, structured mode.
    CloudEvents,
    /// CloudEvents 1.0, binary mode: the attributes are headers, and the body is the payload alone.
    #[serde(rename = "cloudevents-binary")]
    CloudEventsBinary,
    /// `{id,type,timestamp,data}`: what the v1 API has always sent.
    Platformxe,
}

impl PayloadFormat {
    /// The media type of the body.
    pub fn content_type(self) -> &'static str {
        match self {
            PayloadFormat::Native
            | PayloadFormat::Standard
            | PayloadFormat::Platformxe
            | PayloadFormat::CloudEventsBinary => "application/json",
            PayloadFormat::CloudEvents => "application/cloudevents+json; charset=UTF-8",
        }
    }

    /// The headers that belong to the body, beside its media type: lower-case names, each once.
    pub fn headers(self, event: &Event, attempt: u32) -> Vec<(&'static str, String)> {
        match self {
            PayloadFormat::Native
            | PayloadFormat::Standard
            | PayloadFormat::Platformxe
            | PayloadFormat::CloudEvents => Vec::new(),
            PayloadFormat::CloudEventsBinary => cloud_events::headers(event, attempt),
        }
    }

    /// The exact bytes that are signed and sent with an attempt, from 1.
    ///
    /// Ids, types, handles and times hold no character that JSON would escape,
    /// so they are written as they stand.
    pub fn body(self, event: &Event, attempt: u32) -> Bytes {
        let Event { id, handle, event_type, occurred_at, payload, .. } = event;
        let text = payload.as_str();
        match self {
            PayloadFormat::Native => format!(
                r#"{{"id":"{id}","type":"{event_type}","handle":"{handle}","occurredAt":"{occurred_at}","payload":{text}}}"#
            ).into(),
            PayloadFormat::Standard => {
                format!(r#"{{"type":"{event_type}","timestamp":"{occurred_at}","data":{text}}}"#).into()
            }
            PayloadFormat::Platformxe => {
                format!(r#"{{"id":"{id}","type":"{event_type}","timestamp":"{occurred_at}","data":{text}}}"#)
                    .into()
            }
            PayloadFormat::CloudEvents => cloud_events::structured(event, attempt).into(),
            PayloadFormat::CloudEventsBinary => payload.as_bytes().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: EventId::from_bytes([1; 16]),
            handle: "acme".parse().expect("a handle"),
            event_type: "link.clicked".parse().expect("a type"),
            occurred_at: "2026-02-25T12:00:00Z".parse().expect("a time"),
            accepted_at: Timestamp::from_seconds(1),
            origin: Origin::Live,
            ordering_key: None,
            payload: Payload::of_our_own(&serde_json::json!({"n": 1})),
            trace: None,
        }
    }

    #[test]
    fn native_bodies_have_the_shape_of_the_sources() {
        assert_eq!(
            PayloadFormat::Native.body(&event(), 1),
            r#"{"id":"evt_01040g2081040g2081040g2081","type":"link.clicked","handle":"acme","occurredAt":"2026-02-25T12:00:00Z","payload":{"n":1}}"#
        );
    }

    #[test]
    fn what_the_v1_api_sends_has_four_fields() {
        assert_eq!(
            PayloadFormat::Platformxe.body(&event(), 1),
            r#"{"id":"evt_01040g2081040g2081040g2081","type":"link.clicked","timestamp":"2026-02-25T12:00:00Z","data":{"n":1}}"#
        );
    }

    #[test]
    fn every_format_is_valid_json_with_the_payload_inside() {
        for (format, field) in [
            (PayloadFormat::Native, "payload"),
            (PayloadFormat::Standard, "data"),
            (PayloadFormat::CloudEvents, "data"),
            (PayloadFormat::Platformxe, "data"),
        ] {
            let body: serde_json::Value =
                serde_json::from_slice(&format.body(&event(), 1)).expect("valid JSON");
            assert_eq!(body[field], serde_json::json!({"n": 1}), "{format:?}");
        }
    }

    #[test]
    fn binary_mode_sends_the_payload_as_it_was_published() {
        let event = event();
        let format = PayloadFormat::CloudEventsBinary;
        assert_eq!(format.body(&event, 1), event.payload.as_bytes());
        assert_eq!(format.content_type(), "application/json");
        assert!(format.headers(&event, 1).iter().all(|(name, _)| name.starts_with("ce-")));
    }

    #[test]
    fn every_format_is_its_word_on_the_wire() {
        for (format, word) in [
            (PayloadFormat::Native, "native"),
            (PayloadFormat::Standard, "standard"),
            (PayloadFormat::CloudEvents, "cloudevents"),
            (PayloadFormat::CloudEventsBinary, "cloudevents-binary"),
        ] {
            assert_eq!(serde_json::to_value(format).expect("a word"), word);
            assert_eq!(serde_json::from_value::<PayloadFormat>(word.into()).expect("a format"), format);
        }
    }

    #[test]
    fn occurred_at_is_shown_as_it_was_accepted() {
        for (given, shown) in [
            ("2026-02-25T12:00:00Z", "2026-02-25T12:00:00Z"),
            ("2026-02-25T12:00:00.000Z", "2026-02-25T12:00:00.000Z"),
            ("2026-02-25T12:00:00.25Z", "2026-02-25T12:00:00.250Z"),
            ("2026-02-25T13:00:00+01:00", "2026-02-25T12:00:00Z"),
            ("2026-02-25 12:00:00Z", "2026-02-25T12:00:00Z"),
        ] {
            assert_eq!(given.parse::<OccurredAt>().map(|t| t.to_string()), Ok(shown.to_owned()));
        }
    }
}
