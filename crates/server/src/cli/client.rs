//! A client of our own HTTP API, for the commands that ask a running service.
//!
//! Speaks for one handle, or for a platform admin. Connections are kept, and every write carries an
//! idempotency key, so that a write whose answer was lost is simply sent again.

mod refusal;
mod transport;

use std::time::Duration;

use angarium_domain::handle::Handle;
use angarium_engine::IdSource;
use angarium_engine::ids::RandomIds;
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use data_encoding::HEXLOWER;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sse_stream::{Sse, SseStream};
use tokio::time::timeout;
use url::Url;

use crate::cli::answers::Page;

pub(crate) use refusal::Refusal;
use transport::Transport;

/// How often a request is sent whose answer does not come, or asks to come back later.
const TRIES: u32 = 5;
/// The wait before the second try; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that a service may ask for.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A stream says something every fifteen seconds; one that does not for so long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The most items on a page.
const PAGE_ITEMS_MAX: usize = 100;

/// Which service, as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// The service's address
    #[arg(long, value_name = "URL", env = "ANGARIUM_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: Url,
    /// A JWT, or a personal access token with the scope that this needs
    #[arg(long, value_name = "TOKEN", env = "ANGARIUM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<SecretString>,
    /// The handle to act for
    #[arg(long, value_name = "HANDLE", env = "ANGARIUM_HANDLE")]
    pub(crate) handle: Option<Handle>,
}

impl ConnectionArgs {
    /// The client, if handle and token are given.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let handle = self.handle.as_ref().context("which handle? give --handle or set ANGARIUM_HANDLE")?;
        let token = self.token.as_ref().with_context(|| {
            format!(
                "no token: give --token or set ANGARIUM_TOKEN; beside the service, \
                 `angarium token mint --handle {handle} --role OPERATOR` makes one"
            )
        })?;
        Ok(Client::new(&self.url, token, handle)?)
    }
}

/// Asks the service in somebody's name. A clone uses the same connections.
#[derive(Clone)]
pub(crate) struct Client {
    transport: Transport,
    authorization: HeaderValue,
    root: String,
}

/// A stream of events that is read as it comes.
pub(crate) struct Events {
    stream: SseStream<Incoming>,
}

impl Events {
    /// The next event, or a heartbeat that tells the place; none when the stream has ended, has
    /// broken, or was silent for too long.
    pub(crate) async fn next(&mut self) -> Option<Sse> {
        timeout(SILENCE_MAX, self.stream.next()).await.ok()??.ok()
    }
}

/// Why there is no answer to go on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address cannot be used.
    #[error("the address {url} cannot be used: {reason}")]
    Address { url: String, reason: String },
    /// The token cannot stand in a header.
    #[error("the token holds characters that no token has")]
    Token,
    /// Nobody answers.
    #[error(
        "no answer from {url}: {reason}; is `angarium serve` running there? --url or ANGARIUM_URL says where it is"
    )]
    Unreachable { url: String, reason: String },
    /// The service says no.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// Somebody else answers.
    #[error("{url} does not answer like this service does ({status}): {reason}")]
    Strange { url: String, status: StatusCode, reason: String },
}

impl ClientError {
    /// The service's word for what is wrong, if it was the service.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            ClientError::Refused(refusal) => Some(&refusal.code),
            ClientError::Address { .. }
            | ClientError::Token
            | ClientError::Unreachable { .. }
            | ClientError::Strange { .. } => None,
        }
    }
}

impl Client {
    /// A client for a handle. Connects when it is first asked something.
    pub(crate) fn new(url: &Url, token: &SecretString, handle: &Handle) -> Result<Client, ClientError> {
        Client::at(&format!("/v2/handles/{handle}"), url, token)
    }

    /// A client for what platform admins do.
    pub(crate) fn for_admins(url: &Url, token: &SecretString) -> Result<Client, ClientError> {
        Client::at("/v2/operator", url, token)
    }

