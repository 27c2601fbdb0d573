//! Conversations with a real sink over a real socket.

use angarium_domain::event_type::EventType;
use angarium_domain::ids::EventId;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::{SigningProfile, ToSign};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::*;

type TestClient = Client<HttpConnector, Full<Bytes>>;

fn client() -> TestClient {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn start() -> RunningSink {
    Sink::start(SinkSettings::default()).await.expect("a free port")
}

fn post(sink: &RunningSink, path: &str, event: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("{}{path}", sink.url())).header("webhook-id", event);
    request.body(Full::from(body)).expect("a request")
}

async fn status(sink: &RunningSink, path: &str, event: &str) -> u16 {
    client().request(post(sink, path, event, "{}")).await.expect("an answer").status().as_u16()
}

async fn get(sink: &RunningSink, path: &str) -> Value {
    let answer =
        client().get(format!("{}{path}", sink.url()).parse().expect("a URL")).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

/// A signed request for `body`, sent with another body if that is given.
fn signed(
    sink: &RunningSink,
    key: SigningKey,
    body: &'static str,
    sent: &'static str,
) -> Request<Full<Bytes>> {
    let event_type: EventType = "order.paid".parse().expect("a type");
    let event_id = EventId::from_bytes([1; 16]);
    let at = crate::cli::sink::now();
    let to_sign = ToSign { event_id, event_type: &event_type, attempt: 1, at, body: body.as_bytes() };
    let mut request = Request::post(sink.url());
    for (name, value) in SigningProfile::Arjun.headers(&SigningKeys::new(key), &to_sign) {
        request = request.header(name, value);
    }
    request.body(Full::from(sent)).expect("a request")
}

#[tokio::test]
async fn requests_are_accepted_and_can_be_read_back() {
    let sink = start().await;
    assert_eq!(status(&sink, "/hook?a=b", "evt_1").await, 200);
    sink.received(1).await;
    let log = get(&sink, "/requests").await;
    let request = &log["requests"][0];
    assert_eq!(
        [&request["method"], &request["path"], &request["body"], &request["status"], &request["n"]],
        [&json!("POST"), &json!("/hook?a=b"), &json!("{}"), &json!(200), &json!(1)]
    );
    assert!(request["headers"].as_array().expect("headers").contains(&json!(["webhook-id", "evt_1"])));
    assert_eq!(sink.requests().len(), 1);
    assert_eq!(get(&sink, "/requests?since=1").await, json!({ "requests": [] }));
    sink.stop().await;
}

#[tokio::test]
async fn each_event_fails_as_often_as_asked_on_each_path() {
    let sink = start().await;
    let mut answers = Vec::new();
    for (path, event) in [
        ("/fail-first/2", "evt_1"),
        ("/fail-first/2", "evt_2"),
        ("/fail-first/2", "evt_1"),
        ("/fail-first/2", "evt_1"),
        ("/b/fail-first/2", "evt_1"),
    ] {
        answers.push(status(&sink, path, event).await);
    }
    assert_eq!(answers, [503, 503, 503, 200, 503]);
    let summary = get(&sink, "/requests/summary").await;
    assert_eq!(summary["distinctEvents"], 2);
    assert_eq!(summary["duplicates"], 2);
    assert_eq!(summary["byStatus"], json!({ "200": 1, "503": 4 }));
}

#[tokio::test]
async fn a_path_chooses_status_and_retry_after() {
    let sink = start().await;
    let answer =
        client().request(post(&sink, "/status/429/retry-after/7", "evt_1", "")).await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    let accepted =
        client().request(post(&sink, "/status/204/retry-after/7", "evt_1", "")).await.expect("an answer");
    assert!(!accepted.headers().contains_key("retry-after"));
    assert_eq!(status(&sink, "/status/nonsense", "evt_1").await, 400);
}

#[tokio::test]
async fn signatures_are_checked_with_the_secrets_that_are_trusted() {
    let sink = start().await;
    let key = || SigningKey::hmac([7; 32]);
    sink.trust(&key().shown()).expect("a secret");
    client().request(signed(&sink, key(), "{}", "{}")).await.expect("an answer");
    client().request(signed(&sink, key(), "{\"a\":1}", "{\"a\":2}")).await.expect("an answer");
    client().request(signed(&sink, SigningKey::hmac([8; 32]), "{}", "{}")).await.expect("an answer");
    assert_eq!(status(&sink, "/", "evt_unsigned").await, 200);
    let held: Vec<bool> = sink.requests().iter().map(|record| record.signatures.hold()).collect();
    assert_eq!(held, [true, false, false, false]);
    assert_eq!(sink.summary().bad_signatures, 3);
}

#[tokio::test]
async fn a_hanging_path_takes_the_request_and_never_answers() {
    let sink = start().await;
    let client = client();
    let hanging = client.request(post(&sink, "/hang", "evt_1", "{}"));
    tokio::select! {
        answer = hanging => panic!("answered: {answer:?}"),
        () = sink.received(1) => {}
    }
    assert_eq!(sink.summary().by_status["none"], 1);
    sink.stop().await;
}

#[tokio::test]
async fn a_dripping_path_answers_its_status_before_its_body_ends() {
    let sink = start().await;
    let answer = client().request(post(&sink, "/drip", "evt_1", "{}")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let first = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(first.into_data().expect("data"), ".");
    sink.stop().await;
    assert!(body.collect().await.is_err(), "the sink broke off");
}

#[tokio::test]
async fn a_delay_passes_before_the_answer() {
    let sink = start().await;
    let began = tokio::time::Instant::now();
    assert_eq!(status(&sink, "/delay/80ms", "evt_1").await, 200);
    assert!(began.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn clearing_the_log_begins_to_count_anew() {
    let sink = start().await;
    status(&sink, "/fail-first/1", "evt_1").await;
    let clear = Request::delete(format!("{}/requests", sink.url())).body(Full::default()).expect("a request");
    assert_eq!(client().request(clear).await.expect("an answer").status(), 204);
    assert_eq!(sink.summary(), Summary::default());
    assert_eq!(status(&sink, "/fail-first/1", "evt_1").await, 503);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let sink = start().await;
    let body = Full::from(vec![b'x'; BODY_BYTES_MAX + 1]);
    let request = Request::post(sink.url()).body(body).expect("a request");
    // The sink may close before everything is sent; what counts is that nothing was recorded.
    let _ = client().request(request).await;
    assert_eq!(sink.summary().total, 0);
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let sink = start().await;
    let again = SinkSettings { listen: sink.address, ..SinkSettings::default() };
    assert!(Sink::start(again).await.is_err());
}

#[tokio::test]
async fn whoever_asks_for_consent_is_told_yes_unless_the_sink_is_to_fail() {
    let sink = start().await;
    let handshake = |path: &str| {
        let request = Request::options(format!("{}{path}", sink.url()));
        let request = request.header("webhook-request-origin", "events.example.com");
        request.body(Full::default()).expect("a request")
    };
    let yes = client().request(handshake("/hook")).await.expect("an answer");
    assert_eq!(yes.headers()["webhook-allowed-origin"], "events.example.com");
    assert_eq!(yes.headers()["webhook-allowed-rate"], "*");
    let no = client().request(handshake("/status/503")).await.expect("an answer");
    assert_eq!(no.headers().get("webhook-allowed-origin"), None);

    let challenge = r#"{"type":"webhook.verification","challenge":"c0ffee"}"#;
    let yes = client().request(post(&sink, "/hook", "evt_1", challenge)).await.expect("an answer");
    let body = yes.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), json!({ "challenge": "c0ffee" }));
    let other = r#"{"type":"order.paid","challenge":"c0ffee"}"#;
    let usual = client().request(post(&sink, "/hook", "evt_2", other)).await.expect("an answer");
    assert!(usual.into_body().collect().await.expect("a body").to_bytes().is_empty());
    sink.stop().await;
}

#[tokio::test]
async fn an_unsigned_handshake_is_no_bad_signature() {
    let sink = start().await;
    sink.trust(&SigningKey::hmac([1; 32]).shown()).expect("a secret");
    let request = Request::options(sink.url()).header("webhook-request-origin", "events.example.com");
    client().request(request.body(Full::default()).expect("a request")).await.expect("an answer");
    sink.received(1).await;
    assert_eq!(get(&sink, "/requests/summary").await["badSignatures"], 0);
    sink.stop().await;
}
