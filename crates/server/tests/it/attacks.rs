//! Rows 35 and 61 to 74 of the attack list, where no page of a resource has them: what strangers send to the
//! API, and what must never come out of it.

use std::path::Path;

use angarium_server::service::Service;
use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::log::Pages;
use crate::receiver::Receiver;
use crate::restart::on_disk;
use crate::webhooks::signature;
use crate::world::{World, eventually, id_of};

/// Row 35.
#[tokio::test]
async fn a_webhook_is_not_led_to_an_inner_address_by_a_change_and_keeps_its_own() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", id_of(&webhook));
    for url in [
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://0xA9.0xFE.0xA9.0xFE/",
        "https://user:pass@example.com/",
        "https://example.com\\@10.0.0.1/",
        "file:///etc/passwd",
    ] {
        owner.patch(&path, &json!({ "endpointUrl": url })).await.expect_problem(400, "invalid_endpointUrl");
    }
    assert_eq!(owner.get(&path).await.json()["endpointUrl"], webhook["endpointUrl"]);
    owner.publish("a").await;
    assert_eq!(receiver.received(1).await[0].path, "/hook");
}

/// Row 45, where a proxy hides that the endpoint is this service.
#[tokio::test]
async fn an_attempt_that_comes_back_to_the_api_is_refused() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    owner.publish("a").await;
    let attempt = receiver.received(1).await.remove(0);
    let proxy = owner.with("user-agent", attempt.header("user-agent"));
    let answer = proxy.post(&format!("/webhooks/{}/test", id_of(&webhook)), &json!({})).await;
    answer.expect_problem(403, "loop_detected");
    let program = world.organization().await.with("user-agent", attempt.header("user-agent"));
    program.get("/webhooks").await.expect_refusal(403, "FORBIDDEN");
    assert_eq!(owner.deliveries("").await.len(), 1);
}

