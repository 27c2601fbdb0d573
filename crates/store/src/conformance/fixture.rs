//! Small histories to test promises on: fixed ids, fixed times, two handles.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::access::{self, CredentialKind, Mode, Token};
use angarium_domain::attempt::{AttemptRecord, Exchange, Timing};
use angarium_domain::audit::Difference;
use angarium_domain::catalog;
use angarium_domain::delivery::{DeathCause, Delivery, Settlement, State};
use angarium_domain::event::{Event, Origin};
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::{KEY_KEPT, Record, Scope};
use angarium_domain::ids::{DeliveryId, EventId, ItemId, ReplayId, SubscriptionId, TokenId};
use angarium_domain::inbox::{ActionUrl, Item, Reader};
use angarium_domain::outcome::{Class, Outcome};
use angarium_domain::payload::Payload;
use angarium_domain::replay::{DeliveryFilter, JobStatus, ReplayJob, Target};
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use serde_json::json;

use crate::Store;
use crate::delivery_queue::{ClaimedLane, LaneClaim, Lease, Settle};
use crate::directory::{Change, Entry};
use crate::error::StoreError;
use crate::event_log::{Append, BIRTH_TOKEN};
use crate::history::{LogFilter, Logged};
use crate::page::PageRequest;
use crate::write::{AuditEntry, Context, Written};

/// A time, in seconds after a day in 2023.
pub(super) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

pub(super) fn acme() -> Handle {
    "acme".parse().expect("a handle")
}

pub(super) fn beta() -> Handle {
    "beta".parse().expect("a handle")
}

pub(super) fn lane(n: u8) -> SubscriptionId {
    SubscriptionId::from_bytes([n; 16])
}

fn random(n: u64) -> [u8; 10] {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    random
}

pub(super) fn token_id(n: u64) -> TokenId {
    TokenId::new(at(0), random(n))
}

pub(super) fn replay_id(n: u64) -> ReplayId {
    ReplayId::new(at(0), random(n))
}

/// Event number `n` of a handle, accepted `n` seconds after the start.
pub(super) fn event(handle: &Handle, n: u64) -> Arc<Event> {
    let accepted_at = at(n as i64);
    Arc::new(Event {
        id: EventId::new(accepted_at, random(n)),
        handle: handle.clone(),
        event_type: if n.is_multiple_of(2) { "order.paid" } else { "order.shipped" }.parse().expect("a type"),
        occurred_at: accepted_at.into(),
        accepted_at,
        origin: Origin::Live,
        ordering_key: (n == 7).then(|| "order 7".into()),
        payload: Payload::of_our_own(&json!({ "n": n })),
        trace: None,
    })
}

/// The delivery of an event to a lane, made and due when the event was accepted.
pub(super) fn delivery(event: &Event, subscription_id: SubscriptionId) -> Delivery {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&event.id.as_bytes()[8..]);
    random[8] = subscription_id.as_bytes()[0];
    Delivery {
        id: DeliveryId::new(event.accepted_at, random),
        handle: event.handle.clone(),
        event_id: event.id,
        event_type: event.event_type.clone(),
        origin: event.origin,
        subscription_id,
        ordering_key: None,
        replay_of: None,
        replay_id: None,
        endpoint_override: None,
        state: State::Scheduled { due_at: event.accepted_at },
        attempts_made: 0,
        interruptions: 0,
        last_outcome: None,
        discarded_at: None,
    }
}

/// A delivery that repeats another, made at a time.
pub(super) fn repeat(original: &Delivery, n: u64, made_at: Timestamp) -> Delivery {
    Delivery {
        id: DeliveryId::new(made_at, random(n)),
        replay_of: Some(original.id),
        state: State::Scheduled { due_at: made_at },
        attempts_made: 0,
        interruptions: 0,
        last_outcome: None,
        discarded_at: None,
        ..original.clone()
    }
}

/// The lease of a delivery that is born leased.
pub(super) fn birth_lease(delivery: &Delivery) -> Lease {
    let State::InFlight { lease_until } = delivery.state else {
        panic!("{} is not born leased", delivery.id)
    };
    Lease {
        handle: delivery.handle.clone(),
        delivery_id: delivery.id,
        token: BIRTH_TOKEN,
        until: lease_until,
        in_order: delivery.ordering_key.is_some(),
    }
}

pub(super) fn ok() -> Outcome {
    Outcome::Answered { status: 200, retry_after_seconds: None }
}

pub(super) fn failed() -> Outcome {
    Outcome::Answered { status: 503, retry_after_seconds: Some(7) }
}

pub(super) fn dead_at(at: Timestamp) -> State {
    State::Dead { at, cause: DeathCause::AttemptsExhausted }
}

