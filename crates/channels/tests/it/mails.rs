//! Mails over real SMTP, with mail servers that are rude at every step.

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::email::{
    Encryption, FolderMailer, Mail, Mailer, NoMailer, Sender, SmtpMailer, SmtpSettings,
};
use angarium_domain::attempt::Exchange;
use angarium_domain::letter::Letter;
use angarium_domain::outcome::{Failure, Outcome};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::mail_server::{End, MailServer, Manners};
use crate::receiver::PATIENCE;
use crate::sender::{NOON, SHORT, failed};

pub(crate) fn mail() -> Mail {
    Mail {
        id: "dlv_01arz3ndektsv4rrffq69g5fav".to_owned(),
        handle: Some("acme".parse().expect("a handle")),
        to: "anna@example.com".parse().expect("an address"),
        letter: Letter {
            subject: "Paid".to_owned(),
            heading: "An order was paid".to_owned(),
            paragraphs: vec![".a line that begins with a dot".to_owned()],
            unsubscribe: Some("https://a.example/unsubscribe/t".to_owned()),
            ..Letter::default()
        },
        date: NOON,
    }
}

fn sender() -> Sender {
    Sender::parse("Angarium <events@mail.example>").expect("a sender")
}

fn settings(server: &MailServer) -> SmtpSettings {
    SmtpSettings {
        host: "localhost".to_owned(),
        port: server.address.port(),
        encryption: Encryption::None,
        credentials: None,
        extra_roots: Vec::new(),
        sender: sender(),
        connections_max: 4,
    }
}

fn mailer(server: &MailServer) -> SmtpMailer {
    SmtpMailer::new(settings(server)).expect("usable settings")
}

async fn send(server: &MailServer) -> Exchange {
    mailer(server).send(mail(), PATIENCE).await.expect("a connection")
}

fn replied(code: u16, bounced: bool) -> Outcome {
    Outcome::Replied { code, bounced }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let server = MailServer::start(Manners::default()).await;
    let exchange = send(&server).await;
    assert_eq!(exchange.outcome, replied(250, false));
    assert_eq!(exchange.endpoint, "anna@example.com");
    assert_eq!(exchange.remote_address, Some(format!("localhost:{}", server.address.port())));
    let [arrived] = server.arrived_when(1).await.try_into().expect("one mail");
    assert_eq!((arrived.from.as_str(), arrived.to.as_str()), ("events@mail.example", "anna@example.com"));
    for line in [
        "Message-ID: <dlv_01arz3ndektsv4rrffq69g5fav@mail.example>",
        "List-Unsubscribe: <https://a.example/unsubscribe/t>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Subject: Paid",
        ".a line that begins with a dot",
    ] {
        assert!(arrived.text.lines().any(|found| found == line), "{line} is not in\n{}", arrived.text);
    }
}

