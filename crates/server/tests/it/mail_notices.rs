//! What Amazon SES tells of mails by SNS: whose word is taken, and what comes of it (security, row 76).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use angarium_channels::sns::{Fetch, SnsVerifier, Unfetched};
use angarium_domain::handle::Handle;
use angarium_domain::recipient::{Recipient, Standing};
use angarium_domain::sns::{Kind, Message};
use angarium_domain::subscription::EndpointUrl;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_server::settings::{EmailTransport, Settings};
use angarium_store::directory::{Change, Directory, Entry};
use angarium_store::memory::MemoryStore;
use angarium_store::write::Context;
use async_trait::async_trait;
use data_encoding::BASE64;
use http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, SigningKey,
    date_time_ymd,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Answer;
use crate::world::{World, settings};

const ARN: &str = "arn:aws:sns:us-east-1:123456789012:bounces";
const CERTIFICATE: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem";
const ANNA: &str = "anna@example.com";

/// The host that certificates come from, as far as these tests go.
struct Region {
    certificate: String,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Fetch for Region {
    async fn get(&self, url: &str) -> Result<String, Unfetched> {
        self.asked.lock().expect("nobody panics").push(url.to_owned());
        let confirms = url.contains("?Action=ConfirmSubscription&") && url.ends_with("&Token=2336");
        let confirmation = confirms.then(|| "<ok/>".to_owned());
        let known = if url == CERTIFICATE { Some(self.certificate.clone()) } else { confirmation };
        known.ok_or_else(|| Unfetched { reason: "404".to_owned() })
    }
}

/// A service, and who speaks to it in Amazon's name.
struct Scene {
    world: World,
    key: KeyPair,
    region: Arc<Region>,
    _folder: TempDir,
}

impl Scene {
    async fn on(store: &MemoryStore) -> Scene {
        Scene::with(store, |_| {}).await
    }

    async fn with(store: &MemoryStore, change: impl FnOnce(&mut Settings)) -> Scene {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "Public");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"));
        let authority = authority.expect("an authority");
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        let mut leaf = CertificateParams::new(["sns.amazonaws.com".to_owned()]).expect("a name");
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = date_time_ymd(2100, 1, 1);
        let certificate = leaf.signed_by(&key, &authority).expect("a certificate").pem();
        let region = Arc::new(Region { certificate, asked: Mutex::default() });
        let root = webpki::anchor_from_trusted_cert(authority.der()).expect("an authority").to_owned();
        let topics = vec![ARN.parse().expect("a topic")];
        let sns = Arc::new(SnsVerifier::new(topics, vec![root], region.clone()));
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = mailing_to(&folder);
        change(&mut settings);
        let world = World::verifying(sns, store, &settings).await;
        Scene { world, key, region, _folder: folder }
    }

    /// As SNS posts it.
    async fn post(&self, message: &Message) -> Answer {
        let nobody = self.world.nobody().with("content-type", "text/plain; charset=UTF-8");
        nobody.post("/v2/public/providers/sns", &body(message)).await
    }

    fn signed(&self, message: Message) -> Message {
        let signature = self.key.sign(message.signed_text().as_bytes()).expect("a signature");
        Message { signature: BASE64.encode(&signature), ..message }
    }

    fn asked(&self) -> Vec<String> {
        self.region.asked.lock().expect("nobody panics").clone()
    }

    /// What a bounce of a delivery's mail comes to.
    async fn tell(&self, id: &str, message: Value) -> Value {
        let message =
            Message { message_id: id.to_owned(), message: message.to_string(), ..notification(now()) };
        self.post(&self.signed(message)).await.expect(StatusCode::OK).json()["effect"].clone()
    }
}

fn mailing_to(folder: &TempDir) -> Settings {
    let mut settings = settings();
    settings.email.transport = EmailTransport::Folder;
    settings.email.folder = Some(folder.path().to_owned());
    settings.email.from = Some("Angarium <events@mail.example>".to_owned());
    settings.listen.public_url = Some("https://events.example.com".to_owned());
    settings
}

