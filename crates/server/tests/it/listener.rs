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
