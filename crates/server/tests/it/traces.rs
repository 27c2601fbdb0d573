//! Spans, as a collector of OpenTelemetry's receives them over OTLP.

use std::collections::BTreeMap;
use std::path::Path;

use angarium_domain::handle::Handle;
use angarium_server::service::Service;
use angarium_server::settings::{Secret, Settings};
use angarium_store::event_log::EventLog;
use angarium_store::memory::MemoryStore;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;

use crate::credentials::SECRET;
use crate::log::Pages;
use crate::receiver::{PATIENCE, Receiver};
use crate::world::{World, eventually, id_of, settings};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

/// A service that sends its spans to a collector.
async fn world_to(collector: &Receiver) -> World {
    collector.answer(200);
    let endpoint = collector.url("");
    World::with(|settings| settings.telemetry.otlp_endpoint = Some(endpoint)).await
}

/// What the collector has so far.
async fn requests(collector: &Receiver) -> Vec<ExportTraceServiceRequest> {
    let arrivals = collector.received(0).await;
    let decoded = arrivals.iter().map(|arrival| {
        assert_eq!(arrival.path, "/v1/traces");
        assert_eq!(arrival.header("content-type"), "application/x-protobuf");
        ExportTraceServiceRequest::decode(arrival.body.clone()).expect("OTLP")
    });
    decoded.collect()
}

