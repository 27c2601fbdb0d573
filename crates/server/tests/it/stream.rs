//! What happens to deliveries, heard while it happens.

use std::time::Duration;

use futures_util::StreamExt;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sse_stream::{Sse, SseStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::receiver::{PATIENCE, Receiver};
use crate::world::{World, id_of, time};

/// A stream that is open, after its first line.
pub(crate) struct Hearing {
    events: SseStream<Incoming>,
    pub(crate) first: Sse,
    _connection: JoinHandle<()>,
}

impl Hearing {
    async fn of(client: &Client, query: &str, after: Option<&str>) -> Hearing {
        Hearing::at(client, &format!("/deliveries/stream{query}"), after).await
    }

    /// A stream at a path of the client's.
    pub(crate) async fn at(client: &Client, path: &str, after: Option<&str>) -> Hearing {
        Hearing::try_at(client, path, after).await.expect("a stream")
    }

    /// The same, unless it is refused.
    pub(crate) async fn try_at(client: &Client, path: &str, after: Option<&str>) -> Option<Hearing> {
        let stream = TcpStream::connect(client.address).await.expect("the service listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        let driving = tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::get(format!("{}{path}", client.root))
            .header("host", "angarium.test")
            .header("authorization", format!("Bearer {}", client.bearer.as_deref().expect("a credential")));
        if let Some(place) = after {
            request = request.header("last-event-id", place);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        if answer.status() != StatusCode::OK {
            return None;
        }
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut events = SseStream::new(answer.into_body());
        let first = events.next().await.expect("a first line").expect("an event");
        Some(Hearing { events, first, _connection: driving })
    }

    /// The next event that says something; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Sse> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("it comes in time");
            let event = next?.expect("an event");
            if event.data.is_some() {
                return Some(event);
            }
        }
    }

    /// The next event's name and what it says.
    pub(crate) async fn told(&mut self) -> (String, Value) {
        let event = self.next().await.expect("the stream goes on");
        let data = serde_json::from_str(&event.data.expect("data")).expect("JSON");
        (event.event.expect("a name"), data)
    }
}

#[tokio::test]
async fn a_listener_hears_of_every_attempt_and_how_it_ends() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = id_of(&owner.subscribe(&receiver, "/hook", &["order.*"]).await);
    let mut hearing = Hearing::of(&owner, "", None).await;
    receiver.answer(503);
    let event = owner.publish("order.paid").await;
    let (name, told) = hearing.told().await;
    assert_eq!(name, "delivery.retrying");
    let expected = json!({ "status": "retrying", "attempt": 1, "lastStatus": 503, "lastError": null,
        "eventId": event, "eventType": "order.paid", "subscriptionId": webhook, "origin": "live", "reason": null });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&told[field], value, "{field} of {told}");
    }
    assert!(told["durationMs"].as_f64().is_some_and(|millis| millis > 0.0), "{told}");
    assert!(time(&told["nextAttemptAt"]) > time(&told["at"]), "{told}");

    receiver.answer(404);
    // Other attempts may have been made before the answer changed.
    let dead = loop {
        let (name, told) = hearing.told().await;
        if name == "delivery.dead" {
            break told;
        }
        assert_eq!(name, "delivery.retrying");
    };
    assert_eq!((&dead["reason"], &dead["nextAttemptAt"]), (&json!("terminal_status"), &Value::Null));

    receiver.answer(200);
    owner.publish("order.shipped").await;
    let (name, told) = hearing.told().await;
    assert_eq!((name.as_str(), &told["eventType"]), ("delivery.delivered", &json!("order.shipped")));
}

