//! Row 57: whom we take a receiver for, and that nothing is said to anybody else.

use std::sync::Arc;

use angarium_channels::webhook::WebhookChannel;
use angarium_domain::outcome::Failure;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::receiver::Receiver;
use crate::sender::{Names, answered, failed, loopback, send, settings};

const NAME: &str = "hooks.example.com";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// What a receiver shows.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn authority(name: &str) -> Issuer {
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(authority_params(name), key).expect("an authority")
}

fn leaf(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).expect("a name")
}

fn signed(params: &CertificateParams, by: &Issuer) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, by).expect("a certificate");
    Identity { chain: vec![certificate.der().clone()], key: key.into() }
}

async fn receiver(identity: Identity) -> Receiver {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("usual versions")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("a usable identity");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Receiver::start(move |stream, received| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            assert_eq!(stream.get_ref().1.alpn_protocol(), None, "this receiver names no protocol");
            while received.request_from(&mut stream).await {
                stream.write_all(OK).await.expect("an answer goes out");
            }
        }
    })
    .await
}

fn channel_trusting(roots: Vec<CertificateDer<'static>>) -> WebhookChannel {
    let mut settings = settings(loopback(), Names::default().with(NAME, &["127.0.0.1"]));
    settings.extra_roots = roots;
    WebhookChannel::new(settings).expect("usable roots")
}

fn url(receiver: &Receiver) -> String {
    format!("https://{NAME}:{}/hook", receiver.port())
}

#[tokio::test]
async fn an_authority_of_the_operator_is_trusted() {
    let authority = authority("Ours");
    let receiver = receiver(signed(&leaf(NAME), &authority)).await;
    let channel = channel_trusting(vec![authority.der().clone()]);

    let first = send(&channel, &url(&receiver)).await;
    assert_eq!(first.outcome, answered(200), "{:?}", first.detail);
    assert!(
        first.timing.dns_us.is_some() && first.timing.connect_us.is_some() && first.timing.tls_us.is_some()
    );
    let second = send(&channel, &url(&receiver)).await;
    assert_eq!(second.outcome, answered(200));
    assert_eq!((second.timing.dns_us, second.timing.connect_us, second.timing.tls_us), (None, None, None));
    assert_eq!(receiver.connections(), 1);
    assert!(receiver.requests()[0].contains(&format!("host: {NAME}:{}\r\n", receiver.port())));
}

#[tokio::test]
async fn a_literal_address_is_verified_as_an_address() {
    let authority = authority("Ours");
    let receiver = receiver(signed(&leaf("127.0.0.1"), &authority)).await;
    let channel = channel_trusting(vec![authority.der().clone()]);
    assert_eq!(send(&channel, &format!("https://{}/", receiver.address)).await.outcome, answered(200));
    assert_eq!(send(&channel, &url(&receiver)).await.outcome, failed(Failure::TlsError));
}

#[tokio::test]
async fn whoever_cannot_prove_the_name_hears_nothing() {
    let stranger = authority("Strange");
    let authority = authority("Ours");
    let intermediate = CertifiedIssuer::signed_by(
        authority_params("Between"),
        KeyPair::generate().expect("a key"),
        &authority,
    )
    .expect("an intermediate");
    let mut expired = leaf(NAME);
    expired.not_before = date_time_ymd(2001, 1, 1);
    expired.not_after = date_time_ymd(2002, 1, 1);
    let mut future = leaf(NAME);
    future.not_before = date_time_ymd(4000, 1, 1);
    let own_key = KeyPair::generate().expect("a key");
    let self_signed = leaf(NAME).self_signed(&own_key).expect("a certificate");

    let untrusted = "the certificate's issuer is not trusted, or a link of its chain is missing";
    for (identity, detail) in [
        (Identity { chain: vec![self_signed.der().clone()], key: own_key.into() }, untrusted),
        (signed(&leaf(NAME), &stranger), untrusted),
        (signed(&leaf(NAME), &intermediate), untrusted),
        (signed(&expired, &authority), "the certificate has expired"),
        (signed(&future, &authority), "the certificate is not valid yet"),
        (signed(&leaf("other.example.com"), &authority), "the certificate is for another host"),
    ] {
        let receiver = receiver(identity).await;
        let exchange = send(&channel_trusting(vec![authority.der().clone()]), &url(&receiver)).await;
        assert_eq!(exchange.outcome, failed(Failure::TlsError));
        assert_eq!(exchange.detail.as_deref(), Some(detail));
        assert_eq!(receiver.connections(), 1);
        assert!(receiver.requests().is_empty(), "nothing was said");
    }
}

#[tokio::test]
async fn a_port_that_does_not_speak_our_tls_is_a_tls_error() {
    let old_tls = b"\x15\x03\x01\x00\x02\x02\x46".to_vec(); // fatal alert: protocol version
    for answer in [old_tls, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Vec::new()] {
        let receiver = Receiver::start(move |mut stream, _| {
            let answer = answer.clone();
            async move {
                stream.readable().await.expect("a hello comes");
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                crate::receiver::linger(&mut stream).await;
            }
        })
        .await;
        let exchange = send(&channel_trusting(Vec::new()), &url(&receiver)).await;
        assert_eq!(exchange.outcome, failed(Failure::TlsError), "{:?}", exchange.detail);
    }
}

#[test]
fn roots_that_are_no_certificates_are_an_error_at_the_start() {
    let mut settings = settings(loopback(), Names::default());
    settings.extra_roots = vec![CertificateDer::from(b"no certificate".to_vec())];
    assert!(WebhookChannel::new(settings).is_err());
}
