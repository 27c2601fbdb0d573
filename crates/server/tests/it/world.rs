//! The service under test, in this process, and the people who talk to it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use angarium_channels::egress::LookUp;
use angarium_channels::sns::SnsVerifier;
use angarium_domain::time::Timestamp;
use angarium_server::service::Service;
use angarium_server::settings::Settings;
use angarium_store::memory::MemoryStore;
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::clock::HandClock;
use crate::credentials::{SECRET, in_seconds, jwt, signed};
use crate::receiver::{PATIENCE, Receiver};

/// A service on a store in memory.
pub(crate) struct World {
    pub(crate) service: Service,
}

/// Settings that let a test reach a receiver on loopback and not wait for retries.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.listen.address = "127.0.0.1:0".parse().expect("an address");
    settings.listen.drain_seconds = 1;
    settings.egress.allow = vec!["127.0.0.0/8:*".parse().expect("a rule")];
    settings.egress.allow_http = true;
    settings.delivery.retry_waits_percent = 1;
    settings
}

impl World {
    pub(crate) async fn start() -> World {
        World::with(|_| {}).await
    }

    /// A service with other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> World {
        World::on_with(&MemoryStore::new(), change).await
    }

    /// A service on a store that may hold something already.
    pub(crate) async fn on(store: &MemoryStore) -> World {
        World::on_with(store, |_| {}).await
    }

    pub(crate) async fn on_with(store: &MemoryStore, change: impl FnOnce(&mut Settings)) -> World {
        let mut settings = settings();
        change(&mut settings);
        let store = Arc::new(store.clone());
        let service = Service::start_on(store, &settings, Some(&SECRET.to_owned().into())).await;
        World { service: service.expect("a running service") }
    }

    /// A service by a clock that the test moves.
    pub(crate) async fn at(clock: Arc<HandClock>, change: impl FnOnce(&mut Settings)) -> World {
        let mut settings = settings();
        change(&mut settings);
        let store = Arc::new(MemoryStore::new());
        let service = Service::start_by(clock, store, &settings, Some(&SECRET.to_owned().into())).await;
        World { service: service.expect("a running service") }
    }

    /// A service with a DNS of the test's own for the domain that mails come from.
    pub(crate) async fn looking_up_by(names: Arc<dyn LookUp>, change: impl FnOnce(&mut Settings)) -> World {
        let mut settings = settings();
        change(&mut settings);
        let (store, secret) = (Arc::new(MemoryStore::new()), SECRET.to_owned().into());
        let service = Service::start_looking_up_by(names, store, &settings, Some(&secret)).await;
        World { service: service.expect("a running service") }
    }

    /// A service with somebody of the test's own to verify messages of Amazon SNS.
    pub(crate) async fn verifying(sns: Arc<SnsVerifier>, store: &MemoryStore, settings: &Settings) -> World {
        let store = Arc::new(store.clone());
        let secret = SECRET.to_owned().into();
        let service = Service::start_verifying_by(sns, store, settings, Some(&secret)).await;
        World { service: service.expect("a running service") }
    }

    /// Somebody without a credential, outside of every handle.
    pub(crate) fn nobody(&self) -> Client {
        Client { address: self.service.address(), root: String::new(), bearer: None, headers: Vec::new() }
    }

    /// A person with a role on a handle, at that handle.
    pub(crate) fn person(&self, handle: &str, role: &str) -> Client {
        self.nobody().at(&format!("/v2/handles/{handle}")).bearing(jwt(handle, role))
    }

    /// The person whom most tests are about.
    pub(crate) fn owner(&self) -> Client {
        self.person("acme", "OWNER")
    }

    /// Somebody who looks after handles, for some days.
    pub(crate) fn admin(&self) -> Client {
        let claims = json!({ "sub": "admin", "exp": in_seconds(10 * 86_400), "platform_admin": true });
        self.nobody().at("/v2/operator").bearing(signed(&claims))
    }

    /// Somebody with a personal access token of `acme` with these scopes.
    pub(crate) async fn token_holder(&self, scopes: &[&str]) -> Client {
        self.token_holder_of("acme", scopes).await
    }

    /// Somebody with a personal access token of a handle with these scopes.
    pub(crate) async fn token_holder_of(&self, handle: &str, scopes: &[&str]) -> Client {
        let owner = self.person(handle, "OWNER");
        let made = owner.post("/tokens", &json!({ "name": "test", "scopes": scopes })).await;
        made.expect(StatusCode::CREATED);
        owner.bearing(made.text_of("token"))
    }
}

