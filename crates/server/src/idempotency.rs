//! Idempotency keys: reading them, and tying them to one write (contract 1.3).

use angarium_domain::idempotency::{Scope, key_in};
use angarium_engine::RepeatKey;
use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::problem::Problem;

/// The key of one write, if its caller gave one: the same handle, method, route and key are the
/// same write, and the same body shows that it is. `header` is where the dialect has it.
pub(crate) fn repeat_key(
    header: &HeaderName,
    headers: &HeaderMap,
    tenant: &str,
    method: &Method,
    route: &str,
    body: &[u8],
) -> Result<Option<RepeatKey>, Problem> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(&format!("the request has more than one {header}")));
    }
    let key = value.to_str().ok().and_then(key_in).ok_or_else(|| {
        invalid("an idempotency key is 1 to 255 visible ASCII characters, bare or in double quotes")
    })?;
    let fingerprint = digest(&SHA256, body).as_ref().try_into().expect("SHA-256 has 32 bytes");
    Ok(Some(RepeatKey { scope: Scope::new(tenant, method.as_str(), route, key), fingerprint }))
}

fn invalid(message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

    fn key_of(value: &str) -> Result<Option<RepeatKey>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, value.parse().expect("a header value"));
        repeat_key(&IDEMPOTENCY_KEY, &headers, "acme", &Method::POST, "/v2/x", b"{}")
    }

    #[test]
    fn bare_and_quoted_keys_are_the_same_key() {
        let scope = |value| key_of(value).expect("a key").expect("some").scope;
        assert_eq!(scope("abc"), scope("\"abc\""));
        assert_ne!(scope("abc"), scope("abd"));
    }

    #[test]
    fn keys_that_are_empty_long_or_not_visible_are_refused() {
        let long = "k".repeat(256);
        for value in ["", "\"\"", "a b", &long] {
            assert_eq!(key_of(value).expect_err("refused").code, "invalid_idempotency_key", "{value:?}");
        }
        assert!(key_of(&"k".repeat(255)).is_ok());
        assert!(key_of(&format!("\"{}\"", "k".repeat(255))).is_ok());
    }

    #[test]
    fn no_header_is_no_key() {
        let key = repeat_key(&IDEMPOTENCY_KEY, &HeaderMap::new(), "acme", &Method::POST, "/", b"");
        assert!(key.expect("fine").is_none());
    }
}
