//! Row 76: messages of SNS that are not what they say, and that nobody else is asked about them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use angarium_channels::sns::{Fetch, SnsVerifier, Unfetched, Unverified};
use angarium_domain::sns::{AGE_MAX, Kind, Message};
use async_trait::async_trait;
use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, SigningKey,
    date_time_ymd,
};
use rustls::pki_types::TrustAnchor;

use crate::sender::NOON;

const ARN: &str = "arn:aws:sns:us-east-1:123456789012:bounces";
const CERTIFICATE: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a1b.pem";
/// Where nobody ever answers.
const SILENT: &str = "https://sns.us-east-1.amazonaws.com/silent.pem";
const NAME: &str = "sns.amazonaws.com";

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Says what a test wrote down, and remembers what it was asked for.
#[derive(Default)]
struct Files {
    files: HashMap<String, String>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Fetch for Files {
    async fn get(&self, url: &str) -> Result<String, Unfetched> {
        self.asked.lock().expect("nobody panics").push(url.to_owned());
        if url == SILENT {
            return std::future::pending().await;
        }
        self.files.get(url).cloned().ok_or_else(|| Unfetched { reason: format!("{url} answered 404") })
    }
}

impl Files {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics").clone()
    }
}

/// What SNS signs with, and what it shows for it.
struct World {
    key: KeyPair,
    files: Arc<Files>,
    verifier: SnsVerifier,
}

fn authority() -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Public");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate of the year in which the tests play.
fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.not_before = date_time_ymd(1994, 1, 1);
    params.not_after = date_time_ymd(1995, 1, 1);
    params
}

fn rsa_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key")
}

fn anchor(authority: &Issuer) -> TrustAnchor<'static> {
    webpki::anchor_from_trusted_cert(authority.der()).expect("an authority").to_owned()
}

/// A world whose SNS shows this certificate.
fn world_showing(params: &CertificateParams) -> World {
    let (authority, key) = (authority(), rsa_key());
    let pem = params.signed_by(&key, &authority).expect("a certificate").pem();
    world_with(&authority, key, &pem)
}

fn world_with(authority: &Issuer, key: KeyPair, pem: &str) -> World {
    let files =
        Files { files: HashMap::from([(CERTIFICATE.to_owned(), pem.to_owned())]), ..Files::default() };
    let files = Arc::new(files);
    let topics = vec![ARN.parse().expect("a topic")];
    let verifier = SnsVerifier::new(topics, vec![anchor(authority)], files.clone());
    World { key, files, verifier }
}

fn world() -> World {
    world_showing(&leaf(NAME))
}

fn notification() -> Message {
    Message {
        kind: Kind::Notification,
        message_id: "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324".to_owned(),
        topic_arn: ARN.to_owned(),
        subject: Some("Amazon SES Email Event Notification".to_owned()),
        message: r#"{"eventType":"Bounce"}"#.to_owned(),
        timestamp: NOON.to_string(),
        signature_version: "2".to_owned(),
        signature: String::new(),
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
        subject: None,
        subscribe_url: Some(url),
        token: Some("2336".to_owned()),
        ..notification()
    }
}

fn signed(message: Message, key: &KeyPair) -> Message {
    let signature = key.sign(message.signed_text().as_bytes()).expect("a signature");
    Message { signature: BASE64.encode(&signature), ..message }
}

/// The body of a post, with what SNS adds and nobody reads.
fn body(message: &Message) -> Vec<u8> {
    let mut fields = vec![
        ("Type", message.kind.as_str().to_owned()),
        ("MessageId", message.message_id.clone()),
        ("TopicArn", message.topic_arn.clone()),
        ("Message", message.message.clone()),
        ("Timestamp", message.timestamp.clone()),
        ("SignatureVersion", message.signature_version.clone()),
        ("Signature", message.signature.clone()),
        ("SigningCertURL", message.signing_cert_url.clone()),
        ("UnsubscribeURL", "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe".to_owned()),
    ];
    let optional =
        [("Subject", &message.subject), ("SubscribeURL", &message.subscribe_url), ("Token", &message.token)];
    fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    serde_json::to_vec(&fields.into_iter().collect::<HashMap<_, _>>()).expect("JSON")
}

impl World {
    async fn verify(&self, message: &Message) -> Result<Message, Unverified> {
        self.verifier.verify(&body(message), NOON).await
    }

    /// Signed as SNS would, if it had written this.
    async fn verify_signed(&self, message: Message) -> Result<Message, Unverified> {
        self.verify(&signed(message, &self.key)).await
    }

