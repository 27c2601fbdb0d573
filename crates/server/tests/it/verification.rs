//! Asking receivers for their consent: until it is given, nothing but the question goes out.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::receiver::{PATIENCE, Receiver};
use crate::world::{World, eventually, id_of};

/// How a receiver takes a question.
#[derive(Clone)]
enum Manners {
    Echoes,
    EchoesJson,
    Ignores,
    Redirects,
    Floods,
    Allows(Vec<(&'static str, &'static str)>),
}

#[derive(Clone)]
struct Asked {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Mind {
    manners: Arc<Mutex<Manners>>,
    asked: Arc<watch::Sender<Vec<Asked>>>,
}

/// A receiver that can be asked, and changes its mind when it is told to.
struct Host {
    address: SocketAddr,
    mind: Mind,
    _serving: JoinSet<()>,
}

impl Host {
    async fn start(manners: Manners) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mind = Mind { manners: Arc::new(Mutex::new(manners)), asked: Arc::default() };
        let router = Router::new().fallback(take).with_state(mind.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("a running receiver") });
        Host { address, mind, _serving: serving }
    }

    fn changes_to(&self, manners: Manners) {
        *self.mind.manners.lock().expect("a lock") = manners;
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    async fn asked(&self, count: usize) -> Vec<Asked> {
        let mut asked = self.mind.asked.subscribe();
        let waited = tokio::time::timeout(PATIENCE, asked.wait_for(|all| all.len() >= count)).await;
        waited.unwrap_or_else(|_| panic!("{count} requests did not come")).expect("a receiver").clone()
    }

    fn count(&self) -> usize {
        self.mind.asked.borrow().len()
    }
}

async fn take(State(mind): State<Mind>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let manners = mind.manners.lock().expect("a lock").clone();
    let challenge = serde_json::from_slice::<Value>(&body).unwrap_or_default()["challenge"].clone();
    mind.asked.send_modify(|all| all.push(Asked { method, headers, body }));
    match (manners, challenge.as_str()) {
        (Manners::Echoes, Some(challenge)) => format!("{challenge}\n").into_response(),
        (Manners::EchoesJson, Some(challenge)) => {
            axum::Json(json!({ "challenge": challenge })).into_response()
        }
        (Manners::Redirects, _) => {
            (StatusCode::FOUND, [("location", "http://127.0.0.1:1/elsewhere")]).into_response()
        }
        (Manners::Floods, Some(challenge)) => format!("{challenge}{}", "x".repeat(1 << 20)).into_response(),
        (Manners::Allows(allowed), _) => {
            let mut answer = StatusCode::METHOD_NOT_ALLOWED.into_response();
            for (name, value) in allowed {
                answer.headers_mut().insert(name, value.parse().expect("a value"));
            }
            answer
        }
        _ => StatusCode::OK.into_response(),
    }
}

async fn asking(owner: &Client, host: &Host, method: &str) -> Value {
    let wish = json!({
        "endpointUrl": host.url(), "eventTypes": ["a"], "verification": method,
        "signingProfile": "standard", "headers": { "x-team": "shop" },
    });
    owner.subscribe_with(&wish).await
}

/// The webhook once its first check has ended, and its path.
async fn checked(owner: &Client, webhook: &Value) -> (String, Value) {
    let path = format!("/webhooks/{}", id_of(webhook));
    let found = eventually(|| async {
        let webhook = owner.get(&path).await.json();
        (!webhook["verification"]["checkedAt"].is_null()).then_some(webhook)
    })
    .await;
    (path, found)
}

/// The Standard Webhooks signature of a question.
fn signature(webhook: &Value, question: &Asked) -> String {
    let secret = webhook["secret"].as_str().expect("a secret").trim_start_matches("whsec_");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.as_bytes()).expect("base64"));
    let header = |name: &str| question.headers[name].to_str().expect("text");
    let prefix = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    let signed = [prefix.as_bytes(), &question.body].concat();
    format!("v1,{}", BASE64.encode(hmac::sign(&key, &signed).as_ref()))
}

async fn verify(owner: &Client, path: &str) -> Value {
    owner.post(&format!("{path}/verify"), &json!({})).await.expect(StatusCode::OK).json()
}

#[tokio::test]
async fn nothing_is_asked_of_receivers_whose_owner_does_not_say_so() {
    let (world, host) = (World::start().await, Host::start(Manners::Ignores).await);
    let owner = world.owner();
    for wish in [json!("none"), Value::Null] {
        let body = json!({ "endpointUrl": host.url(), "eventTypes": ["a"], "verification": wish });
        let made = owner.subscribe_with(&body).await;
        assert_eq!((&made["verification"], &made["status"]), (&Value::Null, &json!("active")));
        let path = format!("/webhooks/{}/verify", id_of(&made));
        owner.post(&path, &json!({})).await.expect_problem(409, "conflict");
    }
    let body = json!({ "endpointUrl": host.url(), "eventTypes": ["a"], "verification": "email" });
    owner.post("/webhooks", &body).await.expect_problem(400, "invalid_verification");
    assert_eq!(host.count(), 0);
}

