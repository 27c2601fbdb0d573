//! What a demo plays on: the service, its receivers and their subscriptions.

use std::fmt::Write as _;
use std::time::Duration;

use angarium_domain::access::Role;
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_engine::ids::RandomIds;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::folder::Folder;
use super::memory::{Memory, Promises, Remembered};
use super::receivers::{self, Receiver};
use super::{Settings, receivers::Kind};
use crate::cli::answers::{Delivery, Webhook};
use crate::cli::client::Client;
use crate::cli::token::{Grant, mint};
use crate::keyring;
use crate::service::Service;
use crate::settings::{
    self, DeliverySettings, EgressSettings, ListenSettings, RetentionSettings, StoreSettings,
};

/// Whose events they are.
const HANDLE: &str = "gharart";
/// How long the demo's token is good: longer than anybody watches.
const TOKEN_TTL: Duration = Duration::from_hours(24 * 30);
/// How long a stop waits for attempts under way: longer than the slow receiver takes.
const DRAIN_SECONDS: u64 = 10;

/// Everything that runs.
pub(super) struct Stage {
    service: Service,
    client: Client,
    token: SecretString,
    url: Url,
    receivers: Vec<(SubscriptionId, Receiver)>,
    /// What earlier demos in this folder were promised.
    pub(super) earlier: Earlier,
    /// Just before the service started.
    pub(super) started_at: Timestamp,
    memory: Memory,
}

/// What was in the folder.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Earlier {
    /// Deliveries that were not finished when the last demo ended.
    pub(super) taken_up: usize,
    /// When the oldest of them was made.
    oldest: Option<Timestamp>,
    /// Subscriptions that are used again.
    pub(super) subscriptions: usize,
}