fn notification(at: Timestamp) -> Message {
    Message {
        kind: Kind::Notification,
        message_id: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".to_owned(),
        topic_arn: ARN.to_owned(),
        subject: None,
        message: "Successfully validated SNS topic for Amazon SES event publishing.".to_owned(),
        timestamp: at.to_string(),
        signature_version: "2".to_owned(),
        signature: "AAAA".to_owned(),
        signing_cert_url: CERTIFICATE.to_owned(),
        subscribe_url: None,
        token: None,
    }
}

fn confirmation() -> Message {
    let url =
        format!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={ARN}&Token=2336");
    Message {
        kind: Kind::SubscriptionConfirmation,
        subscribe_url: Some(url),
        token: Some("2336".to_owned()),
        ..notification(now())
    }
}

fn body(message: &Message) -> Value {
    let mut body = json!({
        "Type": message.kind.as_str(),
        "MessageId": message.message_id,
        "TopicArn": message.topic_arn,
        "Message": message.message,
        "Timestamp": message.timestamp,
        "SignatureVersion": message.signature_version,
        "Signature": message.signature,
        "SigningCertURL": message.signing_cert_url,
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    });
    let optional =
        [("Subject", &message.subject), ("SubscribeURL", &message.subscribe_url), ("Token", &message.token)];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    body
}

fn bounce(kind: &str, delivery_id: &str, mailbox: &str) -> Value {
    json!({
        "eventType": "Bounce",
        "bounce": { "bounceType": kind, "bouncedRecipients": [{ "emailAddress": mailbox }] },
        "mail": tags("acme", delivery_id),
    })
}

