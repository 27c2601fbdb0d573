//! Conversations with a service that breaks off, is busy, or is something else.

use angarium_domain::ids::EventId;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cli::answers::Accepted;

const ACCEPTED: &str = r#"{"eventId":"evt_01040g2081040g2081040g2081","deliveries":2,"requestId":"req_1"}"#;
const BUSY: &str = r#"{"error":"temporarily_unavailable","message":"later","requestId":"req_1"}"#;

async fn service() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = Url::parse(&format!("http://{}", listener.local_addr().expect("an address"))).expect("a URL");
    let client = Client::new(&url, &"a-token".into(), &"acme".parse().expect("a handle")).expect("a client");
    (listener, client)
}

/// Reads one request, to the end of its body.
async fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let read = stream.read_buf(&mut request).await.expect("bytes");
        let text = String::from_utf8_lossy(&request);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| body.len() == announced(head));
        if whole || read == 0 {
            return text.into_owned();
        }
    }
}

fn announced(head: &str) -> usize {
    header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or_default()
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.expect("written");
}

async fn publish(client: &Client) -> Result<Accepted, ClientError> {
    client.post("/events", &json!({ "type": "order.paid", "payload": {} })).await
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_sent_again_under_the_same_key() {
    let (listener, client) = service().await;
    let serving = async {
        let (mut first, _) = listener.accept().await.expect("a connection");
        let lost = read(&mut first).await;
        drop(first);
        let (mut second, _) = listener.accept().await.expect("a connection");
        let again = read(&mut second).await;
        answer(&mut second, "202 Accepted", "", ACCEPTED).await;
        (lost, again)
    };
    let (accepted, (lost, again)) = tokio::join!(publish(&client), serving);
    assert_eq!(accepted.expect("accepted").event_id, EventId::from_bytes([1; 16]));
    assert_eq!(lost, again);
    assert!(header(&again, "idempotency-key").is_some_and(|key| !key.is_empty()), "{again}");
    assert_eq!(header(&again, "authorization"), Some("Bearer a-token"));
    assert!(again.starts_with("POST /v2/handles/acme/events HTTP/1.1\r\n"), "{again}");
}

#[tokio::test]
async fn a_connection_is_kept_and_one_that_was_closed_meanwhile_is_replaced() {
    let (listener, client) = service().await;
    let serving = async {
        let (mut first, _) = listener.accept().await.expect("a connection");
        for _ in 0..2 {
            read(&mut first).await;
            answer(&mut first, "202 Accepted", "", ACCEPTED).await;
        }
        drop(first);
        let (mut second, _) = listener.accept().await.expect("a connection");
        read(&mut second).await;
        answer(&mut second, "202 Accepted", "", ACCEPTED).await;
    };
    let asking = async {
        for _ in 0..3 {
            publish(&client).await.expect("accepted");
        }
    };
    tokio::join!(asking, serving);
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_a_refusal_is_final() {
    let (listener, client) = service().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read(&mut stream).await;
        answer(&mut stream, "503 Service Unavailable", "retry-after: 0\r\n", BUSY).await;
        read(&mut stream).await;
        answer(
            &mut stream,
            "403 Forbidden",
            "",
            &BUSY.replace("temporarily_unavailable", "insufficient_role"),
        )
        .await;
    };
    let (refused, ()) = tokio::join!(publish(&client), serving);
    assert_eq!(refused.expect_err("refused").code(), Some("insufficient_role"));
}

#[tokio::test]
async fn a_list_is_read_page_by_page_up_to_the_number_asked_for() {
    let (listener, client) = service().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut asked = Vec::new();
        for body in [r#"{"items":[1,2],"nextCursor":"a b"}"#, r#"{"items":[3],"nextCursor":"c"}"#] {
            let request = read(&mut stream).await;
            asked.push(request.lines().next().expect("a line").to_owned());
            answer(&mut stream, "200 OK", "", body).await;
        }
        asked
    };
    let filters = [("type", "x".to_owned())];
    let (items, asked) = tokio::join!(client.list::<u8>("/events", &filters, 3), serving);
    assert_eq!(items.expect("items"), [1, 2, 3]);
    assert_eq!(
        asked,
        [
            "GET /v2/handles/acme/events?type=x&limit=3 HTTP/1.1",
            "GET /v2/handles/acme/events?type=x&limit=1&cursor=a+b HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_called_strange() {
    let (listener, client) = service().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        read(&mut stream).await;
        answer(&mut stream, "502 Bad Gateway", "", "<html>").await;
    };
    let (strange, ()) = tokio::join!(client.get::<Value>("/events"), serving);
    assert!(
        matches!(strange, Err(ClientError::Strange { status: StatusCode::BAD_GATEWAY, .. })),
        "{strange:?}"
    );
}

#[test]
fn addresses_and_tokens_that_cannot_be_used_are_refused_before_anything_is_sent() {
    let handle: Handle = "acme".parse().expect("a handle");
    let refused = |url: &str, token: &str| {
        Client::new(&Url::parse(url).expect("a URL"), &token.into(), &handle)
            .err()
            .expect("refused")
            .to_string()
    };
    assert!(refused("ftp://example.com/", "t").contains("must begin with http"));
    assert!(refused("http://example.com/", "a\nb").contains("token"));
}
