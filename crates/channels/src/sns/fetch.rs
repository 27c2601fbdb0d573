//! Asking SNS: over https, behind the guard, once.

use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use angarium_domain::outcome::Outcome;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;

use crate::egress::{AddressPolicy, Guard, NoResolver, SystemResolver};
use crate::http::{BODY_READ_BYTES_MAX, Client, Clock, InvalidRoots, Limits};

/// The deadline of a request, over all of it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Asks for what an address has.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The text of a 200. No redirects are followed, and nothing is asked twice.
    async fn get(&self, url: &str) -> Result<String, Unfetched>;
}

/// There was no such answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unfetched {
    /// Words for the operator.
    pub reason: String,
}

/// Asks on the public internet and nowhere else, whatever is open to webhooks.
pub struct GuardedFetch {
    client: Client,
}

/// Nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub enum NoFetch {
    /// Names cannot be looked up.
    #[error(transparent)]
    Resolver(#[from] NoResolver),
    /// Nobody is trusted.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
}

impl GuardedFetch {
    /// Asks the host's name servers.
    pub fn new(now: Clock) -> Result<GuardedFetch, NoFetch> {
        let limits = Limits { body_kept_bytes: BODY_READ_BYTES_MAX, ..Limits::default() };
        let resolver = Arc::new(SystemResolver::new()?);
        let guard = Arc::new(Guard::new(AddressPolicy::default(), resolver, limits.lookup));
        Ok(GuardedFetch { client: Client::new(guard, Vec::new(), now, &limits)? })
    }
}

#[async_trait]
impl Fetch for GuardedFetch {
    async fn get(&self, url: &str) -> Result<String, Unfetched> {
        let unfetched = |reason: String| Unfetched { reason };
        let request =
            Request::get(url).body(Full::new(Bytes::new())).map_err(|error| unfetched(error.to_string()))?;
        let endpoint = url.split('?').next().unwrap_or_default();
        let exchange = self.client.send(request, endpoint, DEADLINE).await;
        match exchange.outcome {
            Outcome::Answered { status: 200, .. } if !exchange.response_truncated => {
                Ok(exchange.response_body)
            }
            Outcome::Answered { status: 200, .. } => {
                Err(unfetched(format!("{endpoint} answered more than {BODY_READ_BYTES_MAX} bytes")))
            }
            outcome => {
                let detail = exchange.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                Err(unfetched(format!("{endpoint} answered {outcome}{detail}")))
            }
        }
    }
}