#[tokio::test]
async fn one_connection_serves_one_mail_after_another() {
    let server = MailServer::start(Manners::default()).await;
    let mailer = mailer(&server);
    for _ in 0..3 {
        assert_eq!(mailer.send(mail(), PATIENCE).await.expect("a connection").outcome, replied(250, false));
    }
    assert_eq!((server.arrived().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_costs_no_attempt() {
    let manners = Manners { mails_per_connection: Some(1), ..Manners::default() };
    let server = MailServer::start(manners).await;
    let mailer = mailer(&server);
    for _ in 0..3 {
        assert_eq!(mailer.send(mail(), PATIENCE).await.expect("a connection").outcome, replied(250, false));
    }
    assert_eq!((server.arrived().len(), server.connections()), (3, 3));
}

#[tokio::test]
async fn no_more_connections_are_made_than_the_operator_allows() {
    let server = MailServer::start(Manners::default()).await;
    let settings = SmtpSettings { connections_max: 2, ..settings(&server) };
    let mailer = Arc::new(SmtpMailer::new(settings).expect("usable settings"));
    let mut sending = JoinSet::new();
    for _ in 0..20 {
        let mailer = mailer.clone();
        sending.spawn(async move { mailer.send(mail(), PATIENCE).await.expect("a connection") });
    }
    for exchange in sending.join_all().await {
        assert_eq!(exchange.outcome, replied(250, false));
    }
    assert_eq!(server.arrived().len(), 20);
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[tokio::test]
async fn what_the_server_says_of_the_mail_decides() {
    for (recipient, end, outcome) in [
        (Some("450 4.2.0 greylisted"), End::Taken, replied(450, false)),
        (Some("550 5.1.1 no such user"), End::Taken, replied(550, true)),
        (Some("552 5.2.2 mailbox full"), End::Taken, replied(552, false)),
        (Some("550 5.7.1 policy"), End::Taken, replied(550, false)),
        (None, End::Said("451 4.3.0 later"), replied(451, false)),
        (None, End::Said("554 5.6.0 not this"), replied(554, false)),
    ] {
        let server = MailServer::start(Manners { recipient, end, ..Manners::default() }).await;
        let exchange = send(&server).await;
        assert_eq!(exchange.outcome, outcome);
        assert!(exchange.detail.expect("the server's words").contains('.'), "{recipient:?}");
        assert_eq!(server.arrived(), []);
    }
}

#[tokio::test]
async fn a_server_that_refuses_us_says_nothing_about_the_address() {
    for manners in [
        Manners { greeting: Some("554 5.7.1 go away"), ..Manners::default() },
        Manners { sender: Some("550 5.7.1 sender rejected"), ..Manners::default() },
        Manners { log_in: Some(("shop", "secret")), ..Manners::default() },
    ] {
        let server = MailServer::start(manners).await;
        assert_eq!(send(&server).await.outcome, failed(Failure::RelayRefused));
    }
    let server = MailServer::start(Manners { greeting: Some("hello?"), ..Manners::default() }).await;
    let outcome = send(&server).await.outcome;
    assert!(
        [failed(Failure::ProtocolError), failed(Failure::ConnectError)].contains(&outcome),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_password_opens_the_door() {
    let server = MailServer::start(Manners { log_in: Some(("shop", "secret")), ..Manners::default() }).await;
    for (password, outcome) in [("secret", replied(250, false)), ("wrong", failed(Failure::RelayRefused))] {
        let credentials = Some(("shop".to_owned(), password.to_owned().into()));
        let mailer = SmtpMailer::new(SmtpSettings { credentials, ..settings(&server) }).expect("settings");
        let exchange = mailer.send(mail(), PATIENCE).await.expect("a connection");
        assert_eq!(exchange.outcome, outcome);
        assert!(!format!("{exchange:?}").contains("wrong,"), "no password in the record");
    }
}

#[tokio::test]
async fn a_mail_without_a_reply_may_have_arrived_and_that_is_said() {
    let server = MailServer::start(Manners { end: End::Dropped, ..Manners::default() }).await;
    assert_eq!(send(&server).await.outcome, failed(Failure::OutcomeUnknown));
    assert_eq!((server.arrived().len(), server.connections()), (1, 1), "it was not sent again by itself");

    let server = MailServer::start(Manners { end: End::Silent, ..Manners::default() }).await;
    let exchange = mailer(&server).send(mail(), SHORT).await.expect("a connection");
    assert_eq!(exchange.outcome, failed(Failure::OutcomeUnknown));
    assert_eq!(server.arrived().len(), 1);
}

#[tokio::test]
async fn an_unknown_end_spoils_no_later_mail() {
    let server = MailServer::start(Manners { end: End::Silent, ..Manners::default() }).await;
    let mailer = mailer(&server);
    assert_eq!(
        mailer.send(mail(), SHORT).await.expect("a connection").outcome,
        failed(Failure::OutcomeUnknown)
    );
    server.behave(Manners::default());
    assert_eq!(mailer.send(mail(), PATIENCE).await.expect("a connection").outcome, replied(250, false));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_says_nothing_at_all_costs_one_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let quiet = MailServer::start(Manners::default()).await;
    let mailer = SmtpMailer::new(SmtpSettings { port, ..settings(&quiet) }).expect("settings");
    let exchange = mailer.send(mail(), SHORT).await.expect("a connection");
    assert_eq!(exchange.outcome, failed(Failure::Timeout));
    assert!(exchange.timing.total_us >= SHORT.as_micros() as u64);
    assert!(exchange.timing.total_us < (SHORT + Duration::from_secs(10)).as_micros() as u64);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_to_connect() {
    let gone = MailServer::start(Manners::default()).await;
    let settings = settings(&gone);
    drop(gone);
    let mailer = SmtpMailer::new(settings).expect("settings");
    assert_eq!(
        mailer.send(mail(), PATIENCE).await.expect("a connection").outcome,
        failed(Failure::ConnectError)
    );
}

fn identity(name: &str) -> (TlsAcceptor, CertificateDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .expect("a usable identity");
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

async fn sent_under_tls(encryption: Encryption, name: &str, trusted: bool) -> (Outcome, usize) {
    let (acceptor, certificate) = identity(name);
    let manners = match encryption {
        Encryption::Implicit => Manners { tls: Some(acceptor), ..Manners::default() },
        Encryption::StartTls | Encryption::None => Manners { starttls: Some(acceptor), ..Manners::default() },
    };
    let server = MailServer::start(manners).await;
    let extra_roots = if trusted { vec![certificate] } else { Vec::new() };
    let settings = SmtpSettings { encryption, extra_roots, ..settings(&server) };
    let mailer = SmtpMailer::new(settings).expect("settings");
    let outcome = mailer.send(mail(), PATIENCE).await.expect("a connection").outcome;
    (outcome, server.arrived().len())
}

#[tokio::test]
async fn nothing_is_said_to_a_server_whose_certificate_is_not_its_own() {
    for encryption in [Encryption::Implicit, Encryption::StartTls] {
        assert_eq!(sent_under_tls(encryption, "localhost", true).await, (replied(250, false), 1));
        for (name, trusted) in [("localhost", false), ("other.example", true)] {
            let (outcome, arrived) = sent_under_tls(encryption, name, trusted).await;
            assert_eq!((outcome, arrived), (failed(Failure::TlsError), 0), "{encryption:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_server_without_starttls_is_given_nothing() {
    let server = MailServer::start(Manners::default()).await;
    let settings = SmtpSettings { encryption: Encryption::StartTls, ..settings(&server) };
    let mailer = SmtpMailer::new(settings).expect("settings");
    assert_eq!(
        mailer.send(mail(), PATIENCE).await.expect("a connection").outcome,
        failed(Failure::RelayRefused)
    );
    assert_eq!(server.arrived(), []);
}

#[tokio::test]
async fn a_folder_takes_mails_as_files_and_a_second_copy_replaces_the_first() {
    let folder = std::env::temp_dir().join(format!("angarium-mails-{}", std::process::id()));
    let mailer = FolderMailer::new(folder.clone(), sender()).expect("a folder");
    for _ in 0..2 {
        assert_eq!(mailer.send(mail(), PATIENCE).await.expect("a connection").outcome, replied(250, false));
    }
    let names: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("text"))
        .collect();
    assert_eq!(names, ["dlv_01arz3ndektsv4rrffq69g5fav.eml"]);
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[tokio::test]
async fn a_service_without_a_mail_server_says_so() {
    assert_eq!(
        NoMailer.send(mail(), PATIENCE).await.expect("a connection").outcome,
        failed(Failure::NotConfigured)
    );
    assert!(!NoMailer.is_configured());
}
