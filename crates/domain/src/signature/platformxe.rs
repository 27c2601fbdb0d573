//! The `x-event-*` headers of the v1 API: bare hex over `{timestamp}.{body}` (seed 004).

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER_PERMISSIVE;

use super::{ToSign, mac};

const SIGNATURE: &str = "x-event-signature";
const TIMESTAMP: &str = "x-event-timestamp";

pub(super) fn sign(key: &hmac::Key, request: &ToSign<'_>, headers: &mut Vec<(&'static str, String)>) {
    let timestamp = request.at.as_seconds().to_string();
    let tag = mac(key, &[timestamp.as_bytes(), b".", request.body]);
    headers.push((SIGNATURE, HEXLOWER_PERMISSIVE.encode(tag.as_ref())));
    headers.push((TIMESTAMP, timestamp));
    headers.push(("x-event-type", request.event_type.to_string()));
    headers.push(("x-event-id", request.event_id.to_string()));
}