#[derive(Deserialize)]
struct Webhooks {
    webhooks: Vec<Webhook>,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set(settings: &Settings, folder: &Folder) -> anyhow::Result<Stage> {
        let mut memory = Memory::of(folder.path())?;
        // Before the service, which goes on with its deliveries at once.
        let receivers = receivers::start(&memory).await?;
        let started_at = SystemClock.now();
        let service_settings = service_settings(settings, folder);
        let service = Service::start(&service_settings).await.context("the service did not start")?;
        let token = token(&service_settings)?;
        let url = Url::parse(&format!("http://{}", service.address())).expect("a socket address makes a URL");
        let client = Client::new(&url, &token, &handle())?;
        let known: Webhooks = client.get("/webhooks?limit=100").await?;
        let mut subscribed = Vec::new();
        for receiver in receivers {
            subscribed.push((subscribe(&client, &mut memory, &known.webhooks, &receiver).await?, receiver));
        }
        let again = subscribed
            .iter()
            .filter(|(id, _)| known.webhooks.iter().any(|webhook| webhook.subscription_id == *id));
        let earlier = Earlier { subscriptions: again.count(), ..taken_up(&client, started_at).await? };
        Ok(Stage { service, client, token, url, receivers: subscribed, earlier, started_at, memory })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn receivers(&self) -> &[(SubscriptionId, Receiver)] {
        &self.receivers
    }

    /// When the oldest delivery was made that has still something to show.
    pub(super) fn begins_at(&self) -> Timestamp {
        self.earlier.oldest.unwrap_or(self.started_at)
    }

    /// The list of what was and will be promised.
    pub(super) fn promises(&self) -> anyhow::Result<Promises> {
        let kept = RetentionSettings::default().finished_days - 1;
        self.memory.promises(self.started_at.saturating_sub(Duration::from_hours(24 * kept)))
    }

    /// What runs, where, and what can be tried.
    pub(super) fn introduction(&self, settings: &Settings, folder: &Folder) -> String {
        let mut text = String::new();
        let whole = if folder.is_temporary() { "for this demo only" } else { "kept" };
        let _ = writeln!(
            text,
            "angarium  {}  data in {} ({whole})",
            self.url.as_str().trim_end_matches('/'),
            folder.path().display()
        );
        for (id, receiver) in &self.receivers {
            let (name, manner) = (receiver.kind.name(), receiver.kind.manner());
            let types = receiver.kind.event_types().join(", ");
            let endpoint = receiver.endpoint();
            let _ = writeln!(text, "{name:<8}  {endpoint:<31}  {types:<15}  {manner:<34}  {id}");
        }
        if settings.retry_waits_percent < 100 {
            let percent = settings.retry_waits_percent;
            let _ = writeln!(text, "retries come after {percent} % of the published 5, 10, 20 and 40 s");
        }
        let Earlier { taken_up, subscriptions, .. } = self.earlier;
        if subscriptions > 0 {
            let _ = writeln!(
                text,
                "going on: subscriptions used again: {subscriptions}, deliveries taken up again: {taken_up}"
            );
        }
        text + &self.things_to_try()
    }

    fn things_to_try(&self) -> String {
        format!(
            "\nin another terminal:\n  \
             export ANGARIUM_URL={} ANGARIUM_HANDLE={HANDLE} ANGARIUM_TOKEN={}\n  \
             angarium publish --type order.fulfilled --payload '{{\"orderId\":\"by-hand\"}}'\n  \
             angarium dead-letters list\n  \
             angarium replay --status dead --type campaign.sent\n",
            self.url.as_str().trim_end_matches('/'),
            self.token.expose_secret(),
        )
    }

    /// Stops everything: no new requests, attempts under way may end, then the receivers go.
    pub(super) async fn clear(self) {
        self.service.stop().await;
        for (_, receiver) in self.receivers {
            receiver.sink.stop().await;
        }
    }
}

fn handle() -> Handle {
    HANDLE.parse().expect("the demo's handle is one")
}

fn service_settings(demo: &Settings, folder: &Folder) -> settings::Settings {
    settings::Settings {
        listen: ListenSettings {
            address: demo.listen,
            drain_seconds: DRAIN_SECONDS,
            ..ListenSettings::default()
        },
        store: StoreSettings { path: folder.database(), ..StoreSettings::default() },
        // Loopback, so that a sink of one's own can be subscribed too; the service itself stays closed.
        egress: EgressSettings {
            allow: vec!["127.0.0.0/8:*".parse().expect("a rule")],
            allow_http: true,
            ..EgressSettings::default()
        },
        delivery: DeliverySettings {
            retry_waits_percent: demo.retry_waits_percent,
            ..DeliverySettings::default()
        },
        ..settings::Settings::default()
    }
}

/// A token as `angarium token mint` makes it.
fn token(settings: &settings::Settings) -> anyhow::Result<SecretString> {
    let secret = keyring::own_jwt_secret(&settings.store, &RandomIds::default())?;
    let grant = Grant {
        handle: Some(HANDLE),
        platform_admin: false,
        role: Role::Owner,
        ttl: TOKEN_TTL,
        subject: "angarium-demo",
    };
    Ok(mint(&grant, &settings.auth, &secret, SystemClock.now())?.into())
}

/// The receiver's subscription: the one of the last time if it is still there, else a new one.
async fn subscribe(
    client: &Client,
    memory: &mut Memory,
    known: &[Webhook],
    receiver: &Receiver,
) -> anyhow::Result<SubscriptionId> {
    let Receiver { kind, sink } = receiver;
    let remembered = memory.receiver(*kind).cloned();
    let there =
        |old: &Remembered| known.iter().find(|webhook| webhook.subscription_id == old.subscription_id);
    if let Some((old, webhook)) = remembered.and_then(|old| there(&old).map(|webhook| (old.clone(), webhook)))
    {
        if webhook.endpoint_url != receiver.endpoint() {
            let path = format!("/webhooks/{}", webhook.subscription_id);
            client.patch::<Webhook>(&path, &json!({ "endpointUrl": receiver.endpoint() })).await?;
            memory.remember(*kind, Remembered { address: sink.address, ..old })?;
        }
        return Ok(webhook.subscription_id);
    }
    let new = new_webhook(*kind, &receiver.endpoint());
    let made: Webhook = client.post("/webhooks", &new).await?;
    let secret = made.secret.context("the service made a webhook and did not say its secret")?;
    sink.trust(&secret).context("the service's secret cannot be used")?;
    memory.remember(
        *kind,
        Remembered { address: sink.address, subscription_id: made.subscription_id, secret },
    )?;
    Ok(made.subscription_id)
}

fn new_webhook(kind: Kind, endpoint: &str) -> serde_json::Value {
    json!({
        "endpointUrl": endpoint,
        "eventTypes": kind.event_types(),
        "description": format!("demo: {}, {}", kind.name(), kind.manner()),
    })
}

/// What earlier demos left to do when this one began.
async fn taken_up(client: &Client, started_at: Timestamp) -> anyhow::Result<Earlier> {
    let deliveries: Vec<Delivery> =
        client.list("/deliveries", &[("until", started_at.to_string())], usize::MAX).await?;
    let unfinished = |delivery: &&Delivery| delivery.finished_at.is_none_or(|at| at >= started_at);
    let unfinished: Vec<Timestamp> =
        deliveries.iter().filter(unfinished).map(|delivery| delivery.created_at).collect();
    Ok(Earlier { taken_up: unfinished.len(), oldest: unfinished.into_iter().min(), subscriptions: 0 })
}
