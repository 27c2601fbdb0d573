//! The accept loop under peers that are slow, loud or many.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::receiver::PATIENCE;
use crate::world::World;

/// Sends raw bytes and reads until the service closes the connection.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut heard = Vec::new();
    let talk = async {
        // A peer that is refused while it talks may find the connection closed already.
        let _ = stream.write_all(bytes).await;
        let _ = stream.read_to_end(&mut heard).await;
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("the service ends the connection");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let world = World::with(|settings| settings.listen.header_timeout_seconds = 1).await;
    say(world.service.address(), b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    say(world.service.address(), b"").await;
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let world = World::with(|settings| settings.listen.header_bytes_max = 4096).await;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(8192));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for head in [long, many] {
        let answer = say(world.service.address(), head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let world = World::start().await;
    for head in [
        "POST /v2/handles/acme/events HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "GET /healthz HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let answer = say(world.service.address(), head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_a_freed_seat_is_given_again() {
    let world = World::with(|settings| settings.listen.connections_max = 1).await;
    let mut seated = TcpStream::connect(world.service.address()).await.expect("a connection");
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    seated.write_all(request).await.expect("a request");
    let mut first = [0; 12];
    seated.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(say(world.service.address(), request).await, "");
    drop(seated);
    let closing = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    crate::world::eventually(|| async {
        say(world.service.address(), closing).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_address_cannot_take_every_seat() {
    let world = World::with(|settings| {
        settings.listen.connections_per_address_max = 2;
        settings.listen.trusted_proxies = Vec::new();
    })
    .await;
    let address = world.service.address();
    let half = b"GET /healthz HTTP/1.1\r\nhost: x\r\n";
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(half).await.expect("half a head");
        slow.push(stream);
    }
    let whole = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    // Seats are given in the order of coming, so the third finds none.
    assert_eq!(say(address, whole).await, "");
    slow.clear();
    crate::world::eventually(|| async {
        say(address, whole).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_half_heads_leave_seats_for_those_who_ask() {
    let world = World::with(|settings| settings.listen.header_timeout_seconds = 1).await;
    let address = world.service.address();
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ").await.expect("half a head");
        slow.push(stream);
    }
    let whole = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(say(address, whole).await.starts_with("HTTP/1.1 200"));
    // Each of them is shown out in time.
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a half head was waited for");
    }
}

#[tokio::test]
async fn a_peer_that_never_reads_its_answers_is_shown_out() {
    let world = World::with(|settings| settings.listen.write_timeout_seconds = 1).await;
    let mut deaf = TcpStream::connect(world.service.address()).await.expect("a connection");
    let asking = async {
        // Until the buffers between us are full of answers, and then until the connection is closed.
        while deaf.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {}
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the service ends the connection");
}