/// A settlement of the first attempt.
pub(super) fn settlement(next: State, outcome: Outcome) -> Settlement {
    Settlement { attempts_made: 1, next, outcome: Some(outcome), delay: None }
}

pub(super) fn record(number: u32, outcome: Outcome) -> AttemptRecord {
    AttemptRecord {
        number,
        started_at: at(1),
        exchange: Exchange {
            outcome,
            timing: Timing { total_us: 1200, ..Timing::default() },
            endpoint: "hooks.example.com/in".to_owned(),
            remote_address: Some("192.0.2.1".to_owned()),
            response_headers: vec![("server".to_owned(), "test".to_owned())],
            response_body: "fine".to_owned(),
            response_truncated: false,
            detail: None,
        },
        class: Class::Retry,
        delay: None,
    }
}

pub(super) fn settle(lease: Lease, next: State, outcome: Outcome) -> Settle {
    Settle { lease, settlement: settlement(next, outcome), record: Some(record(1, outcome)), follow_up: None }
}

pub(super) fn entry(handle: &Handle, id: SubscriptionId, description: &str) -> Arc<Entry> {
    let subscription: Subscription = serde_json::from_value(json!({
        "id": id,
        "handle": handle,
        "endpointUrl": "https://hooks.example.com/in?token=secret",
        "eventTypes": ["order.*"],
        "filter": { "total": { "lt": 9.5, "gte": 0.1 }, "any": [{ "currency": "EUR" }, { "gift": null }] },
        "description": description,
        "signingProfile": "arjun",
        "payloadFormat": "native",
        "retryPolicy": "fast",
        "headers": { "x-api-key": "secret" },
        "rateLimitPerSecond": null,
        "maxConcurrency": null,
        "timeoutSeconds": 10,
        "ordered": false,
        "status": "active",
        "secretHint": "abcd",
        "createdAt": at(0),
        "updatedAt": at(0),
    }))
    .expect("a subscription");
    Arc::new(Entry {
        subscription,
        keys: Arc::new(SigningKeys::new(SigningKey::hmac([id.as_bytes()[0]; 32]))),
    })
}

pub(super) fn token(handle: &Handle, n: u64) -> Token {
    Token {
        id: token_id(n),
        handle: handle.clone(),
        // Every third one is an API key.
        kind: if n.is_multiple_of(3) { CredentialKind::Key(Mode::Test) } else { CredentialKind::Personal },
        name: format!("token {n}"),
        scopes: vec![access::Scope::EventsWrite],
        secret_sha256: [n as u8; 32],
        created_at: at(0),
        expires_at: None,
        last_used_at: None,
    }
}

pub(super) fn reader(n: u64) -> Reader {
    Reader::new(&format!("jwt:reader {n}"))
}

/// Item number `n` of a handle, made at a time.
pub(super) fn item(handle: &Handle, n: u64, created_at: Timestamp) -> Arc<Item> {
    let is_even = n.is_multiple_of(2);
    Arc::new(Item {
        id: ItemId::new(at(0), random(n)),
        handle: handle.clone(),
        item_type: if is_even { "order.paid" } else { "order.shipped" }.parse().expect("a type"),
        title: format!("Item <b>{n}</b>"),
        body: is_even.then(|| "Two\nlines".to_owned()),
        data: is_even.then(|| Payload::of_our_own(&json!({ "n": n }))),
        action_url: (!is_even).then(|| ActionUrl::from_stored("https://example.com/?a=b")),
        created_at,
        expires_at: n.is_multiple_of(5).then(|| created_at + Duration::from_mins(2)),
    })
}

pub(super) fn job(handle: &Handle, n: u64) -> ReplayJob {
    ReplayJob {
        id: replay_id(n),
        handle: handle.clone(),
        filter: DeliveryFilter::default(),
        missing: false,
        to: Target::Current,
        rate_per_second: 10,
        matched: 3,
        replayed: 0,
        skipped: 0,
        cursor: None,
        looked_at: None,
        moved_at: None,
        status: JobStatus::Running,
        created_at: at(0),
        finished_at: None,
    }
}

/// What was answered to a write that was made at a time.
pub(super) fn answer(key: &str, made_at: Timestamp) -> Record {
    Record {
        scope: Scope::new("acme", "POST", "/v2/events", key),
        fingerprint: [7; 32],
        status: 202,
        body: format!("the answer to {key}").into_bytes().into(),
        expires_at: made_at + KEY_KEPT,
    }
}

pub(super) fn under_key(key: &str, made_at: Timestamp) -> Context {
    let audit = AuditEntry {
        at: made_at,
        handle: acme(),
        actor: "tok_1".to_owned(),
        action: "event.publish".into(),
        object: "evt_1".to_owned(),
        request_id: "req_1".to_owned(),
        ip: None,
        difference: Difference::default(),
    };
    Context { idempotency: Some(answer(key, made_at)), audit: Some(audit), draw: None }
}

