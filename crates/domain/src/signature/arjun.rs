//! The `x-arjun-*` headers of the v2 API: `sha256=<hex>` over the raw body (seed 002).

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER_PERMISSIVE;

use super::{ToSign, mac};

const SIGNATURE: &str = "x-arjun-signature";
/// What comes before the digits.
const PREFIX: &str = "sha256=";

pub(super) fn sign(key: &hmac::Key, request: &ToSign<'_>, headers: &mut Vec<(&'static str, String)>) {
    headers.push((SIGNATURE, value(&mac(key, &[request.body]))));
    headers.push(("x-arjun-event-type", request.event_type.to_string()));
    headers.push(("x-arjun-attempt", request.attempt.to_string()));
}

fn value(tag: &hmac::Tag) -> String {
    let mut value = String::with_capacity(PREFIX.len() + 64);
    value.push_str(PREFIX);
    HEXLOWER_PERMISSIVE.encode_append(tag.as_ref(), &mut value);
    value
}