#[tokio::test]
async fn a_challenge_is_signed_and_its_echo_lets_deliveries_out() {
    for manners in [Manners::Echoes, Manners::EchoesJson] {
        let (world, host) = (World::start().await, Host::start(manners).await);
        let owner = world.owner();
        let made = asking(&owner, &host, "challenge").await;
        assert_eq!(made["status"], "pending_verification");
        assert_eq!(
            (&made["verification"]["method"], &made["verification"]["status"]),
            (&json!("challenge"), &json!("pending"))
        );
        let (_, webhook) = checked(&owner, &made).await;
        let verification = &webhook["verification"];
        assert_eq!((&webhook["status"], &verification["status"]), (&json!("active"), &json!("verified")));
        assert!(verification["verifiedAt"].is_string() && verification["reason"].is_null(), "{verification}");
        assert_eq!(verification["consent"]["host"], "127.0.0.1");

        let question = host.asked(1).await.remove(0);
        let body: Value = serde_json::from_slice(&question.body).expect("JSON");
        assert_eq!((question.method.clone(), &body["type"]), (Method::POST, &json!("webhook.verification")));
        assert_eq!(
            (&body["subscriptionId"], body["challenge"].as_str().map(str::len)),
            (&made["subscriptionId"], Some(64))
        );
        assert_eq!(question.headers["x-team"], "shop");
        assert_eq!(question.headers["webhook-signature"], signature(&made, &question));

        owner.publish("a").await;
        let delivery = host.asked(2).await.remove(1);
        assert!(!delivery.headers.contains_key("webhook-request-origin"));
    }
}

#[tokio::test]
async fn deliveries_wait_for_consent_and_failing_to_get_it_is_no_error() {
    let (world, host) = (World::start().await, Host::start(Manners::Ignores).await);
    let owner = world.owner();
    let made = asking(&owner, &host, "challenge").await;
    let (path, webhook) = checked(&owner, &made).await;
    assert_eq!(
        (&webhook["status"], &webhook["verification"]["status"]),
        (&json!("pending_verification"), &json!("failed"))
    );
    assert!(
        webhook["verification"]["reason"].as_str().is_some_and(|reason| reason.contains("challenge")),
        "{webhook}"
    );
    owner.publish("a").await;
    owner.deliveries_when("?status=held", 1).await;
    owner.post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK);
    let refused = verify(&owner, &path).await;
    assert_eq!((&refused["verified"], &refused["status"]), (&json!(false), &json!("pending_verification")));
    assert!(refused["reason"].is_string() && refused["at"].is_string(), "{refused}");
    assert_eq!(host.count(), 2, "two questions, and no delivery");

    host.changes_to(Manners::Echoes);
    let passed = verify(&owner, &path).await;
    assert_eq!(
        (&passed["verified"], &passed["status"], &passed["method"]),
        (&json!(true), &json!("active"), &json!("challenge"))
    );
    assert_eq!(passed.get("reason"), None);
    let delivery = host.asked(4).await.remove(3);
    assert_eq!(serde_json::from_slice::<Value>(&delivery.body).expect("JSON")["type"], "a");
}

#[tokio::test]
async fn a_repeated_request_for_a_check_has_the_first_answer() {
    let (world, host) = (World::start().await, Host::start(Manners::Ignores).await);
    let owner = world.owner();
    let (path, _) = checked(&owner, &asking(&owner, &host, "challenge").await).await;
    let keyed = owner.with("idempotency-key", "once");
    let first = keyed.post(&format!("{path}/verify"), &json!({})).await;
    host.changes_to(Manners::Echoes);
    let again = keyed.post(&format!("{path}/verify"), &json!({})).await;
    assert_eq!((&again.text, again.header("idempotent-replayed")), (&first.text, Some("true")));
    assert_eq!(host.count(), 2);
}

#[tokio::test]
async fn another_address_is_asked_again() {
    let (world, host) = (World::start().await, Host::start(Manners::Echoes).await);
    let (owner, other) = (world.owner(), Host::start(Manners::Ignores).await);
    let (path, webhook) = checked(&owner, &asking(&owner, &host, "challenge").await).await;
    assert_eq!(webhook["status"], "active");
    let moved =
        owner.patch(&path, &json!({ "endpointUrl": other.url() })).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&moved["status"], &moved["verification"]["verifiedAt"]),
        (&json!("pending_verification"), &Value::Null)
    );
    assert_eq!(other.asked(1).await[0].method, Method::POST);
    let (_, refused) = checked(&owner, &moved).await;
    assert_eq!(refused["verification"]["status"], "failed");
    let never = owner.patch(&path, &json!({ "verification": "none" })).await.expect(StatusCode::OK).json();
    assert_eq!((&never["status"], &never["verification"]), (&json!("active"), &Value::Null));
}

