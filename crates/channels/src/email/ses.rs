//! Mails through Amazon SES: one signed request a mail (`POST /v2/email/outbound-emails`).
//!
//! SES replaces the mail's `Message-ID` by its own, so a mailbox cannot know the second copy of a mail
//! that was sent again after an unknown outcome. What it answers names the mail from then on: the
//! answer is kept in the record of the attempt.

mod answer;
mod credentials;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use ::http::request::Parts;
use ::http::{Request, Uri};
use angarium_domain::attempt::Exchange;
use angarium_domain::mail_notice::{DELIVERY_TAG, HANDLE_TAG};
use angarium_domain::outcome::Failure;
use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::Full;
use reqsign_aws_v4::Credential;
use reqsign_core::hash::hex_sha256;
use reqsign_core::{ErrorKind, Signer};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::message::{Sender, outgoing};
use super::{Mail, Mailer, NoConnection};
use crate::egress::{AddressPolicy, Guard, NoResolver, SystemResolver};
use crate::http::{Client, Clock, InvalidRoots, Limits};

pub use credentials::AwsCredentials;
pub(crate) use credentials::{aws_context, signer};

/// The service's name in signatures.
const SERVICE: &str = "ses";
/// The header that says what was signed.
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// What SES sees of us.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Angarium/", env!("CARGO_PKG_VERSION")));

