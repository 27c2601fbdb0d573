//! Whatever a caller sends as an idempotency key: what is taken is short, visible, and the same in quotes.

#![no_main]

use angarium_domain::idempotency::{KEY_CHARS_MAX, Scope, key_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (one, other) = input;
    let Some(key) = key_in(one) else { return };
    assert!((1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(key_in(&format!("\"{key}\"")), Some(key));
    // Two keys are one write only if they are the same key: no key can pretend to be another route.
    if let Some(other) = key_in(other) {
        let scope = |key| Scope::new("acme", "POST", "/events", key);
        assert_eq!(scope(key) == scope(other), key == other);
        assert_ne!(scope(key), Scope::new("beta", "POST", "/events", other));
    }
});