impl Client {
    /// Makes a webhook to a path of a receiver and answers its whole description.
    pub(crate) async fn subscribe(&self, receiver: &Receiver, path: &str, event_types: &[&str]) -> Value {
        self.subscribe_with(&json!({ "endpointUrl": receiver.url(path), "eventTypes": event_types })).await
    }

    pub(crate) async fn subscribe_with(&self, body: &Value) -> Value {
        self.post("/webhooks", body).await.expect(StatusCode::CREATED).json()
    }

    /// Publishes an event and answers its id.
    pub(crate) async fn publish(&self, event_type: &str) -> String {
        let answer = self.post("/events", &json!({ "type": event_type, "payload": { "n": 1 } })).await;
        answer.expect(StatusCode::ACCEPTED).text_of("eventId")
    }

    /// The deliveries that a query finds, newest first.
    pub(crate) async fn deliveries(&self, query: &str) -> Vec<Value> {
        self.get(&format!("/deliveries{query}")).await.items()
    }

    /// Waits until a query finds so many deliveries.
    pub(crate) async fn deliveries_when(&self, query: &str, count: usize) -> Vec<Value> {
        eventually(|| async {
            let found = self.deliveries(query).await;
            (found.len() == count).then_some(found)
        })
        .await
    }
}

impl World {
    /// A program with a live API key of `acme` for everything that the v1 API has.
    pub(crate) async fn organization(&self) -> Client {
        self.key_holder("acme", "live", &["webhooks:manage", "events:manage"]).await
    }

    /// How many commits the store on disk has made. Somebody else's are counted, too.
    pub(crate) async fn commits(&self) -> u64 {
        let figures = self.nobody().get("/metrics").await.text;
        let count = figures.lines().find_map(|line| line.strip_prefix("angarium_commit_seconds_count "));
        count.and_then(|count| count.parse().ok()).expect("a count")
    }

    /// A program with an API key of a handle, at the v1 API.
    pub(crate) async fn key_holder(&self, handle: &str, mode: &str, scopes: &[&str]) -> Client {
        let key = self.person(handle, "OWNER").api_key(mode, scopes).await.text_of("key");
        self.nobody().at("/api/v1").with("x-api-key", key)
    }
}

impl Client {
    /// Makes an API key and answers what was said about it.
    pub(crate) async fn api_key(&self, mode: &str, scopes: &[&str]) -> Answer {
        let body = json!({ "name": "test", "mode": mode, "scopes": scopes });
        let answer = self.post("/api-keys", &body).await;
        answer.expect(StatusCode::CREATED);
        answer
    }
}

/// The id of a subscription as its creation answered it.
pub(crate) fn id_of(webhook: &Value) -> String {
    webhook["subscriptionId"].as_str().expect("an id").to_owned()
}

/// Asks again and again until there is an answer. For what only the API can tell.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it happens within the limit")
}

/// The fields that the table of a page lists for an event, by name.
#[track_caller]
pub(crate) fn fields_listed(page: &'static str, event_type: &str) -> Vec<&'static str> {
    let start = format!("| `{event_type}` | ");
    let row = page.lines().find_map(|line| line.strip_prefix(start.as_str()));
    let row = row.unwrap_or_else(|| panic!("the page has no row of {event_type}"));
    let mut fields: Vec<_> = row.split('`').skip(1).step_by(2).collect();
    fields.sort_unstable();
    fields
}

/// A time in an answer, to be compared: as texts, a whole second is later than the millisecond after it.
#[track_caller]
pub(crate) fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a text").parse().expect("a time")
}
