//! How much of a request is read, and how long we wait for it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::problem::Problem;

/// The limits on what a caller sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The largest payload of one event.
    pub payload_bytes_max: usize,
    /// The most events in one batch.
    pub batch_events_max: usize,
}

/// The largest body of somebody whom nobody knows: fifty signals with all that they may hold would be more,
/// and pages do not send that.
const STRANGER_BODY_BYTES_MAX: usize = 64 * 1024;

impl Limits {
    /// The limits for somebody whom nobody knows.
    pub(crate) fn of_strangers(self) -> Limits {
        Limits { body_bytes_max: self.body_bytes_max.min(STRANGER_BODY_BYTES_MAX), ..self }
    }

    /// Reads a body to its end, within the limits. An empty body needs no content type.
    pub(crate) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        let bytes = self.read_whole(headers, body).await?;
        if !bytes.is_empty() {
            require_plain_json(headers)?;
        }
        Ok(bytes)
    }

    /// Reads a body to its end, within the limits, whatever it says that it is.
    pub(crate) async fn read_whole(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
        self.refuse_announced_excess(headers)?;
        let whole = Limited::new(body, self.body_bytes_max).collect();
        match tokio::time::timeout(self.body_timeout, whole).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Ok(Err(_)) => Err(Problem::invalid_payload("the body ended before it was complete")),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Spares a caller from sending what would be refused.
    fn refuse_announced_excess(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match announced {
            Some(bytes) if bytes > self.body_bytes_max as u64 => Err(self.too_large()),
            _ => Ok(()),
        }
    }

    fn too_large(&self) -> Problem {
        Problem::too_large(format!(
            "the body is larger than {} bytes, which is the limit",
            self.body_bytes_max
        ))
    }

    fn too_slow(&self) -> Problem {
        let seconds = self.body_timeout.as_secs();
        Problem::invalid_payload(format!("the body did not arrive within {seconds} s"))
    }
}

fn require_plain_json(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |message: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message);
    // We inflate nothing: a small body cannot become a large one.
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(unsupported("the body must not be compressed"));
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(unsupported("the content type must be application/json"))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LIMITS: Limits = Limits {
        body_bytes_max: 8,
        body_timeout: Duration::from_secs(1),
        payload_bytes_max: 8,
        batch_events_max: 1,
    };

    async fn code_of(headers: &[(http::HeaderName, &'static str)], body: impl Into<Body>) -> Option<String> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        LIMITS.read(&headers, body.into()).await.err().map(|problem| problem.code)
    }

    #[tokio::test]
    async fn json_within_the_limit_is_read() {
        assert_eq!(code_of(&[(CONTENT_TYPE, "application/json")], "12345678").await, None);
        assert_eq!(code_of(&[(CONTENT_TYPE, "Application/JSON; charset=utf-8")], "{}").await, None);
        assert_eq!(code_of(&[], "").await, None);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused_announced_or_not() {
        let json = (CONTENT_TYPE, "application/json");
        assert_eq!(
            code_of(std::slice::from_ref(&json), "123456789").await.as_deref(),
            Some("payload_too_large")
        );
        assert_eq!(code_of(&[json, (CONTENT_LENGTH, "9")], "").await.as_deref(), Some("payload_too_large"));
    }

    #[tokio::test]
    async fn other_media_types_and_codings_are_refused() {
        for media_type in ["text/plain", "application/xml", "application/jsonp", ""] {
            let code = code_of(&[(CONTENT_TYPE, media_type)], "{}").await;
            assert_eq!(code.as_deref(), Some("unsupported_media_type"), "{media_type}");
        }
        let gzip = [(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip")];
        assert_eq!(code_of(&gzip, "{}").await.as_deref(), Some("unsupported_media_type"));
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let endless = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<hyper::body::Frame<Bytes>, std::convert::Infallible>,
        >());
        let hasty = Limits { body_timeout: Duration::from_millis(1), ..LIMITS };
        let problem = hasty.read(&HeaderMap::new(), Body::new(endless)).await.expect_err("refused");
        assert_eq!(problem.code, "invalid_payload");
    }
}
