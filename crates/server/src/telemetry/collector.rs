//! The exporter's hands: its requests, made by our own client.
//!
//! The clients that come with the exporter bring a second HTTP stack, or need a runtime where the
//! exporter has none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

use crate::exchange::{exchange, tls};

/// The deadline of one batch.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer; a collector has little to say.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends batches, each over a connection of its own: there are few.
#[derive(Debug)]
pub(super) struct Collector {
    /// None for one that is spoken to in the clear.
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Collector {
    /// For a collector at this address.
    pub(super) fn at(endpoint: &str) -> Result<Collector, rustls::Error> {
        let is_plain = endpoint.starts_with("http:");
        Ok(Collector { tls: if is_plain { None } else { Some(tls()?) } })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = exchange(request, self.tls.as_ref(), ANSWER_BYTES_MAX);
        tokio::time::timeout(DEADLINE, answer).await?
    }
}
