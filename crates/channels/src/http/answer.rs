//! Reading an answer: the head decides, the body is a courtesy with a limit.

use ::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use ::http::{HeaderMap, Response};
use angarium_domain::attempt::{Exchange, Timing};
use angarium_domain::outcome::{Failure, Outcome};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;

/// How much of a body is read so that its connection can be used again. Beyond it the connection is dropped.
pub const BODY_READ_BYTES_MAX: usize = 64 * 1024;

/// Judges a head: its status, and whether all would agree on where the body ends.
pub(super) fn check_head<B>(response: &Response<B>) -> Result<u16, Fault> {
    let status = response.status().as_u16();
    if !(200..=599).contains(&status) {
        return Err(Fault::new(Failure::ProtocolError, format!("the status is {status}")));
    }
    let headers = response.headers();
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    if lengths > 1 || lengths == 1 && headers.contains_key(TRANSFER_ENCODING) {
        return Err(Fault::new(Failure::ProtocolError, "the answer gives its length twice"));
    }
    Ok(status)
}

/// An exchange as far as the head tells it.
pub(super) fn from_head(headers: &HeaderMap, outcome: Outcome, endpoint: &str) -> Exchange {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Exchange {
        outcome,
        timing: Timing::default(),
        endpoint: endpoint.to_owned(),
        remote_address: None,
        response_headers: headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
            .collect(),
        response_body: String::new(),
        response_truncated: false,
        detail: None,
    }
}

/// The beginning of a body.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    bytes_max: usize,
    read: usize,
    ended: bool,
}

impl Kept {
    /// Reads a body until its end, its limit or the deadline, and keeps the first `bytes_max` of it.
    /// Whatever cuts it short changes no outcome.
    pub(super) async fn of(body: Incoming, bytes_max: usize, ends_at: Instant) -> Kept {
        let mut kept = Kept { bytes: Vec::new(), bytes_max, read: 0, ended: false };
        if body.is_end_stream() {
            kept.ended = true;
        } else {
            kept.ended = timeout_at(ends_at, kept.read(body)).await.unwrap_or(false);
        }
        kept
    }

    /// Whether the body ended of itself. If not, dropping it drops its connection.
    async fn read(&mut self, mut body: Incoming) -> bool {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let Some(data) = frame.data_ref() else { continue };
            let room = self.bytes_max - self.bytes.len();
            self.bytes.extend_from_slice(&data[..data.len().min(room)]);
            self.read += data.len();
            if self.read > BODY_READ_BYTES_MAX {
                return false;
            }
        }
        true
    }

    /// The text, and whether there was more.
    pub(super) fn into_text(self) -> (String, bool) {
        let truncated = !self.ended || self.read > self.bytes.len();
        let text = String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        (text, truncated)
    }
}
