//! Whatever a subscriber sends as a filter, and whatever payload it meets: reading and matching end, what is
//! taken means the same when it is written and read again, and `none` is the opposite.

#![no_main]

use angarium_domain::filter::Filter;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fn read(text: String) -> Option<Filter> {
    Filter::from_json(&RawValue::from_string(text).ok()?).ok()
}

fuzz_target!(|input: &str| {
    // The filter, and a payload after the first NUL.
    let (text, payload) = input.split_once('\0').unwrap_or((input, "null"));
    let Some(filter) = read(text.to_owned()) else { return };
    let written = serde_json::to_string(&filter).expect("a filter can be written");
    let again = read(written.clone()).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&again).expect("a filter can be written"), written);

    let Ok(payload) = serde_json::from_str::<Value>(payload) else { return };
    let matches = filter.matches(&payload);
    assert_eq!(again.matches(&payload), matches, "{written}");
    // One level deeper may be too deep, and that is all that may be wrong with it.
    if let Some(negation) = read(format!(r#"{{"none":[{written}]}}"#)) {
        assert_eq!(negation.matches(&payload), !matches, "{written}");
    }
});
