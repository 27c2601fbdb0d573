//! Mails through Amazon SES, by a peer on loopback that answers what a test says.

use std::sync::Arc;

use angarium_channels::email::{AwsCredentials, Mailer, NoConnection, Sender, SesMailer, SesSettings};
use angarium_domain::attempt::Exchange;
use angarium_domain::outcome::{Failure, Outcome};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::mails::mail;
use crate::receiver::{PATIENCE, Receiver, linger};
use crate::sender::{NOON, SHORT, failed};

const SECRET: &str = "a secret key of this test alone";
const REGION: &str = "eu-west-1";

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nx-amzn-requestid: r-1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn accepting() -> String {
    answer("200 OK", r#"{"MessageId":"0100018f"}"#)
}

fn settings(endpoint: String) -> SesSettings {
    SesSettings {
        region: REGION.to_owned(),
        endpoint: Some(endpoint),
        credentials: AwsCredentials::Keys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: SECRET.to_owned().into(),
            session_token: None,
        },
        configuration_set: Some("events".to_owned()),
        sender: Sender::parse("Angarium <events@mail.example>").expect("a sender"),
        extra_roots: Vec::new(),
        connections_max: 4,
        now: Arc::new(|| NOON),
    }
}

fn mailer(receiver: &Receiver) -> SesMailer {
    SesMailer::new(settings(format!("http://{}", receiver.address))).expect("usable settings")
}

async fn send(receiver: &Receiver) -> Exchange {
    mailer(receiver).send(mail(), PATIENCE).await.expect("a connection")
}

fn replied(code: u16) -> Outcome {
    Outcome::Replied { code, bounced: false }
}

