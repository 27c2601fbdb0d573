//! Rows 46 to 54 of the attack list: receivers that want our time and our memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use angarium_channels::Channel;
use angarium_channels::webhook::WebhookChannel;
use angarium_domain::outcome::Failure;
use tokio::io::AsyncWriteExt;

use crate::receiver::{PATIENCE, Receiver, drip, eventually, linger};
use crate::sender::{Names, SHORT, answered, failed, local, loopback, request, send, settings};

/// Answers each request with the same bytes until the other side closes, and counts them.
async fn flooding(head: &'static str, piece: Vec<u8>) -> (Receiver, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let (count, piece) = (Arc::clone(&sent), Arc::new(piece));
    let receiver = Receiver::start(move |mut stream, received| {
        let (count, piece) = (Arc::clone(&count), Arc::clone(&piece));
        async move {
            received.request_from(&mut stream).await;
            let mut flowing = stream.write_all(head.as_bytes()).await.is_ok();
            while flowing {
                flowing = stream.write_all(&piece).await.is_ok();
                count.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            count.fetch_or(1 << 63, Ordering::SeqCst);
        }
    })
    .await;
    (receiver, sent)
}

/// Waits until the flood was cut off, and says how many bytes had gone out: ours, and the kernel's buffers.
async fn cut_off(sent: &AtomicU64) -> u64 {
    eventually("the connection is closed", || sent.load(Ordering::SeqCst) >> 63 == 1).await;
    sent.load(Ordering::SeqCst) & !(1 << 63)
}

const KERNEL_BUFFERS_BYTES: u64 = 16 << 20;

/// Rows 46 and 48.
#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let mute = Receiver::start(|mut stream, _| async move { linger(&mut stream).await }).await;
    let dripping = Receiver::start(|mut stream, received| async move {
        received.request_from(&mut stream).await;
        for byte in "HTTP/1.1 200 OK\r\n".bytes().cycle() {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let endless_head = Receiver::start(|mut stream, received| async move {
        received.request_from(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.expect("a line goes out");
        drip(&mut stream, b"x-a: b\r\n", Duration::from_millis(20)).await;
    })
    .await;
    for receiver in [mute, dripping, endless_head] {
        let exchange = local().send(request(&receiver.url()), SHORT).await;
        assert_eq!(exchange.outcome, failed(Failure::Timeout));
        assert_eq!(exchange.detail.as_deref(), Some("no answer within 300 ms"));
        assert_eq!(exchange.remote_address, Some(receiver.address.to_string()));
        assert!(exchange.timing.connect_us.is_some(), "what was learned before the deadline is told");
        assert_eq!(exchange.timing.first_byte_us, None);
    }
}

/// Row 47: the limit of the handshake, and the deadline before it.
#[tokio::test]
async fn a_handshake_that_stalls_is_a_timeout() {
    let stalling = Receiver::start(|mut stream, _| async move { linger(&mut stream).await }).await;
    let url = format!("https://{}/", stalling.address);
    let mut hasty = settings(loopback(), Names::default());
    hasty.limits.connect = SHORT;
    let hasty = WebhookChannel::new(hasty).expect("no extra roots");

    let exchange = hasty.send(request(&url), PATIENCE).await;
    assert_eq!(exchange.outcome, failed(Failure::Timeout));
    assert_eq!(exchange.detail.as_deref(), Some("no TLS handshake within 300 ms"));

    let exchange = local().send(request(&url), SHORT).await;
    assert_eq!(exchange.outcome, failed(Failure::Timeout));
    assert_eq!(exchange.detail.as_deref(), Some("no connection within 300 ms"));
}

#[tokio::test]
async fn a_timeout_closes_its_connection() {
    let (closed, noted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (closing, noting) = (Arc::clone(&closed), Arc::clone(&noted));
    let receiver = Receiver::start(move |mut stream, received| {
        let (closed, noted) = (Arc::clone(&closing), Arc::clone(&noting));
        async move {
            received.request_from(&mut stream).await;
            noted.fetch_add(1, Ordering::SeqCst);
            linger(&mut stream).await;
            closed.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    local().send(request(&receiver.url()), SHORT).await;
    assert_eq!(noted.load(Ordering::SeqCst), 1);
    eventually("the connection is closed", || closed.load(Ordering::SeqCst) == 1).await;
}

/// Row 50.
#[tokio::test]
async fn endless_bodies_are_cut_off_and_cost_no_success() {
    let chunk = [b"2000\r\n", "x".repeat(0x2000).as_bytes(), b"\r\n"].concat();
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n", vec![b'x'; 8192]),
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 8192]),
    ] {
        let (receiver, sent) = flooding(head, piece).await;
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.outcome, answered(200), "{head:?}");
        assert!(exchange.response_truncated);
        assert!(cut_off(&sent).await < KERNEL_BUFFERS_BYTES);
    }
}

/// Row 51.
#[tokio::test]
async fn heads_without_end_are_cut_off() {
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n", b"x-a: b\r\n".repeat(100)),
        ("HTTP/1.1 200 OK\r\nx-a: ", vec![b'x'; 8192]),
        ("HTTP/1.1 200 ", vec![b'x'; 8192]),
        ("", vec![b'\r', b'\n']),
    ] {
        let (receiver, sent) = flooding(head, piece).await;
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.outcome, failed(Failure::ProtocolError), "{head:?}: {:?}", exchange.detail);
        assert!(cut_off(&sent).await < KERNEL_BUFFERS_BYTES);
    }
}

/// Row 51.
#[tokio::test]
async fn heads_beyond_their_limits_are_protocol_errors() {
    let lines = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: b\r\n".repeat(count));
    for (answer, accepted) in [
        (lines(100), true),
        (lines(101), false),
        (format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "x".repeat(60_000)), true),
        (format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "x".repeat(70_000)), false),
        ("HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx\0: a\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx-a: b\nx-c: d\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\n\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx-a: b\r\n folded\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx a: b\r\n\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nx-a : b\r\n\r\n".to_owned(), false),
    ] {
        let receiver = Receiver::answering_once(answer.clone()).await;
        let exchange = send(&local(), &receiver.url()).await;
        let expected = if accepted { answered(200) } else { failed(Failure::ProtocolError) };
        let shown: String = answer.chars().take(80).collect();
        assert_eq!(exchange.outcome, expected, "{shown:?}: {:?}", exchange.detail);
    }
}

/// Row 54.
#[tokio::test]
async fn floods_of_interim_answers_are_cut_off() {
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"] {
        let (receiver, sent) = flooding("", interim.as_bytes().to_vec()).await;
        let exchange = send(&local(), &receiver.url()).await;
        assert_eq!(exchange.outcome, failed(Failure::ProtocolError));
        assert_eq!(exchange.detail.as_deref(), Some("there are more than 16 interim answers"));
        assert!(cut_off(&sent).await < KERNEL_BUFFERS_BYTES);
    }
}

#[tokio::test]
async fn a_few_interim_answers_are_passed_over() {
    let receiver = Receiver::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let channel = local();
    for _ in 0..3 {
        assert_eq!(send(&channel, &receiver.url()).await.outcome, answered(201));
    }
    assert_eq!(receiver.connections(), 1);
}
