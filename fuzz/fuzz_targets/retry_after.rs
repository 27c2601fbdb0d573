//! Whatever a receiver puts into `Retry-After`: a number of seconds, a date, or nothing.

#![no_main]

use angarium_channels::http::wait_in;
use angarium_domain::time::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &str| {
    let now = Timestamp::from_seconds(1_800_000_000);
    let wait = wait_in(value, || now);
    let digits = value.trim();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let asked: Option<u64> = digits.parse().ok();
        assert_eq!(wait, Some(asked.unwrap_or(u64::MAX)));
    }
    // A later reading of the same date asks for no more.
    if let (Some(first), Some(later)) = (wait, wait_in(value, || Timestamp::from_seconds(1_900_000_000))) {
        assert!(later <= first, "{value:?} asks for {first} s, and later for {later} s");
    }
});