/// A request as it was read from the wire.
struct Read {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Read {
    fn of(text: &str) -> Read {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a line").to_owned();
        let pair =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Read { line, headers: lines.filter_map(pair).collect(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    /// The signature that a server expects, by the documentation of AWS and nobody's library.
    fn expected_signature(&self) -> String {
        let sha256 = |text: &str| HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let authorization = self.header("authorization");
        let between = |start: &str| {
            let (_, rest) = authorization.split_once(start).expect("a part");
            rest.split(',').next().expect("its value")
        };
        let signed: Vec<&str> = between("SignedHeaders=").split(';').collect();
        let lines = signed.iter().map(|name| format!("{name}:{}\n", self.header(name).trim()));
        let lines = lines.collect::<Vec<_>>().concat();
        let canonical = format!(
            "POST\n/v2/email/outbound-emails\n\n{lines}\n{}\n{}",
            signed.join(";"),
            self.header("x-amz-content-sha256")
        );
        let (_, scope) = between("Credential=").split_once('/').expect("a scope");
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.header("x-amz-date"), sha256(&canonical));
        let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| sign(&key, part));
        HEXLOWER.encode(&sign(&key, &to_sign))
    }
}

#[tokio::test]
async fn a_mail_is_handed_in_whole_signed_and_tagged() {
    let ses = Receiver::answering(accepting()).await;
    let exchange = send(&ses).await;
    assert_eq!((exchange.outcome, exchange.detail), (replied(250), None));
    assert_eq!(exchange.response_body, r#"{"MessageId":"0100018f"}"#);
    assert_eq!(
        (exchange.endpoint.as_str(), exchange.remote_address.as_deref()),
        ("anna@example.com", Some("127.0.0.1"))
    );

    let request = Read::of(&ses.requests()[0]);
    assert_eq!(request.line, "POST /v2/email/outbound-emails HTTP/1.1");
    assert_eq!(request.header("host"), ses.address.to_string());
    let hash = HEXLOWER.encode(digest(&SHA256, request.body.as_bytes()).as_ref());
    assert_eq!(request.header("x-amz-content-sha256"), hash);
    let authorization = request.header("authorization");
    assert!(
        authorization.contains("Credential=AKIDEXAMPLE/")
            && authorization.contains("/eu-west-1/ses/aws4_request")
    );
    assert!(request.header("user-agent").starts_with("Angarium/") && !authorization.contains("user-agent"));
    for name in ["host", "x-amz-content-sha256", "x-amz-date"] {
        let (_, signed) = authorization.split_once("SignedHeaders=").expect("signed headers");
        assert!(signed.split(',').next().expect("names").split(';').any(|signed| signed == name), "{name}");
    }
    assert!(
        authorization.ends_with(&format!("Signature={}", request.expected_signature())),
        "{authorization}"
    );

    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body["FromEmailAddress"], "events@mail.example");
    assert_eq!(body["Destination"], json!({ "ToAddresses": ["anna@example.com"] }));
    assert_eq!(body["ConfigurationSetName"], "events");
    assert_eq!(
        body["EmailTags"],
        json!([
            { "Name": "angarium-handle", "Value": "acme" },
            { "Name": "angarium-delivery", "Value": "dlv_01arz3ndektsv4rrffq69g5fav" },
        ])
    );
    let raw = body["Content"]["Raw"]["Data"].as_str().expect("a mail");
    let raw = String::from_utf8(BASE64.decode(raw.as_bytes()).expect("base64")).expect("ASCII");
    for line in
        ["From: Angarium <events@mail.example>\r\n", "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"]
    {
        assert!(raw.contains(line), "{line} is not in\n{raw}");
    }
}

#[tokio::test]
async fn what_ses_refuses_is_told_apart() {
    let error = |status: &str, kind: &str| {
        let head = format!("{status}\r\nx-amzn-errortype: {kind}");
        answer(&head, r#"{"message":"arn:aws:iam::123456789012:user/x"}"#)
    };
    let not_verified = |words: &str| {
        let head = "400 Bad Request\r\nx-amzn-errortype: MessageRejected";
        answer(head, &format!(r#"{{"message":"{words}"}}"#))
    };
    let refused = failed(Failure::RelayRefused);
    let stale = failed(Failure::StaleProviderReference);
    for (answer, outcome) in [
        (error("429 Too Many Requests", "TooManyRequestsException"), replied(454)),
        (error("400 Bad Request", "ThrottlingException"), replied(454)),
        (error("400 Bad Request", "MessageRejected"), replied(554)),
        (error("400 Bad Request", "MailFromDomainNotVerifiedException"), stale),
        (error("503 Service Unavailable", "ServiceUnavailable"), replied(451)),
        (error("400 Bad Request", "AccountSuspendedException"), refused),
        (error("400 Bad Request", "SendingPausedException"), refused),
        (error("404 Not Found", "NotFoundException"), stale),
        (not_verified("Email address is not verified: events@MAIL.example"), stale),
        (not_verified("Email address is not verified: anna@example.com"), replied(554)),
        (error("403 Forbidden", "InvalidClientTokenId"), refused),
        (answer_of_a_stranger(), failed(Failure::OutcomeUnknown)),
    ] {
        let ses = Receiver::answering(answer.clone()).await;
        let exchange = send(&ses).await;
        assert_eq!(exchange.outcome, outcome, "{answer}");
        let detail = exchange.detail.expect("it says why");
        // What names the operator's account is for the operator.
        assert!(![refused, stale].contains(&outcome) || !detail.contains("123456789012"), "{detail}");
        assert_eq!(ses.requests().len(), 1, "nothing is sent twice");
    }
}

fn answer_of_a_stranger() -> String {
    answer("200 OK", "<html>Please log in to this network</html>")
}

#[tokio::test]
async fn silence_after_the_mail_is_an_unknown_outcome() {
    let hangs = Receiver::start(|mut stream, received| async move {
        received.request_from(&mut stream).await;
        linger(&mut stream).await;
    })
    .await;
    let exchange = mailer(&hangs).send(mail(), SHORT).await.expect("a connection");
    assert_eq!(exchange.outcome, failed(Failure::OutcomeUnknown), "{:?}", exchange.detail);
    assert!(exchange.timing.total_us >= SHORT.as_micros() as u64);

    let hangs_up = Receiver::start(|mut stream, received| async move {
        received.request_from(&mut stream).await;
        let _ = stream.shutdown().await;
    })
    .await;
    assert_eq!(send(&hangs_up).await.outcome, failed(Failure::OutcomeUnknown));
}

#[tokio::test]
async fn what_never_reached_ses_is_no_unknown_outcome() {
    let gone = Receiver::answering(accepting()).await.address;
    let mailer = SesMailer::new(settings(format!("http://{gone}"))).expect("usable settings");
    // The port is free again once its receiver is dropped.
    let exchange = mailer.send(mail(), PATIENCE).await.expect("a connection");
    assert_eq!((exchange.outcome, exchange.remote_address), (failed(Failure::ConnectError), None));
}

#[tokio::test]
async fn whoever_waits_for_a_place_in_vain_has_tried_nothing() {
    let hangs = Receiver::start(|mut stream, received| async move {
        received.request_from(&mut stream).await;
        linger(&mut stream).await;
    })
    .await;
    let one_place = SesSettings { connections_max: 1, ..settings(format!("http://{}", hangs.address)) };
    let mailer = SesMailer::new(one_place).expect("usable settings");
    let (first, second) = tokio::join!(mailer.send(mail(), SHORT * 3), mailer.send(mail(), SHORT));
    assert_eq!(first.expect("a connection").outcome, failed(Failure::OutcomeUnknown));
    assert_eq!(second, Err(NoConnection), "it was never sent");
}

#[test]
fn an_endpoint_that_is_no_address_is_refused_at_the_start() {
    for endpoint in ["", "not an address", "/path"] {
        assert!(SesMailer::new(settings(endpoint.to_owned())).is_err(), "{endpoint:?}");
    }
}