pub(super) fn appending(events: Vec<Arc<Event>>, deliveries: Vec<Delivery>) -> Append {
    Append { events, deliveries, ..Append::default() }
}

/// Appends, and insists that it was done now.
pub(super) async fn append(store: &dyn Store, append: Append) {
    assert!(matches!(store.append(append).await, Ok(Written::Done(()))), "it was not written");
}

/// Event number `n` of acme with one delivery, scheduled in a lane.
pub(super) async fn scheduled(
    store: &dyn Store,
    n: u64,
    lane: SubscriptionId,
    due_at: Timestamp,
) -> Delivery {
    let event = event(&acme(), n);
    let delivery = Delivery { state: State::Scheduled { due_at }, ..delivery(&event, lane) };
    append(store, appending(vec![event], vec![delivery.clone()])).await;
    delivery
}

/// Event number `n` of acme with one delivery, born leased in a lane for a minute.
pub(super) async fn born(store: &dyn Store, n: u64, lane: SubscriptionId) -> Delivery {
    let event = event(&acme(), n);
    let lease_until = event.accepted_at + Duration::from_mins(1);
    let delivery = Delivery { state: State::InFlight { lease_until }, ..delivery(&event, lane) };
    append(store, appending(vec![event], vec![delivery.clone()])).await;
    delivery
}

/// Event number `n` of acme with one delivery that ended at its first attempt.
pub(super) async fn finished(store: &dyn Store, n: u64, lane: SubscriptionId, end: State) -> Delivery {
    let delivery = born(store, n, lane).await;
    let outcome = if matches!(end, State::Delivered { .. }) { ok() } else { failed() };
    store.settle(settle(birth_lease(&delivery), end, outcome)).await.expect("the lease holds");
    Delivery { state: end, attempts_made: 1, last_outcome: Some(outcome), ..delivery }
}

pub(super) fn claim_of(lane: SubscriptionId, limit: u32) -> LaneClaim {
    LaneClaim { handle: acme(), subscription_id: lane, limit }
}

/// Claims from one lane, for a minute.
pub(super) async fn claim(store: &dyn Store, claim: LaneClaim, now: Timestamp) -> ClaimedLane {
    let mut lanes = store.claim(vec![claim], now, now + Duration::from_mins(1)).await.expect("it claims");
    assert_eq!(lanes.len(), 1);
    lanes.remove(0)
}

pub(super) fn ids(claimed: &ClaimedLane) -> Vec<DeliveryId> {
    claimed.leased.iter().map(|leased| leased.delivery.id).collect()
}

pub(super) async fn logged(store: &dyn Store, id: DeliveryId) -> Logged {
    store.delivery(&acme(), id).await.expect("it reads").expect("it is in the log")
}

pub(super) async fn state_of(store: &dyn Store, delivery: &Delivery) -> State {
    logged(store, delivery.id).await.delivery.state
}

/// The ids of acme's deliveries that a filter lets through, newest first.
pub(super) async fn listed(store: &dyn Store, filter: LogFilter) -> Vec<DeliveryId> {
    let page = store.deliveries(&acme(), filter, first_page(100)).await.expect("it reads");
    assert_eq!(page.next, None);
    page.items.into_iter().map(|logged| logged.delivery.id).collect()
}

pub(super) fn matching(conditions: DeliveryFilter) -> LogFilter {
    LogFilter { conditions, ..LogFilter::default() }
}

pub(super) fn first_page(limit: u32) -> PageRequest {
    PageRequest { before: None, limit }
}

/// Makes one change to acme.
pub(super) async fn change(store: &dyn Store, version: u64, change: Change) -> u64 {
    match store.change(&acme(), version, change, at(500), Context::default()).await {
        Ok(Written::Done(version)) => version,
        Ok(Written::Seen(_)) => panic!("it had no key"),
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict))
}

/// Whether a write was known, and under which key.
pub(super) fn is_seen<T>(result: Result<Written<T>, StoreError>, key: &str, made_at: Timestamp) -> bool {
    matches!(result, Ok(Written::Seen(record)) if record == answer(key, made_at))
}

/// What a catalogue says about the type `order.kind<n>`.
pub(super) fn event_type_entry(n: u64, description: &str) -> catalog::Entry {
    serde_json::from_str(&format!(
        r#"{{"eventType":"order.kind{n}","description":"{description}","critical":true,"deprecated":false,
            "schema":{{ "type" : "object", "maxProperties": 1.0e1 }},
            "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-02T00:00:00Z"}}"#
    ))
    .expect("an entry")
}