/// Rows 61 and 62: what is refused leaves nothing behind, and what is taken arrives as it was written.
#[tokio::test]
async fn hostile_types_and_payloads_are_refused_or_kept_byte_for_byte() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["*"]).await;
    let long = "a".repeat(10_000);
    for name in ["a\r\nx-evil: 1", "a\u{0}", "ä", "a..b", ".a", "../../a", "a/b", long.as_str()] {
        let answer = owner.post("/events", &json!({ "type": name, "payload": {} })).await;
        answer.expect_problem(400, "invalid_type");
    }
    let depth = 10_000;
    let deep = format!(r#"{{"type":"a","payload":{{"a":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    let not_text = [br#"{"type":"a","payload":{"a":""#.as_slice(), b"\xff\xfe", br#""}}"#].concat();
    for body in [deep.into_bytes(), not_text, br#"{"type":"a","payload":{"a":Infinity}}"#.to_vec()] {
        owner.send(Method::POST, "/events", body).await.expect_problem(400, "invalid_payload");
    }
    assert!(owner.get("/events").await.items().is_empty());

    let payload = "{\"a\":1e400,\"a\":-0.0, \"\\u0000\":\"<script>\\r\\n\\u001b[2J\"}";
    let taken = owner.send(Method::POST, "/events", format!(r#"{{"type":"a","payload":{payload}}}"#)).await;
    taken.expect(StatusCode::ACCEPTED);
    let body = receiver.received(1).await.remove(0).body;
    let body = std::str::from_utf8(&body).expect("text");
    assert!(body.ends_with(&format!(r#""payload":{payload}}}"#)), "{body}");
}

/// Row 63: nothing is inflated, so a small body cannot become a large one.
#[tokio::test]
async fn a_compressed_body_is_refused_before_it_is_read() {
    let owner = World::start().await;
    let owner = owner.owner();
    for coding in ["gzip", "br", "deflate", "gzip, gzip", "x-unknown"] {
        let answer = owner.with("content-encoding", coding).send(Method::POST, "/events", "\x1f\u{8b}").await;
        answer.expect_problem(415, "unsupported_media_type");
    }
}

/// Row 68: so much is not even read to its end.
#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_before_anybody_looks_for_it() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.service.address()).await.expect("the service listens");
    let head = "GET /v2/handles/acme/events HTTP/1.1\r\nhost: angarium.test\r\nauthorization: Bearer ";
    stream.write_all(head.as_bytes()).await.expect("a connection");
    // The service closes while it is still being written to.
    let _ = stream.write_all("a".repeat(1024 * 1024).as_bytes()).await;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(std::str::from_utf8(&status), Ok("HTTP/1.1 431"));
}

/// Row 69: in no answer, in no figure, and in no file of the store.
#[tokio::test]
async fn a_secret_is_nowhere_after_it_was_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let world = World { service: Service::start(&on_disk(folder.path())).await.expect("a running service") };
    let owner = world.owner();
    let wish = json!({
        "endpointUrl": receiver.url("/hook?access_token=urlsecret"), "eventTypes": ["a"],
        "headers": { "x-api-key": "headersecret" }, "signingProfile": "standard",
    });
    let made = owner.with("idempotency-key", "once").subscribe_with(&wish).await;
    let token = world.token_holder(&["events.write"]).await.bearer.expect("a token");
    receiver.answer(404);
    owner.publish("a").await;
    let dead = owner.deliveries_when("?status=dead", 1).await.remove(0);

    let secret = made["secret"].as_str().expect("a secret").trim_start_matches("whsec_").to_owned();
    let [raw, token] = [BASE64.decode(secret.as_bytes()).expect("base64"), token.into_bytes()];
    let half = token.split(|byte| *byte == b'.').nth(1).expect("a half").to_vec();
    let id = id_of(&made);
    for path in [
        "/webhooks".to_owned(),
        format!("/webhooks/{id}"),
        format!("/webhooks/{id}/public-keys"),
        "/deliveries".to_owned(),
        format!("/deliveries/{}", dead["deliveryId"].as_str().expect("an id")),
        "/dead-letters".to_owned(),
        "/events".to_owned(),
        "/tokens".to_owned(),
        "/audit".to_owned(),
    ] {
        let answer = owner.get(&path).await;
        assert!(!answer.text.contains(&secret), "the secret is in {path}");
        assert!(!holds(answer.text.as_bytes(), &half), "the token is in {path}");
    }
    let figures = world.nobody().get("/metrics").await;
    for hidden in [secret.as_str(), "urlsecret", "headersecret", "acme"] {
        assert!(!figures.text.contains(hidden), "{hidden} is in the metrics");
    }
    world.service.stop().await;
    let hidden = [secret.into_bytes(), raw, half, b"urlsecret".to_vec(), b"headersecret".to_vec()];
    for (file, bytes) in files_under(folder.path()) {
        for what in &hidden {
            assert!(!holds(&bytes, what), "{:?} is in {file}", String::from_utf8_lossy(what));
        }
    }
}

fn files_under(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else {
            files.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Row 70: a sealed value in another row does not open. Nobody's request is signed with another's key, what was
/// accepted is held, and other handles go on.
#[tokio::test]
async fn swapped_secrets_sign_nothing_and_hold_what_was_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, receiver) = (on_disk(folder.path()), Receiver::start().await);
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let (owner, other) = (world.owner(), world.person("other", "OWNER"));
    for path in ["/one", "/two"] {
        let webhook = owner.subscribe(&receiver, path, &["*"]).await;
        let pause = format!("/webhooks/{}/pause", id_of(&webhook));
        owner.post(&pause, &json!({})).await.expect(StatusCode::OK);
    }
    other.subscribe(&receiver, "/other", &["*"]).await;
    owner.publish("a").await;
    world.service.stop().await;
    swap_keys(&settings.store.path);

    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let owner = world.owner();
    owner.get("/webhooks").await.expect_problem(500, "internal_error");
    let refused = owner.post("/events", &json!({ "type": "a", "payload": {} })).await;
    refused.expect_problem(500, "internal_error");
    world.person("other", "OWNER").publish("a").await;
    assert_eq!(receiver.received(1).await[0].path, "/other");
    world.service.stop().await;
    swap_keys(&settings.store.path);

    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let owner = world.owner();
    for webhook in owner.get("/webhooks").await.json()["webhooks"].as_array().expect("a list") {
        let resume = format!("/webhooks/{}/resume", id_of(webhook));
        owner.post(&resume, &json!({})).await.expect(StatusCode::OK);
    }
    owner.deliveries_when("?status=delivered", 2).await;
    assert_eq!(receiver.count(), 3);
}

/// Exchanges the sealed keys of the two subscriptions of `acme`.
fn swap_keys(store: &Path) {
    let db = rusqlite::Connection::open(store).expect("a store");
    let mut read = db.prepare("SELECT id, keys FROM subscriptions WHERE handle = 'acme'").expect("SQL");
    let rows = read.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let rows: Vec<_> = rows.expect("rows").map(|row| row.expect("a row")).collect();
    let [(one, of_one), (two, of_two)] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    for (id, keys) in [(one, of_two), (two, of_one)] {
        let changed = db.execute("UPDATE subscriptions SET keys = ?2 WHERE id = ?1", (id, keys));
        assert_eq!(changed.expect("SQL"), 1);
    }
}

/// Row 72: two rotations while a hundred are on their way.
#[tokio::test]
async fn whatever_arrives_around_two_rotations_verifies_with_a_secret_that_was_shown() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let rotate = format!("/webhooks/{}/rotate-secret", id_of(&webhook));
    let mut secrets = vec![webhook["secret"].as_str().expect("a secret").to_owned()];
    let publish = async {
        for _ in 0..100 {
            owner.publish("a").await;
        }
    };
    let rotations = async {
        for arrived in [20, 60] {
            receiver.received(arrived).await;
            let answer = owner.post(&rotate, &json!({ "overlapSeconds": 3600 })).await;
            secrets.push(answer.expect(StatusCode::OK).text_of("secret"));
        }
    };
    tokio::join!(publish, rotations);
    for arrival in receiver.received(100).await {
        let signatures = arrival.header("webhook-signature");
        let good = secrets.iter().filter(|secret| signatures.contains(&signature(secret, &arrival))).count();
        assert_eq!(signatures.split(' ').count(), good, "{signatures}");
        assert!(good >= 1);
    }
    // Beginning with the newest, every secret that still overlaps signs.
    owner.publish("b").await;
    let last = receiver.received(101).await.remove(100);
    assert!(last.header("webhook-signature").starts_with(&signature(&secrets[2], &last)));
}

/// Row 73: whoever is led to an answer by a link gets data, and a browser runs nothing of it.
#[tokio::test]
async fn what_strangers_wrote_is_answered_as_data_that_no_browser_runs() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let script = "<script>alert(1)</script>";
    let wish =
        json!({ "endpointUrl": receiver.url("/%3Cscript%3E"), "eventTypes": ["*"], "description": script });
    owner.subscribe_with(&wish).await;
    owner.post("/events", &json!({ "type": "a", "payload": { "x": script } })).await;
    owner.deliveries_when("?status=delivered", 1).await;
    let nobody = world.nobody();
    let unknown = nobody.get("/%3Cscript%3Ealert(1)%3C/script%3E").await;
    for answer in [owner.get("/webhooks").await, owner.get("/events").await, unknown] {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    }
}

/// Row 74: whatever is sent, a line of the log stays one line, and one object.
#[tokio::test]
async fn nothing_that_is_sent_writes_lines_of_its_own_into_the_log() {
    let pages = Pages::default();
    let writer = pages.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(log);

    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    owner.subscribe(&receiver, "/%0A%1B%5B2Jforged", &["*"]).await;
    let forged = "\u{1b}[2J\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n";
    let event = json!({ "type": "a", "payload": { "x": forged }, "orderingKey": "forged" });
    owner.with("user-agent", "\tforged \u{1b}".replace('\u{1b}', "")).post("/events", &event).await;
    owner.with("x-request-id", "forged one").get(&format!("/events/{}", "%0A%1B%5B2Jforged")).await;
    owner.post("/webhooks", &json!({ "endpointUrl": forged, "eventTypes": [forged] })).await;
    owner.deliveries_when("?status=delivered", 1).await;

    let text = eventually(async || {
        let text = pages.text();
        text.contains("/webhooks").then_some(text)
    })
    .await;
    assert!(!text.contains('\u{1b}'), "{text}");
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(line["message"], "forged", "{line}");
        assert_ne!(line["level"], Value::Null, "{line}");
    }
}

/// Rows 65 and 66 for whoever guesses: an id of another form is as unknown as one that nobody has.
#[tokio::test]
async fn ids_that_are_paths_are_unknown_and_nothing_else() {
    let world = World::start().await;
    let owner: Client = world.owner();
    for id in ["..%2F..%2Fother", "%00", "wh_%27%20OR%201%3D1--", "%F0%9F%92%A9", "a%0D%0Ab"] {
        owner.get(&format!("/webhooks/{id}")).await.expect_problem(404, "not_found");
        owner.get(&format!("/events/{id}")).await.expect_problem(404, "not_found");
        owner.get(&format!("/deliveries/{id}")).await.expect_problem(404, "not_found");
    }
}
