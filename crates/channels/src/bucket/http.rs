//! How the library of object stores asks: through our own client, and with credentials that are found as those for
//! mails are.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use angarium_domain::outcome::Failure;
use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use object_store::aws::AwsCredential;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, CredentialProvider, Error};
use reqsign_aws_v4::{Credential, DefaultCredentialProvider};
use reqsign_core::{Context, OsEnv, ProvideCredential, SigningCredential};
use rustls::pki_types::CertificateDer;
use tokio::sync::Mutex;

use crate::egress::{AddressPolicy, Guard, SystemResolver};
use crate::email::aws_context;
use crate::http::{Client, Clock, InvalidRoots, Limits, Unread};

/// What one exchange may take.
const DEADLINE: Duration = Duration::from_mins(1);
/// What an answer may hold besides a file: heads, and lists of a thousand objects.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// Makes the client of the library.
#[derive(Clone)]
pub(super) struct Guarded {
    client: Arc<Client>,
    answer_bytes_max: usize,
}

/// Credentials of the machine, asked for again before they expire.
pub(super) struct Surroundings {
    context: Context,
    provider: DefaultCredentialProvider,
    /// Shared, because every request signs.
    known: Mutex<Option<Credential>>,
}

impl Guarded {
    /// The address is the operator's word, and may be in their own network.
    pub(super) fn new(
        is_plain: bool,
        resolver: Arc<SystemResolver>,
        extra_roots: Vec<CertificateDer<'static>>,
        bytes_max: u64,
        now: Clock,
    ) -> Result<Guarded, InvalidRoots> {
        let allow = ["0.0.0.0/0:*", "::/0:*"].map(|rule| rule.parse().expect("a rule")).into();
        let policy = AddressPolicy { allow, allow_http: is_plain, ..AddressPolicy::default() };
        let answer_bytes_max = bytes_max as usize + ANSWER_BYTES;
        let limits = Limits { answer_bytes: answer_bytes_max, idle_per_host: 8, ..Limits::default() };
        let guard = Arc::new(Guard::new(policy, resolver, limits.lookup));
        let client = Arc::new(Client::new(guard, extra_roots, now, &limits)?);
        Ok(Guarded { client, answer_bytes_max })
    }
}

impl HttpConnector for Guarded {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Guarded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = Full::new(body.collect().await?.to_bytes());
        let request = ::http::Request::from_parts(parts, body);
        match self.client.fetch(request, DEADLINE, self.answer_bytes_max).await {
            Ok(response) => {
                Ok(response
                    .map(|body| HttpResponseBody::new(Full::new(body).map_err(|never| match never {}))))
            }
            Err(Unread::TooLarge) => {
                Err(failed(HttpErrorKind::Decode, "the answer is larger than a file may be"))
            }
            Err(Unread::Failed { failure, detail }) => Err(failed(kind_of(failure), detail)),
        }
    }
}

fn failed(kind: HttpErrorKind, words: impl Into<Box<dyn StdError + Send + Sync>>) -> HttpError {
    HttpError::new_boxed(kind, words.into())
}

/// What the library makes of it: whether to try again.
fn kind_of(failure: Failure) -> HttpErrorKind {
    match failure {
        Failure::Timeout => HttpErrorKind::Timeout,
        Failure::DnsError | Failure::ConnectError => HttpErrorKind::Connect,
        Failure::ConnectionLost | Failure::Interrupted => HttpErrorKind::Interrupted,
        Failure::ProtocolError => HttpErrorKind::Decode,
        Failure::TlsError
        | Failure::BlockedAddress
        | Failure::InternalError
        | Failure::OutcomeUnknown
        | Failure::RelayRefused
        | Failure::NotConfigured
        | Failure::StaleProviderReference
        | Failure::Suppressed => HttpErrorKind::Unknown,
    }
}

impl Surroundings {
    pub(super) fn new(resolver: Arc<SystemResolver>, now: Clock) -> Result<Surroundings, InvalidRoots> {
        let (context, provider) = aws_context(OsEnv, resolver, now)?;
        Ok(Surroundings { context, provider, known: Mutex::default() })
    }
}

#[async_trait]
impl CredentialProvider for Surroundings {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut known = self.known.lock().await;
        if !known.as_ref().is_some_and(SigningCredential::is_valid) {
            *known = self.provider.provide_credential(&self.context).await.map_err(|_| missing())?;
        }
        let Credential { access_key_id, secret_access_key, session_token, .. } =
            known.clone().ok_or_else(missing)?;
        Ok(Arc::new(AwsCredential {
            key_id: access_key_id,
            secret_key: secret_access_key,
            token: session_token,
        }))
    }
}

/// Without the words of whoever was asked, which may hold parts of credentials.
fn missing() -> Error {
    Error::Generic { store: "S3", source: "credentials cannot be had now".into() }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings")
    }
}
