//! The webhook channel: a signed request goes out as a POST, and what came back is data.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use ::http::{Method, Uri};
use angarium_domain::attempt::Exchange;
use angarium_domain::outcome::Failure;
use angarium_domain::subscription::EndpointUrl;
use async_trait::async_trait;
use http_body_util::Full;
use rustls::pki_types::CertificateDer;

use crate::egress::{AddressPolicy, Denied, Guard, NoResolver, Resolve, SystemResolver};
use crate::http::{Client, Clock, InvalidRoots, Limits};
use crate::{Channel, RefusedAddress, Request};

/// How the `user-agent` of every attempt begins. No subscription can ask for another.
pub const AGENT_PREFIX: &str = "Angarium/";
/// What receivers see of us.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Angarium/", env!("CARGO_PKG_VERSION")));

/// What a service is called that was given no name: true on the machine where it is tried.
pub const ORIGIN_DEFAULT: &str = "localhost";

/// What the channel is made of.
pub struct Settings {
    /// Where attempts may go.
    pub policy: AddressPolicy,
    /// Finds the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// Certificate authorities of the operator, trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The time of day.
    pub now: Clock,
    /// The DNS name that receivers are told is ours, in the handshake of `CloudEvents`.
    pub origin: String,
    /// Times and counts.
    pub limits: Limits,
}

impl Settings {
    /// The settings to run with: the host's name servers, the public certificate authorities, the
    /// default limits.
    pub fn new(policy: AddressPolicy, now: Clock) -> Result<Settings, NoResolver> {
        let resolver = Arc::new(SystemResolver::new()?);
        let origin = ORIGIN_DEFAULT.to_owned();
        Ok(Settings { policy, resolver, extra_roots: Vec::new(), now, origin, limits: Limits::default() })
    }
}

/// Sends webhooks. One for the whole process, since it holds the pool of connections.
pub struct WebhookChannel {
    guard: Arc<Guard>,
    client: Client,
    origin: String,
}

impl WebhookChannel {
    /// Fails only if the extra root certificates cannot be read.
    pub fn new(settings: Settings) -> Result<WebhookChannel, InvalidRoots> {
        let Settings { policy, resolver, extra_roots, now, origin, limits } = settings;
        let guard = Arc::new(Guard::new(policy, resolver, limits.lookup));
        let client = Client::new(Arc::clone(&guard), extra_roots, now, &limits)?;
        Ok(WebhookChannel { guard, client, origin })
    }
}

#[async_trait]
impl Channel for WebhookChannel {
    async fn check_address(&self, url: &str) -> Result<EndpointUrl, RefusedAddress> {
        let endpoint = self.guard.read(url)?;
        // What is dialled is read by another parser; an address on which the two differ is none.
        if endpoint.as_str().parse::<Uri>().is_err() {
            return Err(RefusedAddress::because("the URL holds a character that must be percent-encoded"));
        }
        match self.guard.addresses(&endpoint).await {
            Ok(_) | Err(Denied::Unresolved(_)) => Ok(EndpointUrl::vetted(endpoint.as_str())),
            Err(Denied::Blocked(refused)) => Err(refused),
        }
    }

    async fn send(&self, request: Request, deadline: Duration) -> Exchange {
        self.exchange(Method::POST, request, deadline).await
    }

    async fn ask(&self, request: Request, deadline: Duration) -> Exchange {
        self.exchange(Method::OPTIONS, request, deadline).await
    }

    fn origin(&self) -> &str {
        &self.origin
    }
}

impl WebhookChannel {
    async fn exchange(&self, method: Method, request: Request, deadline: Duration) -> Exchange {
        let url = request.url.clone();
        let endpoint = url.without_query();
        match outgoing(method, request) {
            Ok(outgoing) => self.client.send(outgoing, endpoint, deadline).await,
            Err(unsendable) => Exchange::failed(Failure::InternalError, endpoint, unsendable.to_string()),
        }
    }
}

/// A request that must not go out. Its parts are checked where they enter, so this is our own fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsendable {
    #[error("the address cannot be sent to")]
    Url,
    #[error("{0:?} is not the name of a header")]
    HeaderName(String),
    #[error("the value of header {0} holds more than visible ASCII and spaces")]
    HeaderValue(String),
}

fn outgoing(method: Method, request: Request) -> Result<::http::Request<Full<bytes::Bytes>>, Unsendable> {
    let uri: Uri = request.url.as_str().parse().map_err(|_| Unsendable::Url)?;
    let mut headers = headers(request.headers)?;
    // Said also of an empty body, about which the library would say nothing.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    let mut outgoing = ::http::Request::new(Full::new(request.body));
    *outgoing.method_mut() = method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}

pub(crate) fn headers(given: Vec<(String, String)>) -> Result<HeaderMap, Unsendable> {
    // Three of ours, and `host` and `content-length`.
    let mut headers = HeaderMap::with_capacity(given.len() + 5);
    for (name, value) in given {
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Unsendable::HeaderValue(name));
        }
        let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(Unsendable::HeaderName(name));
        };
        // The value takes over the text's own memory.
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
            .expect("visible ASCII is a header value");
        headers.append(known, value);
    }
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(headers)
}
