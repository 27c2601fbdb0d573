//! Connections to one service, over http or https, kept for the next request.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::ClientError;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than a busy service needs for its slowest write.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer: a page of a hundred events of the largest size, and then some.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

type Sender = SendRequest<Full<Bytes>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The way to one service.
#[derive(Clone)]
pub(super) struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    host: String,
    port: u16,
    authority: HeaderValue,
    tls: Option<TlsConnector>,
    /// Connections that wait for their next request. Held to take or to put back one.
    idle: Mutex<Vec<Sender>>,
    /// What reads and writes the connections; ends with the client.
    driving: Mutex<JoinSet<()>>,
}

impl Transport {
    /// Reads the address. Nothing is connected yet.
    pub(super) fn to(url: &Url) -> Result<Transport, ClientError> {
        let unusable =
            |reason: &str| ClientError::Address { url: url.to_string(), reason: reason.to_owned() };
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(tls().map_err(|error| unusable(&error.to_string()))?),
            _ => return Err(unusable("it must begin with http:// or https://")),
        };
        let host = url.host_str().ok_or_else(|| unusable("it names no host"))?;
        let port = url.port_or_known_default().expect("http and https have a port");
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let authority = HeaderValue::try_from(authority).map_err(|error| unusable(&error.to_string()))?;
        let shared = Shared {
            url: url.as_str().trim_end_matches('/').to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority,
            tls,
            idle: Mutex::default(),
            driving: Mutex::default(),
        };
        Ok(Transport { shared: Arc::new(shared) })
    }

    /// The service's address.
    pub(super) fn url(&self) -> &str {
        &self.shared.url
    }

    /// The address with why nothing can be asked there.
    pub(super) fn unusable(&self, reason: String) -> ClientError {
        ClientError::Address { url: self.shared.url.clone(), reason }
    }

    /// Sends a request whose address is a path, and reads the whole answer.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        request.headers_mut().insert(HOST, self.shared.authority.clone());
        let unreachable = |error: Failure| ClientError::Unreachable {
            url: self.shared.url.clone(),
            reason: innermost(&*error),
        };
        let mut sender = self.sender().await.map_err(unreachable)?;
        let exchange = timeout(ANSWER_TIMEOUT, exchange(&mut sender, request)).await;
        let answer = exchange.map_err(|_| unreachable("it takes too long".into()))?.map_err(unreachable)?;
        self.idle().push(sender);
        Ok(answer)
    }

    /// Sends a request whose answer does not end, over a connection of its own, and reads its head.
    /// An answer that is no success is read whole.
    pub(super) async fn open(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Result<Response<Incoming>, Response<Bytes>>, ClientError> {
        request.headers_mut().insert(HOST, self.shared.authority.clone());
        let opening = async {
            let mut sender =
                timeout(CONNECT_TIMEOUT, self.connect()).await.map_err(|_| "no connection in time")??;
            let answer = sender.send_request(request).await?;
            if answer.status().is_success() {
                return Ok(Ok(answer));
            }
            whole(answer).await.map(Err)
        };
        let opened =
            timeout(ANSWER_TIMEOUT, opening).await.unwrap_or_else(|_| Err("it takes too long".into()));
        opened.map_err(|error: Failure| ClientError::Unreachable {
            url: self.shared.url.clone(),
            reason: innermost(&*error),
        })
    }

    /// A connection that waits, or a new one.
    async fn sender(&self) -> Result<Sender, Failure> {
        while let Some(mut sender) = self.take_idle() {
            // One that the service has closed meanwhile says so here.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        timeout(CONNECT_TIMEOUT, self.connect()).await.map_err(|_| "no connection in time")?
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let Shared { host, port, tls, .. } = &*self.shared;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        match tls {
            None => self.begin(tcp).await,
            Some(tls) => self.begin(tls.connect(ServerName::try_from(host.clone())?, tcp).await?).await,
        }
    }

    async fn begin(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Sender, Failure> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driving = self.shared.driving.lock().unwrap_or_else(PoisonError::into_inner);
        while driving.try_join_next().is_some() {}
        // Whoever waits for an answer is told of a failure; nobody else needs to know.
        driving.spawn(async { drop(connection.await) });
        Ok(sender)
    }

    fn take_idle(&self) -> Option<Sender> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Sender>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn exchange(sender: &mut Sender, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
    whole(sender.send_request(request).await?).await
}

async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, Failure> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

fn tls() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The cause at the bottom: "connection refused" says more than "client error (Connect)".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "nothing listens there".to_owned(),
        _ => cause.to_string(),
    }
}
