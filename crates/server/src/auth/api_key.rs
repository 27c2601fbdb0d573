//! The API key of a request: in `x-api-key`, or as a bearer credential.

use http::{HeaderMap, HeaderName};

use super::bearer::{self, Credential};
use crate::problem::Problem;

pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The key that a caller showed. Both headers may hold it, if they hold the same.
pub(super) fn credential(headers: &HeaderMap) -> Result<&str, Problem> {
    match (in_its_own_header(headers)?, as_bearer(headers)?) {
        (Some(key), Some(bearer)) if key != bearer => Err(two_credentials()),
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err(missing()),
    }
}

/// Unknown, revoked, of another kind, or with another secret: all the same to the caller.
pub(super) fn invalid() -> Problem {
    Problem::unauthorized("invalid_token", "the API key is not valid")
}

pub(super) fn expired() -> Problem {
    Problem::unauthorized("token_expired", "the API key's time has passed")
}

fn in_its_own_header(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(API_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(two_credentials());
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| invalid())
}

fn as_bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    match bearer::credential(headers) {
        Ok(Credential::Token(text) | Credential::Jwt(text)) => Ok(Some(text)),
        Err(problem) if problem.code == "missing_bearer_token" => Ok(None),
        Err(_) => Err(invalid()),
    }
}

fn two_credentials() -> Problem {
    let message = "the request shows two API keys, and they are not the same";
    Problem::unauthorized("invalid_token", message)
}

fn missing() -> Problem {
    let message = "send an API key in the header x-api-key, or in authorization as Bearer and the key";
    Problem::unauthorized("missing_bearer_token", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &[(&str, &str)], expected: Result<&str, &str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let found = credential(&headers);
        assert_eq!(found.as_deref().map_err(|problem| problem.code.as_str()), expected, "{given:?}");
    }

    #[test]
    fn either_header_will_do_and_both_if_they_agree() {
        check(&[("x-api-key", "pxk_live_a")], Ok("pxk_live_a"));
        check(&[("authorization", "Bearer pxk_live_a")], Ok("pxk_live_a"));
        check(&[("x-api-key", "pxk_live_a"), ("authorization", "bearer pxk_live_a")], Ok("pxk_live_a"));
    }

    #[test]
    fn two_keys_are_no_key() {
        check(&[("x-api-key", "a"), ("authorization", "Bearer b")], Err("invalid_token"));
        check(&[("x-api-key", "a"), ("x-api-key", "a")], Err("invalid_token"));
        check(&[("authorization", "Bearer a"), ("authorization", "Bearer a")], Err("invalid_token"));
    }

    #[test]
    fn nothing_and_other_schemes_are_missing_keys() {
        check(&[], Err("missing_bearer_token"));
        check(&[("authorization", "Basic dTpw")], Err("missing_bearer_token"));
    }
}
