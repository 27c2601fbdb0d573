//! Whatever a caller sends as a cursor: what is taken was given out, and for that list only.

#![no_main]

use angarium_store::page::{cursor, parse_cursor};
use libfuzzer_sys::fuzz_target;

const LIST: &str = "acme deliveries status=dead";

fuzz_target!(|input: (&str, [u8; 16])| {
    let (text, position) = input;
    if let Ok(position) = parse_cursor(text, LIST) {
        assert_eq!(cursor(position, LIST), text);
    }
    let given_out = cursor(position, LIST);
    assert_eq!(parse_cursor(&given_out, LIST), Ok(position));
    assert!(parse_cursor(&given_out, "beta deliveries status=dead").is_err());
    if text != given_out {
        assert_ne!(parse_cursor(text, LIST), Ok(position));
    }
});
