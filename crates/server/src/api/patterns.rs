//! A list of event types and patterns, under whichever name an API has for it.

use std::borrow::Cow;

use angarium_domain::event_type::EventPattern;
use angarium_domain::subscription::{PATTERNS_MAX, without_duplicates};
use serde_json::value::RawValue;

use crate::api::form::Form;

/// The patterns in a list, each with its own place in the answer if it is not one.
pub(crate) fn patterns(form: &mut Form<'_>, field: &str, list: &RawValue) -> Option<Vec<EventPattern>> {
    let Ok(texts) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else {
        form.fault(field, format!("{field} must be a list of event types"));
        return None;
    };
    if texts.is_empty() || texts.len() > PATTERNS_MAX {
        let count = texts.len();
        form.fault(field, format!("{field} holds {count} patterns, the limits are 1 and {PATTERNS_MAX}"));
        return None;
    }
    let read = texts.iter().enumerate().filter_map(|(place, text)| {
        let pattern = serde_json::from_str::<Cow<'_, str>>(text.get())
            .map_err(|_| "an event type is a text".to_owned());
        let pattern =
            pattern.and_then(|text| text.parse::<EventPattern>().map_err(|error| error.to_string()));
        pattern.map_err(|message| form.fault(format!("{field}[{place}]"), message)).ok()
    });
    Some(without_duplicates(read.collect()))
}
