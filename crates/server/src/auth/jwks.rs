//! Published signing keys: a JWKS in a file or behind an https address of the operator's.
//!
//! The address is the operator's own word, so it does not pass the guard that
//! customers' addresses pass. It is still read with care: one deadline, one
//! size, no redirects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode, Uri};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::auth::jwt::JwtKey;
use crate::exchange::{ExchangeError, exchange};

/// How old keys may grow.
const AGE_MAX: Duration = Duration::from_mins(10);
/// How often an unknown `kid`, which anybody can invent, may cause a fetch.
const UNKNOWN_KID_PAUSE: Duration = Duration::from_mins(1);
/// The deadline of one fetch.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer.
const BYTES_MAX: usize = 1024 * 1024;

/// Where keys are published.
pub struct Jwks {
    place: Place,
    /// Held during a fetch: those who come meanwhile go on with the keys that are there.
    last_asked: Mutex<Option<Instant>>,
}

enum Place {
    File(PathBuf),
    Address(Uri, Arc<rustls::ClientConfig>),
}

impl Jwks {
    /// Reads keys from a file.
    pub fn file(path: PathBuf) -> Jwks {
        Jwks { place: Place::File(path), last_asked: Mutex::default() }
    }

    /// Reads keys from an https address.
    pub fn address(uri: Uri, tls: Arc<rustls::ClientConfig>) -> Jwks {
        Jwks { place: Place::Address(uri, tls), last_asked: Mutex::default() }
    }

    /// Reads the keys now.
    pub async fn load(&self) -> Result<Vec<JwtKey>, String> {
        *self.last_asked.lock().await = Some(Instant::now());
        self.read().await
    }

    /// Reads the keys if they are old. A failure is logged, and the old keys stay.
    pub(super) async fn load_when_old(&self) -> Option<Vec<JwtKey>> {
        self.load_after(AGE_MAX).await
    }

    /// Reads the keys because a token names one that we do not have.
    pub(super) async fn load_for_unknown_kid(&self) -> Option<Vec<JwtKey>> {
        self.load_after(UNKNOWN_KID_PAUSE).await
    }

    async fn load_after(&self, pause: Duration) -> Option<Vec<JwtKey>> {
        let mut last_asked = self.last_asked.try_lock().ok()?;
        if last_asked.is_some_and(|at| at.elapsed() < pause) {
            return None;
        }
        *last_asked = Some(Instant::now());
        self.read().await.inspect_err(|reason| tracing::warn!(reason, "the JWKS could not be read")).ok()
    }

    async fn read(&self) -> Result<Vec<JwtKey>, String> {
        let text = match &self.place {
            Place::File(path) => std::fs::read(path)
                .map(Bytes::from)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            Place::Address(uri, tls) => tokio::time::timeout(DEADLINE, fetch(uri, tls))
                .await
                .map_err(|_| format!("{uri}: no answer within {} s", DEADLINE.as_secs()))?
                .map_err(|error| format!("{uri}: {error}"))?,
        };
        keys_in(&text)
    }
}

/// Every key of a JWKS that can verify a token.
fn keys_in(text: &[u8]) -> Result<Vec<JwtKey>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| format!("not a JWKS: {error}"))?;
    let keys: Vec<JwtKey> = set.keys.iter().filter_map(usable).collect();
    if keys.is_empty() { Err("the JWKS holds no key that we can verify with".to_owned()) } else { Ok(keys) }
}

fn usable(jwk: &Jwk) -> Option<JwtKey> {
    let algorithm = algorithm_of(jwk)?;
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(JwtKey { kid: jwk.common.key_id.clone(), algorithm, key })
}

/// The algorithm that belongs to a key's type. A symmetric key has none: whoever can read the set
/// could sign with it.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => match jwk.common.key_algorithm {
            None | Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
            Some(KeyAlgorithm::RS384) => Some(Algorithm::RS384),
            Some(KeyAlgorithm::RS512) => Some(Algorithm::RS512),
            Some(KeyAlgorithm::PS256) => Some(Algorithm::PS256),
            Some(KeyAlgorithm::PS384) => Some(Algorithm::PS384),
            Some(KeyAlgorithm::PS512) => Some(Algorithm::PS512),
            Some(_) => None,
        },
        AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(_) => Some(Algorithm::EdDSA),
        _ => None,
    }
}