#[tokio::test]
async fn a_listener_hears_what_it_asked_for_and_of_its_own_handle_only() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let (acme, beta) = (world.owner(), world.person("beta", "CREATOR"));
    let first = id_of(&acme.subscribe(&receiver, "/one", &["a", "b"]).await);
    acme.subscribe(&receiver, "/two", &["a", "b"]).await;
    let query = format!("?subscriptionId={first}&eventType=b&status=delivered");
    let mut narrow = Hearing::of(&acme, &query, None).await;
    let mut stranger = Hearing::of(&beta, "", None).await;
    acme.publish("a").await;
    acme.publish("b").await;
    let (_, told) = narrow.told().await;
    assert_eq!((&told["subscriptionId"], &told["eventType"]), (&json!(first), &json!("b")));
    world.service.stop().await;
    assert_eq!(stranger.told().await.0, "end");
}

#[tokio::test]
async fn whoever_comes_back_goes_on_where_it_was() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["*"]).await;
    let mut hearing = Hearing::of(&owner, "", None).await;
    owner.publish("a").await;
    let heard = hearing.next().await.expect("an event");
    let place = heard.id.expect("a place");
    drop(hearing);
    owner.publish("b").await;
    owner.deliveries_when("?status=delivered", 2).await;
    let mut back = Hearing::of(&owner, "", Some(&place)).await;
    assert_eq!(back.told().await.1["eventType"], "b");

    for lost in ["17-3", "nonsense"] {
        let mut lost = Hearing::of(&owner, "", Some(lost)).await;
        assert_eq!(lost.told().await.0, "resync");
        owner.publish("c").await;
        assert_eq!(lost.told().await.1["eventType"], "c");
    }
}

#[tokio::test]
async fn a_stream_begins_with_its_place_and_asks_to_be_taken_up_again() {
    let world = World::start().await;
    let hearing = Hearing::of(&world.owner(), "", None).await;
    assert!(hearing.first.id.is_some_and(|place| place.ends_with("-0")));
    assert_eq!(hearing.first.retry, Some(2000));
}

#[tokio::test]
async fn a_stream_ends_with_its_credential() {
    let world = World::start().await;
    let holder = world.token_holder(&["deliveries.read"]).await;
    let mut hearing = Hearing::of(&holder, "", None).await;
    let tokens = world.owner().get("/tokens").await.items();
    let id = tokens[0]["tokenId"].as_str().expect("an id");
    world.owner().delete(&format!("/tokens/{id}")).await.expect(StatusCode::NO_CONTENT);
    let (name, told) = hearing.told().await;
    assert_eq!((name.as_str(), &told["reason"]), ("end", &json!("the credential is no longer good")));
    assert!(hearing.next().await.is_none());
}

#[tokio::test]
async fn a_stopping_service_ends_its_streams_and_does_not_wait_for_them() {
    let world = World::start().await;
    let mut hearing = Hearing::of(&world.owner(), "", None).await;
    let stopping = tokio::time::timeout(Duration::from_secs(5), world.service.stop());
    let (stopped, (name, _)) = tokio::join!(stopping, hearing.told());
    assert!(stopped.is_ok(), "it waited for a listener");
    assert_eq!(name, "end");
    assert!(hearing.next().await.is_none());
}

#[tokio::test]
async fn too_many_listeners_are_told_when_to_come_back() {
    let world = World::start().await;
    let owner = world.owner();
    let mut hearings = Vec::new();
    for _ in 0..20 {
        hearings.push(Hearing::of(&owner, "", None).await);
    }
    let refused = owner.get("/deliveries/stream").await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("10"));
    Hearing::of(&world.person("beta", "OWNER"), "", None).await;
}

#[tokio::test]
async fn a_filter_that_makes_no_sense_is_refused_by_name() {
    let owner = World::start().await.owner();
    for (query, code) in [
        ("?status=pending", "invalid_status"),
        ("?subscriptionId=x", "invalid_subscriptionId"),
        ("?eventType=a..b", "invalid_eventType"),
        ("?limit=3", "invalid_limit"),
    ] {
        owner.get(&format!("/deliveries/stream{query}")).await.expect_problem(400, code);
    }
}
