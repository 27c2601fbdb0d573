//! One request to an address that is the operator's own word: a JWKS, a collector of spans.
//!
//! It does not pass the guard that customers' addresses pass. It is still made with care: one size,
//! no redirects, and a deadline that the caller sets. The connection ends with the exchange.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why there was no answer.
pub(crate) type ExchangeError = Box<dyn std::error::Error + Send + Sync>;

/// The client's side of https, with the certificates that the system trusts.
pub(crate) fn tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Sends a request to the whole address that it names, over TLS if there is a client's side of it, and
/// reads the answer up to `bytes_max`.
pub(crate) async fn exchange(
    request: Request<Bytes>,
    tls: Option<&Arc<rustls::ClientConfig>>,
    bytes_max: usize,
) -> Result<Response<Bytes>, ExchangeError> {
    let uri = request.uri().clone();
    let host = uri.host().ok_or("the address has no host")?;
    let name = host.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let tcp = TcpStream::connect((name, port)).await?;
    let request = in_origin_form(request, &uri)?;
    let Some(tls) = tls else {
        return send(tcp, request, bytes_max).await;
    };
    let connector = TlsConnector::from(tls.clone());
    let stream = connector.connect(ServerName::try_from(name.to_owned())?, tcp).await?;
    send(stream, request, bytes_max).await
}

/// The request as a server wants it: the path alone, and the host in a header.
fn in_origin_form(request: Request<Bytes>, uri: &Uri) -> Result<Request<Full<Bytes>>, ExchangeError> {
    let (mut parts, body) = request.into_parts();
    let authority = uri.authority().ok_or("the address has no host")?;
    parts.uri = Uri::from_static("/");
    if let Some(path) = uri.path_and_query() {
        parts.uri = path.clone().into();
    }
    parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    Ok(Request::from_parts(parts, Full::new(body)))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<Response<Bytes>, ExchangeError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, bytes_max).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    };
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // Its end is no failure by itself: the whole answer may have come before it.
        _ = &mut connection => exchange.await,
    }
}