fn tags(handle: &str, delivery_id: &str) -> Value {
    json!({
        "messageId": "0100",
        "tags": { "angarium-handle": [handle], "angarium-delivery": [delivery_id], "ses:configuration-set": ["events"] },
    })
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn acme() -> Handle {
    "acme".parse().expect("a handle")
}

/// Changes the one subscription of `acme`, as only the store can.
pub(crate) async fn edit(store: &MemoryStore, change: impl FnOnce(&mut Entry)) {
    let snapshot = store.snapshot(&acme()).await.expect("a snapshot");
    let mut entry = Entry::clone(&snapshot.subscriptions[0]);
    change(&mut entry);
    let change = Change::Put(Arc::new(entry));
    let written = store.change(&acme(), snapshot.version, change, now(), Context::default()).await;
    assert!(written.is_ok(), "nobody else writes");
}

async fn recipient(store: &MemoryStore) -> Recipient {
    let snapshot = store.snapshot(&acme()).await.expect("a snapshot");
    *snapshot.subscriptions[0].subscription.recipient.clone().expect("it sends mails")
}

/// A store in which somebody at `acme` receives `order.paid` by mail.
async fn store_with_a_reader() -> MemoryStore {
    let store = MemoryStore::new();
    let world = World::on(&store).await;
    let wish = json!({ "endpointUrl": "https://hooks.example.com/", "eventTypes": ["order.paid"] });
    world.owner().subscribe_with(&wish).await;
    world.service.stop().await;
    edit(&store, |entry| {
        let mut recipient = Recipient::asked(now(), "owner".to_owned(), None);
        assert!(recipient.confirm(now(), None, "yes".to_owned()));
        entry.subscription.endpoint_url = EndpointUrl::vetted(&format!("mailto:{ANNA}"));
        entry.subscription.recipient = Some(Box::new(recipient));
    })
    .await;
    store
}

/// A mail that was handed in.
async fn delivered(scene: &Scene) -> String {
    scene.world.owner().publish("order.paid").await;
    let found = scene.world.owner().deliveries_when("?status=delivered", 1).await;
    found[0]["deliveryId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_message_that_is_not_amazon_s_is_refused_and_nobody_else_is_asked() {
    let scene = Scene::on(&MemoryStore::new()).await;
    let hour_old = now().saturating_sub(Duration::from_hours(1));
    let with_certificate = |url: &str| Message { signing_cert_url: url.to_owned(), ..notification(now()) };
    let with_question = |url: &str| Message { subscribe_url: Some(url.to_owned()), ..confirmation() };
    for (message, code) in [
        (Message { topic_arn: ARN.replace("bounces", "others"), ..notification(now()) }, "invalid_TopicArn"),
        (Message { signature_version: "1".to_owned(), ..notification(now()) }, "invalid_SignatureVersion"),
        (notification(hour_old), "invalid_Timestamp"),
        (with_certificate("https://evil.example/x.pem"), "invalid_SigningCertURL"),
        (
            with_certificate("https://sns.us-east-1.amazonaws.com.evil.example/x.pem"),
            "invalid_SigningCertURL",
        ),
        (with_certificate("http://sns.us-east-1.amazonaws.com/x.pem"), "invalid_SigningCertURL"),
        (with_question("http://169.254.169.254/latest/meta-data/"), "invalid_SubscribeURL"),
    ] {
        let answer = scene.post(&scene.signed(message)).await;
        assert_eq!(answer.expect(StatusCode::BAD_REQUEST).json()["error"], code);
    }
    for (garbage, code) in [(json!({}), "invalid_payload"), (json!([]), "invalid_payload")] {
        let answer = scene.world.nobody().post("/v2/public/providers/sns", &garbage).await;
        assert_eq!(answer.expect(StatusCode::BAD_REQUEST).json()["error"], code);
    }
    assert!(scene.asked().is_empty(), "{:?}", scene.asked());

    let forged = Message { message: "{}".to_owned(), ..scene.signed(notification(now())) };
    let answer = scene.post(&forged).await;
    assert_eq!(answer.expect(StatusCode::BAD_REQUEST).json()["error"], "invalid_Signature");
    assert_eq!(scene.asked(), [CERTIFICATE]);
}

#[tokio::test]
async fn a_topic_is_confirmed_and_what_says_nothing_is_taken() {
    let scene = Scene::on(&MemoryStore::new()).await;
    let url = confirmation().subscribe_url.expect("it has one");
    let answer = scene.post(&scene.signed(confirmation())).await;
    assert_eq!(answer.expect(StatusCode::OK).json(), json!({ "effect": "confirmed" }));
    assert_eq!(scene.asked(), [CERTIFICATE.to_owned(), url]);
    let answer = scene.post(&scene.signed(notification(now()))).await;
    assert_eq!(answer.expect(StatusCode::OK).json(), json!({ "effect": "none" }));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_asks_for_the_message_again() {
    let scene = Scene::on(&MemoryStore::new()).await;
    let elsewhere = CERTIFICATE.replace("0a1b", "2c3d");
    let message = scene.signed(Message { signing_cert_url: elsewhere, ..notification(now()) });
    let answer = scene.post(&message).await;
    answer.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_topic_that_cannot_be_confirmed_asks_for_the_question_again() {
    let scene = Scene::on(&MemoryStore::new()).await;
    let url = confirmation().subscribe_url.expect("it has one").replace("Token=2336", "Token=2337");
    let message = scene.signed(Message { subscribe_url: Some(url.clone()), ..confirmation() });
    for _ in 0..2 {
        let refused = scene.post(&message).await;
        refused.expect_problem(503, "temporarily_unavailable");
        assert_eq!(refused.header("retry-after"), Some("30"));
    }
    assert_eq!(scene.asked(), [CERTIFICATE.to_owned(), url.clone(), url]);
}

#[tokio::test]
async fn a_message_that_is_larger_than_any_is_not_read() {
    let scene = Scene::with(&MemoryStore::new(), |settings| settings.limits.body_bytes_max = 4 * 1024).await;
    let large = Message { message: "x".repeat(4 * 1024), ..notification(now()) };
    scene.post(&scene.signed(large)).await.expect_problem(413, "payload_too_large");
    assert!(scene.asked().is_empty(), "{:?}", scene.asked());
    scene.post(&scene.signed(notification(now()))).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn what_comes_too_fast_from_one_address_is_asked_to_come_again() {
    let scene = Scene::with(&MemoryStore::new(), |settings| settings.limits.public_per_minute = 2).await;
    let nobody = scene.world.nobody().with("content-type", "text/plain; charset=UTF-8");
    let message = body(&scene.signed(notification(now())));
    let post_from = async |address: &str| {
        nobody.with("x-forwarded-for", address).post("/v2/public/providers/sns", &message).await
    };
    for _ in 0..2 {
        post_from("192.0.2.1").await.expect(StatusCode::OK);
    }
    let refused = post_from("192.0.2.1").await;
    refused.expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((1..=30).contains(&wait), "{wait}");
    post_from("192.0.2.2").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn where_no_topic_is_listed_no_message_is_taken() {
    let world = World::start().await;
    let answer = world.nobody().post("/v2/public/providers/sns", &body(&notification(now()))).await;
    assert_eq!(answer.expect(StatusCode::BAD_REQUEST).json()["error"], "invalid_TopicArn");
}

#[tokio::test]
async fn a_bounce_for_good_takes_the_mailbox_out_of_use_and_undoes_nothing() {
    let store = store_with_a_reader().await;
    let scene = Scene::on(&store).await;
    let delivery = delivered(&scene).await;

    assert_eq!(scene.tell("m1", bounce("Transient", &delivery, ANNA)).await, "counted");
    assert_eq!(scene.tell("m2", bounce("Permanent", &delivery, "someone@example.com")).await, "none");
    assert_eq!(recipient(&store).await.standing(), Standing::Active);

    assert_eq!(scene.tell("m3", bounce("Permanent", &delivery, "Anna@Example.com")).await, "suppressed");
    assert_eq!(recipient(&store).await.suppressed.expect("a suppression").code, Some(550));
    let owner = scene.world.owner();
    let kept = owner.get(&format!("/deliveries/{delivery}")).await.expect(StatusCode::OK).json();
    assert_eq!(kept["status"], "delivered");
    let trail = owner.get("/audit?limit=1").await.items();
    assert_eq!(
        (&trail[0]["action"], &trail[0]["requestId"]),
        (&json!("subscription.suppressed"), &json!(delivery))
    );

    // The next mail is not sent, and says why.
    owner.publish("order.paid").await;
    let dead = owner.deliveries_when("?status=dead", 1).await;
    assert_eq!(dead[0]["reason"], "suppressed", "{}", dead[0]);
}

#[tokio::test]
async fn a_message_that_comes_again_changes_nothing_even_after_a_restart() {
    let store = store_with_a_reader().await;
    let scene = Scene::on(&store).await;
    let delivery = delivered(&scene).await;
    let complaint = json!({
        "eventType": "Complaint",
        "complaint": { "complaintFeedbackType": "abuse", "complainedRecipients": [{ "emailAddress": ANNA }] },
        "mail": tags("acme", &delivery),
    });
    assert_eq!(scene.tell("m1", complaint.clone()).await, "suppressed");
    assert_eq!(recipient(&store).await.suppressed.expect("a suppression").code, None);
    assert_eq!(scene.tell("m1", complaint.clone()).await, "none");
    assert_eq!(scene.tell("m2", complaint.clone()).await, "none", "it is suppressed already");
    scene.world.service.stop().await;

    // Somebody takes the mailbox off the list, and the old message comes once more.
    edit(&store, |entry| entry.subscription.recipient.as_mut().expect("it sends mails").suppressed = None)
        .await;
    let scene = Scene::on(&store).await;
    assert_eq!(scene.tell("m1", complaint).await, "none");
    assert_eq!(recipient(&store).await.standing(), Standing::Active);
}

#[tokio::test]
async fn a_notice_of_somebody_else_s_mail_changes_nothing() {
    let store = store_with_a_reader().await;
    let scene = Scene::on(&store).await;
    let delivery = delivered(&scene).await;
    let mut of_another = bounce("Permanent", &delivery, ANNA);
    of_another["mail"] = tags("other", &delivery);
    assert_eq!(scene.tell("m1", of_another).await, "none");
    let mut untagged = bounce("Permanent", &delivery, ANNA);
    untagged["mail"] = json!({ "messageId": "0100" });
    assert_eq!(scene.tell("m2", untagged).await, "counted");
    let unknown = bounce("Permanent", "dlv_01arz3ndektsv4rrffq69g5fav", ANNA);
    assert_eq!(scene.tell("m3", unknown).await, "none");
    assert_eq!(recipient(&store).await.standing(), Standing::Active);
}