async fn spans(collector: &Receiver) -> Vec<Span> {
    let resources = requests(collector).await.into_iter().flat_map(|request| request.resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

/// Waits until the collector has so many spans of a name, and says which.
async fn spans_named(collector: &Receiver, name: &str, count: usize) -> Vec<Span> {
    eventually(|| async {
        let found: Vec<_> = spans(collector).await.into_iter().filter(|span| span.name == name).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

const PUBLISH: &str = "POST /v2/handles/{handle}/events";

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// What a span says about itself, as text.
fn said(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Said| match value {
        Said::StringValue(text) => text.clone(),
        Said::IntValue(number) => number.to_string(),
        Said::BoolValue(flag) => flag.to_string(),
        other => panic!("{other:?} is not expected"),
    };
    let pairs = span
        .attributes
        .iter()
        .filter_map(|pair| Some((pair.key.as_str(), text(pair.value.as_ref()?.value.as_ref()?))));
    pairs.collect()
}

#[tokio::test]
async fn a_publish_and_its_attempt_are_spans_that_a_link_connects() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let world = world_to(&collector).await;
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let publisher = owner
        .with("traceparent", parent("01"))
        .with("tracestate", "vendor=1")
        .with("baggage", "user=me")
        .with("x-request-id", "trace-me");
    let event_id = publisher.publish("order.paid").await;

    let attempt = &spans_named(&collector, "attempt", 1).await[0];
    let request = spans_named(&collector, PUBLISH, 1).await.pop().expect("one");
    let append = &spans_named(&collector, "append", 1).await[0];

    assert_eq!((hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()), (TRACE, CALLER));
    assert_eq!((request.kind(), request.trace_state.as_str()), (SpanKind::Server, "vendor=1"));
    let about = said(&request);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v2/handles/{handle}/events"),
        ("http.response.status_code", "202"),
        ("angarium.request.id", "trace-me"),
        ("angarium.handle", "acme"),
    ] {
        assert_eq!(about[key], value, "{key}");
    }

    assert_eq!((&append.trace_id, &append.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(said(append)["angarium.event.id"], event_id);

    assert_ne!(attempt.trace_id, request.trace_id);
    assert_eq!((attempt.kind(), attempt.parent_span_id.len()), (SpanKind::Client, 0));
    let [link] = attempt.links.as_slice() else { panic!("{:?}", attempt.links) };
    assert_eq!((&link.trace_id, &link.span_id), (&request.trace_id, &request.span_id));
    let about = said(attempt);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "204"),
        ("server.address", "127.0.0.1"),
        ("angarium.handle", "acme"),
        ("angarium.event.id", &event_id),
        ("angarium.event.type", "order.paid"),
        ("angarium.subscription.id", &id_of(&webhook)),
        ("angarium.attempt", "1"),
        ("angarium.class", "delivered"),
    ] {
        assert_eq!(about[key], value, "{key}");
    }
    let names = requests(&collector).await;
    let resource = names[0].resource_spans[0].resource.as_ref().expect("a resource");
    let name = resource.attributes.iter().find(|pair| pair.key == "service.name").expect("a name");
    assert_eq!(
        name.value.clone().and_then(|value| value.value),
        Some(Said::StringValue("angarium".to_owned()))
    );
}

#[tokio::test]
async fn no_trace_goes_to_receivers_and_no_secret_to_the_collector() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let world = world_to(&collector).await;
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/pathsecret?access_token=urlsecret", &["*"]).await;
    let holder = world.token_holder(&["events.write"]).await.with("traceparent", parent("01"));
    let event = r#"{"type":"a","payload":{"x":"payloadsecret"}}"#;
    let baggage = holder.with("baggage", "x=baggagesecret");
    baggage.send(Method::POST, "/events?token=querysecret", event).await.expect(StatusCode::ACCEPTED);
    spans_named(&collector, "attempt", 1).await;
    spans_named(&collector, PUBLISH, 1).await;

    let arrival = &receiver.received(1).await[0];
    for name in ["traceparent", "tracestate", "baggage"] {
        assert!(!arrival.headers.contains_key(name), "{name} was sent to the receiver");
    }
    let told: Vec<u8> =
        collector.received(1).await.iter().flat_map(|arrival| arrival.body.to_vec()).collect();
    let told = String::from_utf8_lossy(&told);
    let token = holder.bearer.clone().expect("a token");
    for secret in [
        "pathsecret",
        "urlsecret",
        "payloadsecret",
        "querysecret",
        "baggagesecret",
        token.split('.').nth(1).expect("a half"),
        webhook["secret"].as_str().expect("a secret"),
        owner.bearer.as_deref().expect("a JWT"),
    ] {
        assert!(!told.contains(secret), "{secret} was sent to the collector");
    }
}

#[tokio::test]
async fn every_attempt_is_a_span_that_says_why_it_failed() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let world = world_to(&collector).await;
    receiver.answer(503);
    world.owner().subscribe(&receiver, "/hook", &["*"]).await;
    world.owner().publish("order.paid").await;

    let request = &spans_named(&collector, PUBLISH, 1).await[0];
    let attempts = spans_named(&collector, "attempt", 2).await;
    assert_ne!(attempts[0].trace_id, attempts[1].trace_id);
    for attempt in &attempts {
        assert_eq!(attempt.links[0].span_id, request.span_id);
        let about = said(attempt);
        assert_eq!((about["error.type"].as_str(), about["angarium.class"].as_str()), ("503", "retry"));
        let resent =
            about.get("http.request.resend_count").map_or(0, |count| count.parse().expect("a number"));
        assert_eq!(about["angarium.attempt"], (resent + 1).to_string());
    }
}

#[tokio::test]
async fn what_its_caller_does_not_record_is_not_recorded_and_nor_are_its_attempts() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let world = world_to(&collector).await;
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["*"]).await;
    let unseen = owner.with("traceparent", parent("00")).publish("order.paid").await;
    receiver.received(1).await;
    let seen = owner.publish("order.paid").await;

    let attempts = spans_named(&collector, "attempt", 1).await;
    assert_eq!(said(&attempts[0])["angarium.event.id"], seen);
    world.service.stop().await;
    for span in spans(&collector).await {
        assert_ne!(hex(&span.trace_id), TRACE, "{}", span.name);
        assert_ne!(said(&span).get("angarium.event.id"), Some(&unseen));
    }
}

#[tokio::test]
async fn a_ratio_of_nothing_records_what_callers_record_and_nothing_else() {
    let collector = Receiver::start().await;
    collector.answer(200);
    let endpoint = collector.url("/v1/traces");
    let world = World::with(|settings| {
        settings.telemetry.otlp_endpoint = Some(endpoint);
        settings.telemetry.sampling_ratio = 0.0;
    })
    .await;
    let owner = world.owner();
    owner.publish("order.paid").await;
    owner.with("traceparent", parent("01")).publish("order.paid").await;
    world.service.stop().await;
    let found = spans(&collector).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|span| hex(&span.trace_id) == TRACE));
}

