//! Connections are made once, used again, and left when they are old or unclean.

use std::time::Duration;

use angarium_channels::webhook::WebhookChannel;
use angarium_domain::attempt::BODY_KEPT_BYTES;
use angarium_domain::outcome::Failure;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::receiver::{Receiver, linger};
use crate::sender::{Names, answered, channel, failed, local, loopback, send, settings};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn one_connection_carries_many_attempts_and_only_the_first_pays_for_it() {
    for answer in [OK, NO_CONTENT] {
        let receiver = Receiver::answering(answer).await;
        let channel = channel(loopback(), Names::default().with("hooks.example.com", &["127.0.0.1"]));
        let url = format!("http://hooks.example.com:{}/hook", receiver.port());

        let first = send(&channel, &url).await;
        assert!(first.timing.dns_us.is_some() && first.timing.connect_us.is_some());
        assert_eq!(first.timing.tls_us, None);
        for _ in 0..20 {
            let next = send(&channel, &url).await;
            assert!(next.outcome.status().is_some_and(|status| status < 300));
            assert_eq!((next.timing.dns_us, next.timing.connect_us), (None, None));
            assert!(next.timing.first_byte_us.is_some());
            assert_eq!(next.remote_address, Some(receiver.address.to_string()));
        }
        assert_eq!(receiver.connections(), 1);
        assert_eq!(receiver.requests().len(), 21);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_used_again_whatever_thread_is_faster() {
    let receiver = Receiver::answering(OK).await;
    let channel = local();
    for _ in 0..200 {
        assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(200));
    }
    // A dial may be lost in a race with the return of the last connection, but not as a rule.
    assert!(receiver.connections() <= 20, "{} connections for 200 attempts", receiver.connections());
}

#[tokio::test]
async fn an_old_connection_is_not_used_again() {
    let receiver = Receiver::answering(OK).await;
    let mut settings = settings(loopback(), Names::default());
    settings.limits.connection_age = Duration::ZERO;
    let channel = WebhookChannel::new(settings).expect("no extra roots");
    for connections in 1..=3 {
        assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(200));
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn a_receiver_that_closes_after_each_answer_is_dialled_anew() {
    let receiver =
        Receiver::answering_once("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let channel = local();
    for connections in 1..=3 {
        assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(200));
        assert_eq!(receiver.connections(), connections);
    }
}

/// Row 55.
#[tokio::test]
async fn an_answer_smuggled_behind_another_is_never_taken_for_the_next() {
    let smuggled =
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering(smuggled).await;
    let channel = local();
    for connections in 1..=5 {
        assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(200));
        assert_eq!(receiver.connections(), connections);
    }
}

/// Row 53: a body that is not as long as it says.
#[tokio::test]
async fn a_body_of_another_length_costs_its_connection() {
    for answer in
        ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nok", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"]
    {
        let receiver = Receiver::answering_once(answer).await;
        let channel = local();
        for connections in 1..=3 {
            assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(200));
            assert_eq!(receiver.connections(), connections, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_body_longer_than_we_read_costs_its_connection() {
    let body = "x".repeat(10_000_000);
    let receiver =
        Receiver::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    let channel = local();
    for connections in 1..=2 {
        let exchange = send(&channel, &receiver.url()).await;
        assert_eq!(exchange.outcome, answered(200));
        assert_eq!(exchange.response_body, "x".repeat(BODY_KEPT_BYTES));
        assert!(exchange.response_truncated);
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn nobody_at_the_port_is_a_connect_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("it is bound");
    let exchange = send(&local(), &format!("http://{free}/")).await;
    assert_eq!(exchange.outcome, failed(Failure::ConnectError));
    assert_eq!(exchange.detail.as_deref(), Some("connection refused"));
    assert_eq!(exchange.remote_address, None);
}

#[tokio::test]
async fn the_next_address_is_tried_where_the_first_refuses() {
    let receiver = Receiver::answering(OK).await;
    let names = Names::default().with("hooks.example.com", &["127.0.0.7", "127.0.0.1"]);
    let exchange =
        send(&channel(loopback(), names), &format!("http://hooks.example.com:{}/", receiver.port())).await;
    assert_eq!(exchange.outcome, answered(200));
    assert_eq!(exchange.remote_address, Some(receiver.address.to_string()));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_lost() {
    let closing = Receiver::start(|mut stream, received| async move {
        received.request_from(&mut stream).await;
        let _ = stream.shutdown().await;
        linger(&mut stream).await;
    })
    .await;
    // Closing with unread bytes resets the connection.
    let resetting = Receiver::start(|stream, _| async move {
        stream.readable().await.expect("a request comes");
        drop(stream);
    })
    .await;
    let half = Receiver::answering_once("HTTP/1.1 200 OK\r\ncontent-").await;
    for receiver in [closing, resetting, half] {
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.outcome, failed(Failure::ConnectionLost), "{:?}", exchange.detail);
        assert_eq!(receiver.connections(), 1, "an attempt is made once");
        assert_eq!(exchange.remote_address, Some(receiver.address.to_string()));
    }
}
