//! CloudEvents 1.0: an event's attributes, in its body (structured mode) or in headers (binary mode).
//!
//! Both modes carry the same attributes, so that a receiver may change from one to the other. Two are
//! extensions: `attempt`, from 1, and `partitionkey`, which is the publisher's ordering key.

use crate::event::Event;

/// The specification's version that we speak.
const SPECVERSION: &str = "1.0";

/// Structured mode: one JSON object with the attributes, and the payload as its `data`.
pub(crate) fn structured(event: &Event, attempt: u32) -> String {
    let Event { id, handle, event_type, occurred_at, payload, .. } = event;
    let partition = event.ordering_key.as_deref().map(|key| {
        let key = serde_json::to_string(key).expect("text is always JSON");
        format!(r#","partitionkey":{key}"#)
    });
    let (partition, payload) = (partition.unwrap_or_default(), payload.as_str());
    format!(
        r#"{{"specversion":"{SPECVERSION}","id":"{id}","source":"/handles/{handle}","type":"{event_type}","time":"{occurred_at}","datacontenttype":"application/json","attempt":{attempt}{partition},"data":{payload}}}"#
    )
}

/// Binary mode: the attributes as headers; the body is the payload as it was published.
pub(crate) fn headers(event: &Event, attempt: u32) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("ce-specversion", SPECVERSION.to_owned()),
        ("ce-id", encoded(&event.id.to_string())),
        ("ce-source", encoded(&format!("/handles/{}", event.handle))),
        ("ce-type", encoded(event.event_type.as_str())),
        ("ce-time", encoded(event.occurred_at.as_str())),
        ("ce-attempt", attempt.to_string()),
    ];
    headers.extend(event.ordering_key.as_deref().map(|key| ("ce-partitionkey", encoded(key))));
    headers
}

/// A value as the HTTP binding writes it into a header: space, `"`, `%` and what is not visible ASCII
/// become the percent-encoded bytes of their UTF-8 (section 3.1.3.2).
fn encoded(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
            text.extend(['%', digits[0], digits[1]]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Origin;
    use crate::ids::EventId;
    use crate::payload::Payload;
    use crate::time::Timestamp;

    fn event(ordering_key: Option<&str>) -> Event {
        Event {
            id: EventId::from_bytes([1; 16]),
            handle: "acme".parse().expect("a handle"),
            event_type: "link.clicked".parse().expect("a type"),
            occurred_at: "2026-02-25T12:00:00Z".parse().expect("a time"),
            accepted_at: Timestamp::from_seconds(1),
            origin: Origin::Live,
            ordering_key: ordering_key.map(Into::into),
            payload: Payload::of_our_own(&json!({"n": 1})),
            trace: None,
        }
    }

    #[test]
    fn structured_mode_holds_the_attributes_and_the_payload() {
        let body: Value = serde_json::from_str(&structured(&event(Some("a \"b\" é")), 3)).expect("JSON");
        assert_eq!(
            body,
            json!({
                "specversion": "1.0", "id": "evt_01040g2081040g2081040g2081", "source": "/handles/acme",
                "type": "link.clicked", "time": "2026-02-25T12:00:00Z", "datacontenttype": "application/json",
                "attempt": 3, "partitionkey": "a \"b\" é", "data": { "n": 1 },
            })
        );
    }

    #[test]
    fn binary_mode_names_the_content_type_once_and_not_as_an_attribute() {
        assert_eq!(
            headers(&event(None), 3),
            [
                ("ce-specversion", "1.0"),
                ("ce-id", "evt_01040g2081040g2081040g2081"),
                ("ce-source", "/handles/acme"),
                ("ce-type", "link.clicked"),
                ("ce-time", "2026-02-25T12:00:00Z"),
                ("ce-attempt", "3"),
            ]
            .map(|(name, value)| (name, value.to_owned()))
        );
    }

    #[test]
    fn both_modes_carry_the_same_attributes() {
        let event = event(Some("k"));
        let body: Value = serde_json::from_str(&structured(&event, 1)).expect("JSON");
        for (name, value) in headers(&event, 1) {
            let attribute = &body[name.trim_start_matches("ce-")];
            assert_eq!(
                attribute.as_str().map_or_else(|| attribute.to_string(), str::to_owned),
                value,
                "{name}"
            );
        }
    }

    /// The examples of the HTTP binding, section 3.1.3.2.
    #[test]
    fn values_are_percent_encoded_as_the_binding_says() {
        for (value, header) in [
            ("Euro \u{20AC} \u{1F600}", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("\"%\"", "%22%25%22"),
            ("!#$&'()*+,/:;=?@[]^_`{|}~", "!#$&'()*+,/:;=?@[]^_`{|}~"),
            ("a\nb\u{7f}", "a%0Ab%7F"),
        ] {
            assert_eq!(encoded(value), header);
        }
    }
}