#[tokio::test]
async fn probes_are_not_traced() {
    let collector = Receiver::start().await;
    let world = world_to(&collector).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        world.nobody().with("traceparent", parent("01")).get(path).await.expect(StatusCode::OK);
    }
    world.nobody().with("traceparent", parent("01")).get("/nowhere").await.expect(StatusCode::NOT_FOUND);
    world.service.stop().await;
    let names: Vec<_> = spans(&collector).await.into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["GET"]);
}

#[tokio::test]
async fn without_a_collector_the_trace_of_a_caller_is_kept_and_none_is_made() {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    let acme: Handle = "acme".parse().expect("a handle");
    let kept = async |id: String| {
        let event = store.event(&acme, id.parse().expect("an id")).await.expect("it reads");
        event.expect("it is in the log").trace.as_deref().cloned()
    };
    let owner = world.owner();
    let context = kept(owner.with("traceparent", parent("01")).publish("a").await).await.expect("a trace");
    assert_eq!((context.to_string().as_str(), hex(&context.span_id).as_str()), (TRACE, CALLER));
    assert_eq!(kept(owner.publish("a").await).await, None);
    assert_eq!(kept(owner.with("traceparent", "00-nonsense").publish("a").await).await, None);
}

fn on_disk(folder: &Path, collector: &Receiver) -> Settings {
    let mut settings = settings();
    settings.store.path = folder.join("angarium.db");
    settings.auth.hs256_secret = Some(Secret(SECRET.to_owned().into()));
    settings.telemetry.otlp_endpoint = Some(collector.url(""));
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_restart_still_names_the_request_that_it_follows_from() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    collector.answer(200);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path(), &collector);
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let owner = world.owner();
    let path = format!("/webhooks/{}", id_of(&owner.subscribe(&receiver, "/hook", &["*"]).await));
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    owner.with("traceparent", parent("01")).publish("order.paid").await;
    world.service.stop().await;
    let request = spans_named(&collector, PUBLISH, 1).await.pop().expect("one");

    let world = World { service: Service::start(&settings).await.expect("a running service") };
    world.owner().post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK);
    let attempt = spans_named(&collector, "attempt", 1).await.pop().expect("one");
    assert_eq!(hex(&attempt.links[0].trace_id), TRACE);
    assert_eq!(attempt.links[0].span_id, request.span_id);
    world.service.stop().await;
}

#[tokio::test]
async fn the_end_of_the_service_sends_what_waits() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let world = world_to(&collector).await;
    world.owner().subscribe(&receiver, "/hook", &["*"]).await;
    world.owner().publish("order.paid").await;
    receiver.received(1).await;
    world.service.stop().await;
    let found: Vec<_> = spans(&collector).await.into_iter().map(|span| span.name).collect();
    for name in [PUBLISH, "append", "attempt"] {
        assert!(found.iter().any(|found| found == name), "no {name} in {found:?}");
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_a_counted_drop_and_one_line() {
    let pages = Pages::default();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(pages.clone()).finish();
    let _logging = tracing::subscriber::set_default(log);
    let vacant = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let endpoint = format!("http://{vacant}");
    let world = World::with(|settings| settings.telemetry.otlp_endpoint = Some(endpoint)).await;

    let mut before = 0;
    for _ in 0..2 {
        world.owner().publish("order.paid").await;
        before =
            eventually(|| async { Some(dropped(&world).await).filter(|dropped| *dropped > before) }).await;
    }
    world.service.stop().await;
    let text = pages.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("the collector")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("angarium_spans_total"), "{lines:?}");
}

async fn dropped(world: &World) -> u64 {
    let text = world.nobody().get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("angarium_spans_total{state=\"dropped\"} "));
    line.map_or(0, |count| count.parse().expect("a number"))
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_hangs() {
    // Connections wait in the socket's queue, and nobody takes them.
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", hanging.local_addr().expect("an address"));
    let world = World::with(|settings| settings.telemetry.otlp_endpoint = Some(endpoint)).await;
    world.owner().publish("order.paid").await;
    let begun = tokio::time::Instant::now();
    tokio::time::timeout(PATIENCE, world.service.stop()).await.expect("it ends");
    // A second for attempts, of which there are none, and a second for the collector; not its ten.
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
}
