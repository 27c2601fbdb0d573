//! JWTs for tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The secret that the service under test verifies with.
pub(crate) const SECRET: &str = "a secret for tests that is long enough to be one";

/// A JWT with these claims, signed with [`SECRET`].
pub(crate) fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        .expect("a token")
}

/// What a person with a role on a handle says.
pub(crate) fn claims(handle: &str, role: &str) -> Value {
    json!({ "sub": "tester", "exp": in_seconds(3600), "handles": { handle: role } })
}

/// A good JWT for a role on a handle.
pub(crate) fn jwt(handle: &str, role: &str) -> String {
    signed(&claims(handle, role))
}

/// A time from now, in Unix seconds.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    #[expect(clippy::disallowed_methods, reason = "tokens are judged by the real clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_secs() as i64 + seconds
}
