//! What goes out: the signed bytes, the given headers, three of ours, and nothing more.

use angarium_channels::egress::AddressPolicy;
use angarium_channels::{Channel, Request};
use angarium_domain::outcome::Failure;
use bytes::Bytes;

use crate::receiver::{PATIENCE, Receiver};
use crate::sender::{Names, answered, channel, failed, local, request};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_request_is_sent_exactly_as_it_was_signed() {
    let receiver = Receiver::answering(OK).await;
    let mut request = request(&format!("{}?a=%2F&b", receiver.url()));
    request.headers.push(("webhook-id".into(), "evt_1".into()));
    request.headers.push(("x-note".into(), "two words ~".into()));
    request.body = Bytes::from_static(b"{ \"a\" : 1 }\n");
    assert_eq!(local().send(request, PATIENCE).await.outcome, answered(200));

    let expected = format!(
        "POST /hook?a=%2F&b HTTP/1.1\r\n\
         content-type: application/json\r\n\
         webhook-id: evt_1\r\n\
         x-note: two words ~\r\n\
         user-agent: Angarium/{}\r\n\
         accept: */*\r\n\
         accept-encoding: identity\r\n\
         content-length: 12\r\n\
         host: {}\r\n\r\n\
         {{ \"a\" : 1 }}\n",
        env!("CARGO_PKG_VERSION"),
        receiver.address,
    );
    assert_eq!(receiver.requests(), [expected]);
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let receiver = Receiver::answering(OK).await;
    let mut request = request(&receiver.url());
    request.body = Bytes::from(vec![b'x'; 1 << 20]);
    assert_eq!(local().send(request, PATIENCE).await.outcome, answered(200));
    assert!(receiver.requests()[0].ends_with(&"x".repeat(1 << 20)));
}

#[tokio::test]
async fn an_empty_body_says_so() {
    let receiver = Receiver::answering(OK).await;
    let mut request = request(&receiver.url());
    request.body = Bytes::new();
    assert_eq!(local().send(request, PATIENCE).await.outcome, answered(200));
    assert!(receiver.requests()[0].contains("content-length: 0\r\n"));
}

/// Row 59. Such headers are refused where they are set; here they are the last line of defence.
#[tokio::test]
async fn a_header_that_could_forge_others_is_not_sent() {
    let receiver = Receiver::answering(OK).await;
    for (name, value) in [
        ("x-a", "b\r\nx-forged: c"),
        ("x-a", "b\nx-forged: c"),
        ("x-a", "b\0"),
        ("x-a", "b\u{7f}"),
        ("x-a", "é"),
        ("x-a", "b\tc"),
        ("x a", "b"),
        ("x-a:", "b"),
        ("x-a\r\nx-forged", "b"),
        ("", "b"),
        (":authority", "b"),
    ] {
        let mut request = request(&receiver.url());
        request.headers.push((name.into(), value.into()));
        let exchange = local().send(request, PATIENCE).await;
        assert_eq!(exchange.outcome, failed(Failure::InternalError), "{name:?}: {value:?}");
    }
    assert_eq!(receiver.connections(), 0);
}

/// A question goes the way of a delivery: the same guard, the same headers, no body.
#[tokio::test]
async fn a_question_is_an_options_request_without_a_body() {
    let receiver =
        Receiver::answering("HTTP/1.1 200 OK\r\nwebhook-allowed-origin: *\r\ncontent-length: 0\r\n\r\n")
            .await;
    let channel = local();
    assert_eq!(channel.origin(), "events.angarium.example");
    let question = Request { body: Bytes::new(), ..request(&receiver.url()) };
    let exchange = channel.ask(question, PATIENCE).await;
    assert_eq!(exchange.outcome, answered(200));
    let allowed = exchange.response_headers.iter().find(|(name, _)| name == "webhook-allowed-origin");
    assert_eq!(allowed.map(|(_, value)| value.as_str()), Some("*"));
    let sent = receiver.requests().remove(0).to_lowercase();
    assert!(
        sent.starts_with("options /hook http/1.1\r\n") && sent.contains("content-length: 0\r\n"),
        "{sent}"
    );
    assert!(sent.contains("user-agent: angarium/") && sent.ends_with("\r\n\r\n"), "{sent}");
}

#[tokio::test]
async fn nobody_inside_is_asked_a_question() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let closed = channel(AddressPolicy::default(), Names::default());
    let exchange = closed.ask(request(&format!("https://{}/", receiver.address)), PATIENCE).await;
    assert_eq!(exchange.outcome, failed(Failure::BlockedAddress));
    let moved = channel(AddressPolicy::default(), Names::default().with("moved.example", &["127.0.0.1"]));
    let exchange = moved.ask(request("https://moved.example/"), PATIENCE).await;
    assert_eq!(exchange.outcome, failed(Failure::BlockedAddress));
    assert_eq!(receiver.connections(), 0);
}
