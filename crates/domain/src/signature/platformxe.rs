//! The `x-event-*` headers of the v1 API: bare hex over `{timestamp}.{body}` (seed 004).

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER_PERMISSIVE;

use super::{ToSign, mac};

pub(super) const SIGNATURE: &str = "x-event-signature";
pub(super) const TIMESTAMP: &str = "x-event-timestamp";
/// What a well-formed signature is, for messages.
pub(super) const SHAPE: &str = "64 hex digits";

pub(super) fn sign(key: &hmac::Key, request: &ToSign<'_>, headers: &mut Vec<(&'static str, String)>) {
    let timestamp = request.at.as_seconds().to_string();
    let tag = mac(key, &[timestamp.as_bytes(), b".", request.body]);
    headers.push((SIGNATURE, HEXLOWER_PERMISSIVE.encode(tag.as_ref())));
    headers.push((TIMESTAMP, timestamp));
    headers.push(("x-event-type", request.event_type.to_string()));
    headers.push(("x-event-id", request.event_id.to_string()));
}

/// The bytes behind a signature, if it has the right shape.
pub(super) fn read(value: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok().filter(|bytes| bytes.len() == 32)
}