#[tokio::test]
async fn consent_by_headers_names_us_and_a_rate_that_is_kept() {
    let world =
        World::with(|settings| settings.egress.webhook_origin = Some("events.example.com".to_owned())).await;
    let allowed = vec![("webhook-allowed-origin", "Events.Example.com"), ("webhook-allowed-rate", "1")];
    let host = Host::start(Manners::Allows(allowed)).await;
    let owner = world.owner();
    let (_, webhook) = checked(&owner, &asking(&owner, &host, "cloudevents").await).await;
    assert_eq!(
        (&webhook["status"], &webhook["verification"]["status"]),
        (&json!("active"), &json!("verified"))
    );
    let consent = &webhook["verification"]["consent"];
    assert_eq!(
        (&consent["allowedOrigin"], &consent["allowedRatePerMinute"]),
        (&json!("Events.Example.com"), &json!(1))
    );
    let question = host.asked(1).await.remove(0);
    assert_eq!((question.method, question.body.len()), (Method::OPTIONS, 0));
    assert_eq!(question.headers["webhook-request-origin"], "events.example.com");
    assert_eq!(question.headers["webhook-request-rate"], "60000");

    host.changes_to(Manners::Ignores);
    let beside = Receiver::start().await;
    owner.subscribe(&beside, "/beside", &["*"]).await;
    for _ in 0..2 {
        owner.publish("a").await;
    }
    // Both have arrived where there is no rate; where one a minute is allowed, one has.
    beside.received(2).await;
    owner.deliveries_when("?status=delivered", 3).await;
    assert_eq!(owner.deliveries("").await.len(), 4);
    let asked = host.asked(2).await;
    let [_, delivery] = &asked[..] else { panic!("one a minute, and not {}", asked.len() - 1) };
    assert_eq!(delivery.headers["webhook-request-origin"], "events.example.com");
}

#[tokio::test]
async fn without_consent_the_handshake_says_why() {
    let world = World::start().await;
    let owner = world.owner();
    let refusals: [(Vec<(&'static str, &'static str)>, &str); 4] = [
        (vec![], "no header"),
        (vec![("webhook-allowed-origin", "other.example")], "other.example"),
        (vec![("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "0")], "Rate is 0"),
        (vec![("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "lots")], "lots"),
    ];
    for (headers, expected) in refusals {
        let host = Host::start(Manners::Allows(headers)).await;
        let (_, webhook) = checked(&owner, &asking(&owner, &host, "cloudevents").await).await;
        let reason = webhook["verification"]["reason"].as_str().expect("a reason");
        assert!(webhook["status"] == "pending_verification" && reason.contains(expected), "{webhook}");
    }
}

#[tokio::test]
async fn questions_follow_no_redirect_and_read_no_endless_answer() {
    let world = World::start().await;
    let owner = world.owner();
    for (manners, expected) in [(Manners::Redirects, "302"), (Manners::Floods, "not the challenge")] {
        let host = Host::start(manners).await;
        let (_, webhook) = checked(&owner, &asking(&owner, &host, "challenge").await).await;
        let reason = webhook["verification"]["reason"].as_str().expect("a reason");
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(host.count(), 1);
    }
    let host = Host::start(Manners::Redirects).await;
    let (_, webhook) = checked(&owner, &asking(&owner, &host, "cloudevents").await).await;
    assert_eq!((&webhook["verification"]["status"], host.count()), (&json!("failed"), 1));
}

#[tokio::test]
async fn nobody_inside_is_asked() {
    let world =
        World::with(|settings| settings.egress.allow = vec!["127.0.0.0/8:1-1".parse().expect("a rule")])
            .await;
    let owner = world.owner();
    // The address is open when the webhook is made, and its name moves inside afterwards: here the
    // operator's rule lets port 1 in, on which nobody listens.
    for method in ["challenge", "cloudevents"] {
        let body =
            json!({ "endpointUrl": "http://127.0.0.1:1/", "eventTypes": ["a"], "verification": method });
        let made = owner.subscribe_with(&body).await;
        let (_, webhook) = checked(&owner, &made).await;
        assert_eq!(
            (&webhook["status"], &webhook["verification"]["status"]),
            (&json!("pending_verification"), &json!("pending"))
        );
        assert!(webhook["verification"]["reason"].is_string(), "{webhook}");
    }
    let inside =
        json!({ "endpointUrl": "http://127.0.0.1:2/", "eventTypes": ["a"], "verification": "challenge" });
    owner.post("/webhooks", &inside).await.expect_problem(400, "invalid_endpointUrl");
}

#[tokio::test]
async fn a_check_of_another_handles_webhook_is_not_found() {
    let (world, host) = (World::start().await, Host::start(Manners::Echoes).await);
    let (path, _) = checked(&world.owner(), &asking(&world.owner(), &host, "challenge").await).await;
    let stranger = world.person("beta", "OWNER");
    stranger.post(&format!("{path}/verify"), &json!({})).await.expect_problem(404, "not_found");
    let unknown = "/webhooks/sub_01arz3ndektsv4rrffq69g5fav/verify";
    stranger.post(unknown, &json!({})).await.expect_problem(404, "not_found");
    assert_eq!(host.count(), 1);
}
