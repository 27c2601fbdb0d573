//! Channels, policies and name servers as tests need them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use angarium_channels::egress::{AddressPolicy, Resolve, ResolveError};
use angarium_channels::http::Limits;
use angarium_channels::webhook::{Settings, WebhookChannel};
use angarium_channels::{Channel, Request};
use angarium_domain::attempt::Exchange;
use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::subscription::EndpointUrl;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;

use crate::receiver::PATIENCE;

/// The deadline of attempts that must run into it.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// Noon of the day of which the tests tell.
pub(crate) const NOON: Timestamp = Timestamp::from_seconds(784_123_200);

/// Opens loopback on every port, also for plain http, and nothing else.
pub(crate) fn loopback() -> AddressPolicy {
    opening(&["127.0.0.0/8:*"])
}

pub(crate) fn opening(rules: &[&str]) -> AddressPolicy {
    let allow = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
    AddressPolicy { allow, allow_http: true, ..AddressPolicy::default() }
}

pub(crate) fn settings(policy: AddressPolicy, names: Names) -> Settings {
    Settings {
        policy,
        resolver: Arc::new(names),
        extra_roots: Vec::new(),
        now: Arc::new(|| NOON),
        origin: "events.angarium.example".to_owned(),
        limits: Limits::default(),
    }
}

pub(crate) fn channel(policy: AddressPolicy, names: Names) -> WebhookChannel {
    WebhookChannel::new(settings(policy, names)).expect("no extra roots")
}

/// A channel to receivers on loopback.
pub(crate) fn local() -> WebhookChannel {
    channel(loopback(), Names::default())
}

pub(crate) fn request(url: &str) -> Request {
    Request {
        url: EndpointUrl::vetted(url),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::from_static(br#"{"id":"evt_1"}"#),
    }
}

/// Sends with time enough.
pub(crate) async fn send(channel: &WebhookChannel, url: &str) -> Exchange {
    channel.send(request(url), PATIENCE).await
}

pub(crate) fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after_seconds: None }
}

pub(crate) fn failed(failure: Failure) -> Outcome {
    Outcome::Failed { failure }
}

/// Name servers that say what a test wrote down: for each name its answers in turn, the last one for good.
#[derive(Default)]
pub(crate) struct Names {
    answers: HashMap<String, Vec<Result<Vec<IpAddr>, ResolveError>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    pub(crate) fn with(self, name: &str, addresses: &[&str]) -> Names {
        self.then(name, Ok(addresses.iter().map(|ip| ip.parse().expect("an address")).collect()))
    }

    pub(crate) fn then(mut self, name: &str, answer: Result<Vec<IpAddr>, ResolveError>) -> Names {
        self.answers.entry(name.to_owned()).or_default().push(answer);
        self
    }

    /// How many questions were asked.
    pub(crate) fn asked(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.asked)
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.get(name).ok_or(ResolveError::NoAddress)?;
        answers[turn.min(answers.len() - 1)].clone()
    }
}
