//! The voices of Angarium: outbound transports, behind one egress guard.
//!
//! This is the only crate that opens a connection to an address that a customer
//! gave us, and every such connection goes through [`egress`].

use std::time::Duration;

use angarium_domain::attempt::Exchange;
use angarium_domain::subscription::EndpointUrl;
use async_trait::async_trait;
use bytes::Bytes;

pub mod bucket;
pub mod egress;
pub mod email;
pub mod http;
pub mod library;
pub mod sender_domain;
pub mod sns;
pub mod webhook;

/// One signed request, ready to go out.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub url: EndpointUrl,
    /// Every header but `host` and `content-length`, in lower case. Values are visible ASCII and spaces.
    pub headers: Vec<(String, String)>,
    /// The signed bytes.
    pub body: Bytes,
}

/// Why an address was refused when a subscription was made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RefusedAddress {
    /// For the subscriber: what is wrong with the URL. Names no address that a private name resolved to.
    pub reason: String,
}

impl RefusedAddress {
    pub(crate) fn because(reason: impl Into<String>) -> RefusedAddress {
        RefusedAddress { reason: reason.into() }
    }
}

/// A kind of transport.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Judges an address that a subscriber gave, and brings it to its normal form.
    ///
    /// A name that does not resolve now is no reason for refusal; one that resolves to a forbidden
    /// address is. Every attempt judges again.
    async fn check_address(&self, url: &str) -> Result<EndpointUrl, RefusedAddress>;

    /// Makes one attempt, within one deadline over all of it. Never fails: a refusal is data.
    async fn send(&self, request: Request, deadline: Duration) -> Exchange;

    /// Asks an endpoint with OPTIONS and without a body whether it wants what [`Channel::send`]
    /// would send, under the same limits.
    async fn ask(&self, request: Request, deadline: Duration) -> Exchange;

    /// The name that we ask and send under (decisions/0018).
    fn origin(&self) -> &str;
}