/// Where mails are handed in, and as whom.
pub struct SesSettings {
    /// Such as `eu-central-1`.
    pub region: String,
    /// Another address than `https://email.<region>.amazonaws.com`, such as one of a private network.
    pub endpoint: Option<String>,
    /// Who signs.
    pub credentials: AwsCredentials,
    /// The configuration set, whose events tell what became of mails.
    pub configuration_set: Option<String>,
    /// Whom mails are from.
    pub sender: Sender,
    /// Certificate authorities of the operator, trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Requests at a time.
    pub connections_max: usize,
    /// The time of day.
    pub now: Clock,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSesSettings {
    /// Names cannot be looked up.
    #[error(transparent)]
    Resolver(#[from] NoResolver),
    /// The operator's certificate authorities cannot be used.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
    /// The region or the endpoint makes no address.
    #[error("{0:?} is no address")]
    Address(String),
}

/// Hands mails in at SES.
pub struct SesMailer {
    client: Client,
    signer: Signer<Credential>,
    url: Uri,
    host: String,
    sender: Sender,
    configuration_set: Option<String>,
    seats: Semaphore,
}

impl SesMailer {
    /// Connects to nobody yet.
    pub fn new(settings: SesSettings) -> Result<SesMailer, InvalidSesSettings> {
        let SesSettings { region, endpoint, credentials, configuration_set, sender, extra_roots, .. } =
            settings;
        let base = endpoint.unwrap_or_else(|| format!("https://{}", host_of(&region)));
        let unusable = || InvalidSesSettings::Address(base.clone());
        let address = format!("{}/v2/email/outbound-emails", base.trim_end_matches('/'));
        let url: Uri = address.parse().map_err(|_| unusable())?;
        let host = url.host().ok_or_else(unusable)?.to_owned();
        let limits = Limits::default();
        let resolver = Arc::new(SystemResolver::new()?);
        let guard = Arc::new(Guard::new(anywhere(&base), resolver.clone(), limits.lookup));
        let client = Client::new(guard, extra_roots, settings.now.clone(), &limits)?;
        let signer = credentials::signer(credentials, SERVICE, &region, resolver, settings.now)?;
        let seats = Semaphore::new(settings.connections_max);
        Ok(SesMailer { client, signer, url, host, sender, configuration_set, seats })
    }

    async fn signed(&self, mail: &Mail) -> Result<Request<Full<Bytes>>, (Failure, String)> {
        let body = self.body(mail).map_err(|reason| (Failure::InternalError, reason))?;
        let (mut parts, ()) =
            Request::post(self.url.clone()).body(()).expect("the address was read before").into_parts();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let hash = HeaderValue::from_str(&hex_sha256(&body)).expect("hex is visible ASCII");
        parts.headers.insert(CONTENT_SHA256, hash);
        self.sign(&mut parts).await?;
        // Not signed: proxies may change it, and the libraries of AWS leave it out.
        parts.headers.insert(USER_AGENT, AGENT);
        Ok(Request::from_parts(parts, Full::new(Bytes::from(body))))
    }

    /// What went wrong is told by its kind: the library's words may hold parts of credentials.
    async fn sign(&self, parts: &mut Parts) -> Result<(), (Failure, String)> {
        let refused = |why: &str| {
            Err((Failure::RelayRefused, format!("the mail could not be signed for Amazon SES: {why}")))
        };
        match self.signer.sign(parts, None).await {
            // Nobody had any credentials, which the library does not call an error.
            Ok(()) if !parts.headers.contains_key(AUTHORIZATION) => refused("there are no credentials"),
            Ok(()) => Ok(()),
            Err(error) => refused(match error.kind() {
                ErrorKind::CredentialInvalid => "the credentials have expired or are malformed",
                ErrorKind::PermissionDenied => "credentials were asked for and refused",
                ErrorKind::ConfigInvalid => "the files or variables that name credentials cannot be read",
                ErrorKind::RateLimited => "credentials were asked for too often",
                _ => "credentials cannot be had now",
            }),
        }
    }

    fn body(&self, mail: &Mail) -> Result<Vec<u8>, String> {
        let outgoing = outgoing(&self.sender, mail).map_err(|unsendable| unsendable.to_string())?;
        let from = outgoing.envelope.from().ok_or("the mail has no sender")?.to_string();
        let tag = |name, value: &str| Tag { name, value: value.to_owned() };
        let tags = mail.handle.iter();
        let tags =
            tags.flat_map(|handle| [tag(HANDLE_TAG, handle.as_str()), tag(DELIVERY_TAG, &mail.id)]).collect();
        let request = SendEmail {
            from_email_address: from,
            destination: Destination { to_addresses: [mail.to.as_str()] },
            content: Content { raw: Raw { data: BASE64.encode(&outgoing.bytes) } },
            configuration_set_name: self.configuration_set.as_deref(),
            email_tags: tags,
        };
        serde_json::to_vec(&request).map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Mailer for SesMailer {
    async fn send(&self, mail: Mail, deadline: Duration) -> Result<Exchange, NoConnection> {
        let began_at = Instant::now();
        let to = mail.to.as_str();
        let failed = |failure, detail: String| Exchange::failed(failure, to, detail);
        let seat = timeout_at(began_at + deadline, self.seats.acquire()).await.map_err(|_| NoConnection)?;
        let _seat = seat.expect("the seats are never closed");
        let mut exchange = match timeout_at(began_at + deadline, self.signed(&mail)).await {
            Err(_) => failed(
                Failure::Timeout,
                format!("the mail was not signed within {} ms", deadline.as_millis()),
            ),
            Ok(Err((failure, detail))) => failed(failure, detail),
            Ok(Ok(request)) => {
                let left = deadline.saturating_sub(began_at.elapsed());
                answer::judged(self.client.send(request, to, left).await, &self.host, &self.sender.address())
            }
        };
        exchange.timing.total_us = u64::try_from(began_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(exchange)
    }

    fn is_configured(&self) -> bool {
        true
    }
}

fn host_of(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("email.{region}.{suffix}")
}

/// The address is the operator's word, and may be in their own network. `http` only if they say so.
fn anywhere(base: &str) -> AddressPolicy {
    let allow = ["0.0.0.0/0:*", "::/0:*"].map(|rule| rule.parse().expect("a rule")).into();
    AddressPolicy { allow, allow_http: base.starts_with("http:"), ..AddressPolicy::default() }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail<'a> {
    from_email_address: String,
    destination: Destination<'a>,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration_set_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    email_tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination<'a> {
    to_addresses: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    raw: Raw,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    data: String,
}

/// Letters, digits, `-`, `_`, `.` and `@`, at most 256: handles and ids are made of them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: &'static str,
    value: String,
}
