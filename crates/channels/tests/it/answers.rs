//! What an answer says: the status decides, the rest is recorded within limits.

use std::time::Duration;

use angarium_channels::Channel;
use angarium_domain::attempt::BODY_KEPT_BYTES;
use angarium_domain::outcome::{Failure, Outcome};
use tokio::io::AsyncWriteExt;

use crate::receiver::{Receiver, drip};
use crate::sender::{SHORT, answered, failed, local, request, send};

/// 100,000 zeros.
const BOMB: &[u8] = include_bytes!("zeros.gz");

#[tokio::test]
async fn every_final_status_is_an_answer() {
    let channel = local();
    for status in
        [200, 201, 202, 204, 205, 226, 299, 300, 304, 399, 400, 404, 410, 425, 429, 499, 500, 503, 599]
    {
        let receiver = Receiver::answering_once(format!("HTTP/1.1 {status} Some reason\r\n\r\nbody")).await;
        assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(status));
    }
}

#[tokio::test]
async fn an_answer_is_recorded_as_it_came() {
    let receiver = Receiver::answering_once(
        b"HTTP/1.0 500 Internal\r\nX-One: a\r\nx-one: b\r\nx-raw: \xff\r\n\r\n{\"error\":\"\xff\"}".to_vec(),
    )
    .await;
    let exchange = send(&local(), &format!("{}?access_token=secret", receiver.url())).await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        exchange.response_headers,
        [header("x-one", "a"), header("x-one", "b"), header("x-raw", "\u{fffd}")]
    );
    assert_eq!(exchange.response_body, "{\"error\":\"\u{fffd}\"}");
    assert!(!exchange.response_truncated);
    assert_eq!(exchange.endpoint, receiver.url(), "without the query");
    assert_eq!(exchange.detail, None);
    assert!(exchange.timing.total_us >= exchange.timing.first_byte_us.expect("there was an answer"));
}

#[tokio::test]
async fn the_first_bytes_of_a_body_are_kept() {
    for (bytes, truncated) in [(BODY_KEPT_BYTES, false), (BODY_KEPT_BYTES + 1, true)] {
        let body = "x".repeat(bytes);
        let receiver =
            Receiver::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{body}")).await;
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.response_body.len(), BODY_KEPT_BYTES);
        assert_eq!(exchange.response_truncated, truncated);
    }
}

#[tokio::test]
async fn a_receiver_may_ask_for_time_in_seconds_or_by_date() {
    for (value, expected) in [
        ("120", Some(120)),
        ("Sun, 06 Nov 1994 12:01:00 GMT", Some(60)),
        ("Sun, 06 Nov 1994 11:00:00 GMT", Some(0)),
        ("-1", None),
        ("tomorrow", None),
    ] {
        let receiver = Receiver::answering(format!(
            "HTTP/1.1 503 Busy\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n"
        ))
        .await;
        let outcome = send(&local(), &receiver.url()).await.outcome;
        assert_eq!(outcome, Outcome::Answered { status: 503, retry_after_seconds: expected }, "{value}");
    }
}

/// Row 49.
#[tokio::test]
async fn a_body_that_drips_does_not_undo_its_status() {
    for (head, status) in [("HTTP/1.1 200 OK", 200), ("HTTP/1.1 500 No", 500)] {
        let receiver = Receiver::start(move |mut stream, received| async move {
            received.request_from(&mut stream).await;
            let head = format!("{head}\r\ncontent-length: 100000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("a head goes out");
            drip(&mut stream, b"x", Duration::from_millis(10)).await;
        })
        .await;
        let exchange = local().send(request(&receiver.url()), SHORT).await;
        assert_eq!(exchange.outcome, answered(status));
        assert!(exchange.response_truncated);
        assert!(exchange.response_body.starts_with('x'), "what came is kept");
    }
}

/// Row 52.
#[tokio::test]
async fn nothing_is_inflated() {
    for encoding in ["gzip", "br", "deflate", "gzip, gzip", "zstd", "identity"] {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            BOMB.len()
        );
        let receiver = Receiver::answering([head.as_bytes(), BOMB].concat()).await;
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.outcome, answered(200));
        assert_eq!(exchange.response_body, String::from_utf8_lossy(BOMB));
        assert!(receiver.requests()[0].contains("accept-encoding: identity\r\n"));
    }
}

#[tokio::test]
async fn what_is_no_final_status_is_a_protocol_error() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 600 Beyond\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 999 Beyond\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
        "{\"ok\":true}\r\n\r\n",
    ] {
        let receiver = Receiver::answering_once(answer).await;
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.outcome, failed(Failure::ProtocolError), "{answer:?}");
        assert!(exchange.detail.is_some());
    }
}

/// Row 53.
#[tokio::test]
async fn an_answer_whose_end_is_in_doubt_is_a_protocol_error() {
    for framing in [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2\r\ncontent-length: 2",
        "content-length: -2",
        "content-length: two",
    ] {
        let receiver =
            Receiver::answering(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n2\r\nok\r\n0\r\n\r\n")).await;
        let channel = local();
        for connections in 1..=2 {
            let exchange = send(&channel, &receiver.url()).await;
            assert_eq!(exchange.outcome, failed(Failure::ProtocolError), "{framing:?}");
            assert_eq!(receiver.connections(), connections, "{framing:?}");
        }
    }
}