    fn at(root: &str, url: &Url, token: &SecretString) -> Result<Client, ClientError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose_secret().trim()))
            .map_err(|_| ClientError::Token)?;
        authorization.set_sensitive(true);
        let root = format!("{}{root}", url.path().trim_end_matches('/'));
        Ok(Client { transport: Transport::to(url)?, authorization, root })
    }

    /// Reads something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, None, None).await
    }

    /// Reads a list from its newest item on, over as many pages as `most` items take.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        filters: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query
                .extend_pairs(filters)
                .append_pair("limit", &(most - items.len()).clamp(1, PAGE_ITEMS_MAX).to_string());
            if let Some(cursor) = &cursor {
                query.append_pair("cursor", cursor);
            }
            let page: Page<T> = self.get(&format!("{path}?{}", query.finish())).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || items.len() >= most {
                return Ok(items);
            }
        }
    }

    /// Opens a stream of events, after the place that an earlier one reached.
    pub(crate) async fn events(&self, path: &str, after: Option<&str>) -> Result<Events, ClientError> {
        let mut request = self.request(&Method::GET, path, None, None)?;
        if let Some(place) = after.and_then(|place| HeaderValue::from_str(place).ok()) {
            request.headers_mut().insert("last-event-id", place);
        }
        match self.transport.open(request).await? {
            Ok(answer) => Ok(Events { stream: SseStream::new(answer.into_body()) }),
            Err(answer) => match self.understand::<serde_json::Value>(&answer) {
                Err(error) => Err(error),
                Ok(_) => Err(self.strange(answer.status(), "no stream")),
            },
        }
    }

    /// Asks for a write, once: repeating it after a lost answer changes nothing more.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.post_as(&new_key(), path, body).await
    }

    /// Asks for a write under a key of the caller's.
    pub(crate) async fn post_as<T: DeserializeOwned>(
        &self,
        key: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.ask(Method::POST, path, Some(in_json(body)), Some(key)).await
    }

    /// Changes some fields of something.
    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.ask(Method::PATCH, path, Some(in_json(body)), Some(&new_key())).await
    }

    /// Takes something away.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.ask(Method::DELETE, path, None, Some(&new_key())).await
    }

    /// Has something taken away in the background.
    pub(crate) async fn delete_later(&self, path: &str) -> Result<(), ClientError> {
        let _: serde_json::Value = self.ask(Method::DELETE, path, None, Some(&new_key())).await?;
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        key: Option<&str>,
    ) -> Result<T, ClientError> {
        let mut usual_wait = FIRST_WAIT;
        for tries_left in (0..TRIES).rev() {
            let asked = self.transport.send(self.request(&method, path, body.clone(), key)?).await;
            match asked.and_then(|answer| self.understand(&answer)) {
                Err(error) if tries_left > 0 => {
                    let Some(wait) = wait_before_another_try(&error, usual_wait) else { return Err(error) };
                    tokio::time::sleep(wait).await;
                    usual_wait *= 2;
                }
                answer => return answer,
            }
        }
        unreachable!("the last try returns whatever came of it")
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.root))
            .header(AUTHORIZATION, &self.authorization);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| self.transport.unusable(format!("{path} is not a path: {error}")))
    }

    fn understand<T: DeserializeOwned>(&self, answer: &Response<Bytes>) -> Result<T, ClientError> {
        let status = answer.status();
        if !status.is_success() {
            let refusal = Refusal::read(answer).ok_or_else(|| self.strange(status, "no error object"))?;
            return Err(ClientError::Refused(Box::new(refusal)));
        }
        // 204 has no words, and `()` reads as none.
        let text: &[u8] = if answer.body().is_empty() { b"null" } else { answer.body() };
        serde_json::from_slice(text).map_err(|error| self.strange(status, &error.to_string()))
    }

    fn strange(&self, status: StatusCode, reason: &str) -> ClientError {
        ClientError::Strange { url: self.transport.url().to_owned(), status, reason: reason.to_owned() }
    }
}

/// Asks an address of the service that needs no credential, once.
pub(crate) async fn ask_openly(url: &Url, path: &str) -> Result<Response<Bytes>, ClientError> {
    let transport = Transport::to(url)?;
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    let request = Request::get(&path).body(Full::default());
    transport
        .send(request.map_err(|error| transport.unusable(format!("{path} is not a path: {error}")))?)
        .await
}

/// A key that nobody has used.
pub(crate) fn new_key() -> String {
    HEXLOWER.encode(&RandomIds::default().key()[..10])
}

/// How long to wait before the same is sent again; none if that would not help.
fn wait_before_another_try(error: &ClientError, usual: Duration) -> Option<Duration> {
    match error {
        ClientError::Unreachable { .. } => Some(usual),
        ClientError::Refused(refusal) if refusal.is_passing(WAIT_MAX) => {
            Some(refusal.retry_after.map_or(usual, |asked| asked.min(WAIT_MAX)))
        }
        ClientError::Refused(_)
        | ClientError::Address { .. }
        | ClientError::Token
        | ClientError::Strange { .. } => None,
    }
}

fn in_json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("what we ask is JSON").into()
}

#[cfg(test)]
mod tests;
