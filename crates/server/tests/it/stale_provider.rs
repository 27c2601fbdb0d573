//! A mail provider that knows the sender of this service no longer (contract 5).

use std::sync::{Arc, Mutex};

use angarium_server::settings::EmailTransport;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::emails::EMAILS;
use crate::world::{World, eventually};

/// Amazon SES, as far as mails are handed in: it takes them, or names an error.
#[derive(Clone, Default)]
struct Ses {
    error: Arc<Mutex<Option<&'static str>>>,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl Ses {
    fn says(&self, error: Option<&'static str>) {
        *self.error.lock().expect("a lock") = error;
    }

    /// The mails that came, with or without success, as they are read.
    fn mails(&self) -> Vec<String> {
        let raw = |mail: &Value| mail["Content"]["Raw"]["Data"].as_str().expect("a mail").to_owned();
        let mails = self.mails.lock().expect("a lock").iter().map(raw).collect::<Vec<_>>();
        let read = |mail: String| data_encoding::BASE64.decode(mail.as_bytes()).expect("base64");
        mails.into_iter().map(|mail| String::from_utf8(read(mail)).expect("text")).collect()
    }
}

async fn hand_in(State(ses): State<Ses>, body: String) -> Response {
    ses.mails.lock().expect("a lock").push(serde_json::from_str(&body).expect("JSON"));
    match *ses.error.lock().expect("a lock") {
        Some(error) => {
            let said = [("x-amzn-errortype", error)];
            (
                StatusCode::NOT_FOUND,
                said,
                json!({ "message": "Configuration set does not exist" }).to_string(),
            )
                .into_response()
        }
        None => json!({ "MessageId": "0100018f" }).to_string().into_response(),
    }
}

async fn world(serving: &mut JoinSet<()>, ses: &Ses) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(hand_in).with_state(ses.clone());
    serving.spawn(async move { axum::serve(listener, router).await.expect("a running provider") });
    World::with(|settings| {
        settings.email.transport = EmailTransport::Ses;
        settings.email.from = Some("Angarium <events@mail.example>".to_owned());
        settings.listen.public_url = Some("https://events.example.com".to_owned());
        settings.ses.region = Some("eu-west-1".to_owned());
        settings.ses.endpoint = Some(format!("http://{address}"));
        settings.ses.access_key_id = Some("AKIDEXAMPLE".to_owned());
        settings.ses.secret_access_key =
            Some(angarium_server::settings::Secret("not so secret".to_owned().into()));
    })
    .await
}

#[tokio::test]
async fn a_provider_that_knows_us_no_longer_is_seen_everywhere_and_told_to_the_owner() {
    let (ses, mut serving) = (Ses::default(), JoinSet::new());
    let world = world(&mut serving, &ses).await;
    let owner = world.owner();
    owner.ask("anna@example.com", &["order.paid"]).await.expect(StatusCode::CREATED);
    let question = eventually(|| async { ses.mails().pop() }).await.replace("=\r\n", "").replace("=3D", "=");
    let token = question.split("https://events.example.com/confirm/").nth(1).expect("a link");
    let token = token.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next();
    let page = format!("/confirm/{}", token.expect("a token"));
    world.nobody().send(Method::POST, &page, "confirm=yes").await.expect(StatusCode::OK);
    let id = owner.emails().await[0]["subscriptionId"].as_str().expect("an id").to_owned();
    let test = format!("{EMAILS}/{id}/test");

    ses.says(Some("NotFoundException"));
    let event = owner.publish("order.paid").await;
    let shown =
        eventually(|| async { owner.emails().await.into_iter().find(|shown| shown["status"] == "degraded") })
            .await;
    assert!(shown["remedy"].as_str().is_some_and(|remedy| remedy.contains("configuration set")), "{shown}");
    let refused = owner.post(&test, &json!({})).await;
    refused.expect_problem(409, "stale_provider_reference");
    assert!(refused.text.contains("ses.configuration_set"), "{}", refused.text);
    let inbox = owner.inbox("").await;
    assert_eq!(inbox["items"][0]["title"], "No e-mail goes out at present");
    let figures = world.nobody().get("/metrics").await.text;
    assert!(figures.contains("outcome=\"stale_provider_reference\""), "{figures}");
    let waiting = owner.deliveries(&format!("?eventId={event}")).await.remove(0);
    assert_eq!(waiting["lastError"], "stale_provider_reference");

    ses.says(None);
    owner.deliveries_when(&format!("?eventId={event}&status=delivered"), 1).await;
    assert_eq!(owner.emails().await[0]["status"], "active");
    owner.post(&test, &json!({})).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_owner_s_address_is_sent_no_test_while_the_provider_does_not_know_us() {
    let (ses, mut serving) = (Ses::default(), JoinSet::new());
    let world = world(&mut serving, &ses).await;
    let owner = world.owner();
    let default = "/notifications/owner-default-email";
    owner.put(default, &json!({ "email": "owner@example.com" })).await.expect(StatusCode::OK);
    owner.deliveries_when("?eventType=email.owner_default_changed&status=delivered", 1).await;
    let test = format!("{default}/test");

    ses.says(Some("NotFoundException"));
    owner.post(&test, &json!({})).await.expect(StatusCode::ACCEPTED);
    eventually(|| async {
        let shown = owner.get("/notifications").await.json();
        (shown["ownerDefaultEmail"]["status"] == "degraded").then_some(())
    })
    .await;
    let refused = owner.post(&test, &json!({})).await;
    refused.expect_problem(409, "stale_provider_reference");
    assert!(refused.text_of("message").contains("ses.configuration_set"), "{}", refused.text);
    assert_eq!(owner.get("/events?type=email.test").await.items().len(), 1);

    ses.says(None);
    owner.deliveries_when("?eventType=email.test&status=delivered", 1).await;
    owner.post(&test, &json!({})).await.expect(StatusCode::ACCEPTED);
}
