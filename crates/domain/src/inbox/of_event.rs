//! The item that tells people of an event.

use super::{BODY_CHARS_MAX, DATA_BYTES_MAX, Item};
use crate::catalog::built_in;
use crate::event::Event;
use crate::event_type::EventType;
use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// Said where an event's payload is too large for an item.
const LEFT_OUT: &str = "Its payload is too large for the inbox; the event has it.";

impl Item {
    /// The item that an event becomes on its way through a delivery. `description` is what the handle's
    /// catalogue says of the type.
    pub fn of_event(event: &Event, delivery: DeliveryId, description: Option<&str>, now: Timestamp) -> Item {
        let fits = event.payload.as_bytes().len() <= DATA_BYTES_MAX;
        let known = built_in(&event.event_type).map(|known| known.description);
        Item {
            id: delivery.of_kind(),
            handle: event.handle.clone(),
            item_type: event.event_type.clone(),
            title: title_of(&event.event_type),
            body: body_of(description.or(known), fits),
            data: fits.then(|| event.payload.clone()),
            action_url: None,
            created_at: now,
            expires_at: None,
        }
    }
}

/// A type as a person would say it: `order.item_added` is "Order item added".
fn title_of(event_type: &EventType) -> String {
    let words = event_type.as_str().replace(['.', '_'], " ");
    let mut words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    // A type of nothing but underscores is its own name.
    if words.is_empty() { event_type.to_string() } else { words }
}

fn body_of(description: Option<&str>, fits: bool) -> Option<String> {
    let room = BODY_CHARS_MAX - LEFT_OUT.len() - 1;
    let said: String = description.unwrap_or_default().chars().map(shown).take(room).collect();
    let said = said.trim().to_owned();
    match (said.is_empty(), fits) {
        (true, true) => None,
        (true, false) => Some(LEFT_OUT.to_owned()),
        (false, true) => Some(said),
        (false, false) => Some(format!("{said}\n{LEFT_OUT}")),
    }
}

/// A catalogue may say what an item may not.
fn shown(character: char) -> char {
    if character.is_control() && !matches!(character, '\n' | '\t') { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{check_body, check_title};
    use super::*;
    use crate::event::Origin;
    use crate::ids::EventId;
    use crate::payload::Payload;

    const NOON: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn item(event_type: &str, payload: &serde_json::Value, description: Option<&str>) -> Item {
        let event = Event {
            id: EventId::from_bytes([1; 16]),
            handle: "acme".parse().expect("a handle"),
            event_type: event_type.parse().expect("a type"),
            occurred_at: NOON.into(),
            accepted_at: NOON,
            origin: Origin::Live,
            ordering_key: None,
            payload: Payload::of_our_own(payload),
            trace: None,
        };
        Item::of_event(&event, DeliveryId::from_bytes([2; 16]), description, NOON)
    }

    #[test]
    fn an_event_is_told_in_words_with_its_payload_beside() {
        let item = item("order.item_added", &json!({ "n": 1 }), Some("Somebody wants more"));
        assert_eq!(
            (item.title.as_str(), item.body.as_deref()),
            ("Order item added", Some("Somebody wants more"))
        );
        assert_eq!(item.data.map(|data| data.as_str().to_owned()).as_deref(), Some(r#"{"n":1}"#));
        assert_eq!(item.id.digits(), DeliveryId::from_bytes([2; 16]).digits());
    }

    #[test]
    fn what_is_built_in_says_what_has_happened_by_itself() {
        let item = item("webhook.subscription.gone", &json!({}), None);
        assert_eq!(item.body.as_deref(), Some("A webhook answered 410 for the first time."));
    }

    #[test]
    fn a_payload_that_is_too_large_is_left_out_and_that_is_said() {
        let large = json!({ "x": "y".repeat(DATA_BYTES_MAX) });
        assert_eq!(item("a", &large, None).body.as_deref(), Some(LEFT_OUT));
        let described = item("a", &large, Some(&"d".repeat(5_000)));
        assert_eq!(described.data, None);
        let body = described.body.expect("a body");
        assert_eq!(body.chars().count(), BODY_CHARS_MAX);
        assert!(body.ends_with(LEFT_OUT));
    }

    #[test]
    fn whatever_a_type_and_a_catalogue_say_becomes_a_title_and_a_body() {
        for event_type in ["a", "_", "__._", "order.PAID", &"x_".repeat(64)] {
            let item = item(event_type, &json!({}), Some("\u{0}\u{7}bell"));
            assert_eq!(check_title(&item.title), Ok(()), "{event_type}");
            assert_eq!(check_body(item.body.as_deref().expect("a body")), Ok(()));
        }
    }
}
