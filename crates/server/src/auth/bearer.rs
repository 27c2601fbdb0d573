//! The `Authorization` header.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::problem::Problem;

/// The beginning of every personal access token, by which it is told from a JWT.
const TOKEN_PREFIX: &str = "patv1_";
/// Longer credentials are not looked at: a token has 75 bytes, and a JWT must fit in a header anyway.
const BYTES_MAX: usize = 8 * 1024;

/// What a caller showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// A personal access token.
    Token(&'a str),
    /// Anything else is taken for a JWT, and fails as one.
    Jwt(&'a str),
}

/// The bearer credential of a request.
pub(super) fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(invalid());
    }
    let text = value.to_str().map_err(|_| invalid())?;
    let (scheme, credential) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    match credential.trim() {
        "" => Err(missing()),
        long if long.len() > BYTES_MAX => Err(invalid()),
        token if token.starts_with(TOKEN_PREFIX) => Ok(Credential::Token(token)),
        jwt => Ok(Credential::Jwt(jwt)),
    }
}

fn missing() -> Problem {
    Problem::unauthorized(
        "missing_bearer_token",
        "send a credential in the header authorization, as Bearer and the token",
    )
}

fn invalid() -> Problem {
    Problem::unauthorized("invalid_token", "the token is not valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<'a>(values: &[&str], expected: impl Into<Result<Credential<'a>, &'a str>>) {
        let expected = expected.into();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header value"));
        }
        let found = credential(&headers);
        assert_eq!(
            found.as_ref().map_err(|problem| problem.code.as_str()),
            expected.as_ref().map_err(|code| *code)
        );
    }

    #[test]
    fn tokens_and_jwts_are_told_apart_by_their_beginning() {
        check(&["Bearer patv1_x.y"], Ok(Credential::Token("patv1_x.y")));
        check(&["bearer a.b.c"], Ok(Credential::Jwt("a.b.c")));
    }

    #[test]
    fn other_schemes_and_empty_headers_are_missing_credentials() {
        for value in ["", "Bearer", "Bearer ", "Basic dTpw", "patv1_x.y"] {
            check(&[value], Err("missing_bearer_token"));
        }
        check(&[], Err("missing_bearer_token"));
    }

    #[test]
    fn two_headers_and_endless_ones_are_no_valid_credential() {
        check(&["Bearer a.b.c", "Bearer a.b.c"], Err("invalid_token"));
        check(&[&format!("Bearer patv1_{}", "x".repeat(9000))], Err("invalid_token"));
    }
}