async fn fetch(uri: &Uri, tls: &Arc<rustls::ClientConfig>) -> Result<Bytes, ExchangeError> {
    let request = Request::get(uri).header(ACCEPT, "application/json").body(Bytes::new())?;
    let response = exchange(request, Some(tls), BYTES_MAX).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("answered {}", response.status()).into());
    }
    Ok(response.into_body())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const RSA: &str = r#"{"kty":"RSA","kid":"a","alg":"RS256","n":"sXch7Kv9","e":"AQAB"}"#;

    #[test]
    fn symmetric_keys_in_a_published_set_are_not_used() {
        let set = format!(r#"{{"keys":[{RSA},{{"kty":"oct","kid":"b","k":"c2VjcmV0"}}]}}"#);
        let keys = keys_in(set.as_bytes()).expect("keys");
        assert_eq!(keys.iter().map(|key| key.kid.as_deref()).collect::<Vec<_>>(), [Some("a")]);
    }

    #[test]
    fn a_set_without_usable_keys_is_refused() {
        for set in ["{}", r#"{"keys":[]}"#, "[]", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#] {
            assert!(keys_in(set.as_bytes()).is_err(), "{set}");
        }
    }

    /// A publisher on loopback that gives the same answer to everybody, and the client's side of
    /// its certificate.
    struct Publisher {
        uri: Uri,
        tls: Arc<rustls::ClientConfig>,
        _serving: JoinSet<()>,
    }

    impl Publisher {
        async fn start(status: &str, body: String) -> Publisher {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let server = rustls::ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(
                    vec![cert.der().clone()],
                    PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
                )
                .expect("a server's side");
            let mut roots = rustls::RootCertStore::empty();
            roots.add(cert.der().clone()).expect("a root");
            let client = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let mut serving = JoinSet::new();
            serving.spawn(publish(listener, TlsAcceptor::from(Arc::new(server)), answer));
            let uri = format!("https://localhost:{port}/keys").parse().expect("an address");
            Publisher { uri, tls: Arc::new(client), _serving: serving }
        }

        fn jwks(&self) -> Jwks {
            Jwks::address(self.uri.clone(), self.tls.clone())
        }
    }

    async fn publish(listener: TcpListener, acceptor: TlsAcceptor, answer: String) {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.expect("a request");
            assert!(request[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
            // A client that has seen enough may be gone already.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn keys_are_fetched_over_https() {
        let publisher = Publisher::start("200 OK", format!(r#"{{"keys":[{RSA}]}}"#)).await;
        assert_eq!(publisher.jwks().load().await.expect("keys").len(), 1);
    }

    #[tokio::test]
    async fn redirects_failures_and_endless_answers_are_no_keys() {
        for (status, body) in [
            ("302 Found", "{}".to_owned()),
            ("500 Oops", "{}".to_owned()),
            ("200 OK", " ".repeat(BYTES_MAX + 1)),
        ] {
            assert!(Publisher::start(status, body).await.jwks().load().await.is_err(), "{status}");
        }
    }

    #[tokio::test]
    async fn a_publisher_without_a_trusted_certificate_is_not_believed() {
        let publisher = Publisher::start("200 OK", format!(r#"{{"keys":[{RSA}]}}"#)).await;
        let stranger = Publisher::start("200 OK", String::new()).await;
        let jwks = Jwks::address(publisher.uri.clone(), stranger.tls.clone());
        assert!(jwks.load().await.is_err());
    }

    #[tokio::test]
    async fn an_unknown_kid_causes_one_fetch_a_minute() {
        let publisher = Publisher::start("200 OK", format!(r#"{{"keys":[{RSA}]}}"#)).await;
        let jwks = publisher.jwks();
        assert!(jwks.load_for_unknown_kid().await.is_some());
        assert!(jwks.load_for_unknown_kid().await.is_none());
        assert!(jwks.load_when_old().await.is_none());
    }
}