    #[track_caller]
    fn asked_nobody(&self) {
        assert!(self.files.asked().is_empty(), "{:?}", self.files.asked());
    }
}

fn about(unverified: &Unverified) -> &'static str {
    match unverified {
        Unverified::NoMessage(_) => "no message",
        Unverified::Refused(refusal) => refusal.field(),
        Unverified::Signer(_) => "signer",
        Unverified::Signature => "signature",
        Unverified::NotNow(_) => "not now",
    }
}

#[tokio::test]
async fn a_message_that_sns_signed_is_what_it_says_and_its_certificate_is_asked_for_once() {
    let world = world();
    for message in [notification(), confirmation(), Message { subject: None, ..notification() }] {
        let message = signed(message, &world.key);
        assert_eq!(world.verify(&message).await, Ok(message));
    }
    assert_eq!(world.files.asked(), [CERTIFICATE]);
}

#[tokio::test]
async fn a_message_that_was_changed_is_refused() {
    let world = world();
    let good = signed(notification(), &world.key);
    let confirmation = signed(confirmation(), &world.key);
    for forged in [
        Message { message: r#"{"eventType":"Complaint"}"#.to_owned(), ..good.clone() },
        Message { subject: None, ..good.clone() },
        Message { message_id: "another".to_owned(), ..good.clone() },
        Message { timestamp: (NOON + AGE_MAX).to_string(), ..good.clone() },
        Message { signature: BASE64.encode(&[0; 256]), ..good.clone() },
        Message { signature: String::new(), ..good.clone() },
        // A confirmation's signature over a notification, and the other way round.
        Message { signature: confirmation.signature.clone(), ..good.clone() },
        Message { token: Some("9999".to_owned()), ..confirmation.clone() },
        signed(notification(), &rsa_key()),
    ] {
        assert_eq!(world.verify(&forged).await, Err(Unverified::Signature), "{forged:?}");
    }
}

#[tokio::test]
async fn what_is_refused_before_its_signature_is_looked_at_has_nobody_asked() {
    let world = world();
    let hour_old = NOON.saturating_sub(std::time::Duration::from_hours(1));
    let cert = |url: &str| Message { signing_cert_url: url.to_owned(), ..notification() };
    let subscribe = |url: &str| Message { subscribe_url: Some(url.to_owned()), ..confirmation() };
    for (message, field) in [
        (Message { topic_arn: ARN.replace("bounces", "others"), ..notification() }, "TopicArn"),
        (Message { signature_version: "1".to_owned(), ..notification() }, "SignatureVersion"),
        (Message { timestamp: hour_old.to_string(), ..notification() }, "Timestamp"),
        (cert("https://evil.example/x.pem"), "SigningCertURL"),
        (cert("https://sns.us-east-1.amazonaws.com.evil.example/x.pem"), "SigningCertURL"),
        (cert("http://sns.us-east-1.amazonaws.com/x.pem"), "SigningCertURL"),
        (cert("https://sns.eu-west-1.amazonaws.com/x.pem"), "SigningCertURL"),
        (subscribe("http://169.254.169.254/latest/meta-data/"), "SubscribeURL"),
        (subscribe("https://evil.example/?Action=ConfirmSubscription&"), "SubscribeURL"),
    ] {
        // Signed by the true key: what is asked for decides, and not who asks.
        let refused = world.verify_signed(message).await.expect_err("it is refused");
        assert_eq!(about(&refused), field, "{refused}");
    }
    for garbage in [&b""[..], b"{}", b"[]", b"\xff", b"{\"Type\":\"Notification\"}", b"{\"Type\":\"Other\"}"]
    {
        let refused = world.verifier.verify(garbage, NOON).await.expect_err("it is refused");
        assert_eq!(about(&refused), "no message", "{refused}");
    }
    world.asked_nobody();
}

#[tokio::test]
async fn a_certificate_that_is_not_amazon_s_signs_nothing() {
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = leaf(NAME);
        change(&mut params);
        world_showing(&params)
    };
    let expired = with(|params| params.not_after = date_time_ymd(1994, 2, 1));
    let future = with(|params| params.not_before = date_time_ymd(1994, 12, 31));
    let elsewhere = world_showing(&leaf("hooks.example.com"));
    let other_region = world_showing(&leaf("sns-signing.af-south-1.amazonaws.com"));
    let look_alike = world_showing(&leaf("sns.amazonaws.com.evil.example"));
    let (ours, key) = (authority(), rsa_key());
    let by_a_stranger = leaf(NAME).signed_by(&key, &authority()).expect("a certificate").pem();
    let by_a_stranger = world_with(&ours, key, &by_a_stranger);
    let (ours, key) = (authority(), rsa_key());
    let by_itself = leaf(NAME).self_signed(&key).expect("a certificate").pem();
    let by_itself = world_with(&ours, key, &by_itself);
    let unreadable =
        world_with(&authority(), rsa_key(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = world_with(&authority(), rsa_key(), "");
    for world in
        [expired, future, elsewhere, other_region, look_alike, by_a_stranger, by_itself, unreadable, empty]
    {
        let refused = world.verify_signed(notification()).await.expect_err("it is refused");
        assert_eq!(about(&refused), "signer", "{refused}");
    }
}

#[tokio::test]
async fn a_region_s_own_certificate_and_one_with_its_issuers_are_taken() {
    let own_name = world_showing(&leaf("sns-signing.us-east-1.amazonaws.com"));
    assert!(own_name.verify_signed(notification()).await.is_ok());

    let (authority, key) = (authority(), rsa_key());
    let mut between = CertificateParams::default();
    between.distinguished_name.push(DnType::CommonName, "Between");
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().expect("a key"), &authority);
    let between = between.expect("an intermediate");
    let leaf = leaf(NAME).signed_by(&key, &between).expect("a certificate");
    let chained = world_with(&authority, key, &format!("{}{}", leaf.pem(), between.pem()));
    let verified = chained.verify_signed(notification()).await;
    assert!(verified.is_ok(), "{verified:?}");
}

#[tokio::test]
async fn a_key_that_is_not_rsa_verifies_nothing() {
    let (authority, key) = (authority(), KeyPair::generate().expect("a key"));
    let pem = leaf(NAME).signed_by(&key, &authority).expect("a certificate").pem();
    let world = world_with(&authority, key, &pem);
    assert_eq!(world.verify_signed(notification()).await, Err(Unverified::Signature));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_is_asked_for_again_and_not_without_end() {
    let world = world();
    let absent = |n: usize| Message {
        signing_cert_url: format!("https://sns.us-east-1.amazonaws.com/absent{n}.pem"),
        ..notification()
    };
    for n in 0..30 {
        let refused = world.verify_signed(absent(n)).await.expect_err("it is not there");
        assert_eq!(about(&refused), "not now", "{refused}");
    }
    assert_eq!(world.files.asked().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn strangers_keep_nobody_from_the_certificate_that_was_right_before() {
    let world = world();
    let invented = |n: usize| Message {
        signing_cert_url: format!("https://sns.us-east-1.amazonaws.com/invented{n}.pem"),
        ..notification()
    };
    assert!(world.verify_signed(notification()).await.is_ok());
    // What was judged a day ago is judged again.
    tokio::time::advance(std::time::Duration::from_hours(25)).await;
    for n in 0..30 {
        let refused = world.verify_signed(invented(n)).await.expect_err("it is not there");
        assert_eq!(about(&refused), "not now", "{refused}");
    }
    for _ in 0..2 {
        let verified = world.verify_signed(notification()).await;
        assert!(verified.is_ok(), "{verified:?}");
    }
    let asked = world.files.asked();
    assert_eq!(asked.iter().filter(|url| *url == CERTIFICATE).count(), 2, "{asked:?}");
    assert_eq!(asked.len(), 12);
}

#[tokio::test]
async fn a_file_that_never_comes_holds_nobody_up_whose_certificate_is_known() {
    let world = world();
    assert!(world.verify_signed(notification()).await.is_ok());
    let silent = Message { signing_cert_url: SILENT.to_owned(), ..notification() };
    tokio::select! {
        biased;
        _ = world.verify_signed(silent) => panic!("nobody answers"),
        verified = world.verify_signed(notification()) => assert!(verified.is_ok(), "{verified:?}"),
    }
    assert_eq!(world.files.asked(), [CERTIFICATE, SILENT]);
}

#[tokio::test]
async fn only_a_confirmation_is_answered_and_only_there() {
    let world = world();
    let url = confirmation().subscribe_url.expect("it has one");
    let unsubscribed = Message { kind: Kind::UnsubscribeConfirmation, ..confirmation() };
    for message in [notification(), unsubscribed] {
        let verified = world.verify_signed(message).await.expect("it is what it says");
        world.verifier.confirm(&verified).await.expect("there is nothing to do");
    }
    assert_eq!(world.files.asked(), [CERTIFICATE]);
    let verified = world.verify_signed(confirmation()).await.expect("it is what it says");
    let answer = world.verifier.confirm(&verified).await;
    assert!(answer.is_err(), "this double has no answer");
    assert_eq!(world.files.asked(), [CERTIFICATE.to_owned(), url]);
}
