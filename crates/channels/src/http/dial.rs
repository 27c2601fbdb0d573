//! Making a connection: look up, judge, connect to a vetted address, judge again, shake hands.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use angarium_domain::attempt::BODY_KEPT_BYTES;
use angarium_domain::outcome::Failure;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower::Service;

use super::fault::Fault;
use super::transport::{Established, Line, Spent, Transport};
use crate::egress::{Endpoint, Guard, Host};

/// What the client allows itself. Whole attempts are bounded by the deadline that comes with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For looking a name up. 3 s by default.
    pub lookup: Duration,
    /// For connecting, over all addresses, and the handshake. 5 s by default.
    pub connect: Duration,
    /// How many of a name's addresses are tried. 3 by default.
    pub addresses_tried: usize,
    /// How long an unused connection is kept. 60 s by default.
    pub idle: Duration,
    /// How many unused connections to one host are kept. 64 by default.
    pub idle_per_host: usize,
    /// How long a connection is used at most, so that names may move. 5 minutes by default.
    pub connection_age: Duration,
    /// How much of an answer's body is kept, [`super::BODY_READ_BYTES_MAX`] at most. What a record of
    /// an attempt shows by default.
    pub body_kept_bytes: usize,
    /// How many bytes one exchange may bring in, heads included. 256 KiB by default.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lookup: Duration::from_secs(3),
            connect: Duration::from_secs(5),
            addresses_tried: 3,
            idle: Duration::from_mins(1),
            idle_per_host: 64,
            connection_age: Duration::from_mins(5),
            body_kept_bytes: BODY_KEPT_BYTES,
            answer_bytes: super::gate::BYTES_MAX,
        }
    }
}

/// What the pool asks for new connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<Dialler>);

struct Dialler {
    guard: Arc<Guard>,
    tls: TlsConnector,
    connect_limit: Duration,
    addresses_tried: usize,
    answer_bytes: usize,
}

impl Connector {
    pub(super) fn new(guard: Arc<Guard>, tls: ClientConfig, limits: &Limits) -> Connector {
        Connector(Arc::new(Dialler {
            guard,
            tls: TlsConnector::from(Arc::new(tls)),
            connect_limit: limits.connect,
            addresses_tried: limits.addresses_tried,
            answer_bytes: limits.answer_bytes,
        }))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Line>;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Line>, Fault>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let dialler = Arc::clone(&self.0);
        Box::pin(async move { dialler.dial(&origin).await.map(TokioIo::new) })
    }
}

impl Dialler {
    async fn dial(&self, origin: &Uri) -> Result<Line, Fault> {
        let began_at = Instant::now();
        // Read again from the text that is dialled, so that no other parser's view of it counts.
        let blocked = |refused: crate::RefusedAddress| Fault::new(Failure::BlockedAddress, refused.reason);
        let endpoint = self.guard.read(&origin.to_string()).map_err(blocked)?;
        let addresses = self.guard.addresses(&endpoint).await?;
        let resolved_at = Instant::now();

        let limit = resolved_at + self.connect_limit;
        let stream = self.connect(addresses, limit).await?;
        let (peer, local) = ends(&stream).map_err(|error| Fault::of_connect(&error))?;
        self.guard.check_connected(&endpoint, peer, local).map_err(blocked)?;
        let connected_at = Instant::now();

        let transport = self.shake_hands(&endpoint, stream, limit).await?;
        let named = matches!(endpoint.host(), Host::Name(_));
        let spent = Spent {
            dns: named.then(|| resolved_at - began_at),
            connect: connected_at - resolved_at,
            tls: endpoint.is_https().then(|| connected_at.elapsed()),
        };
        Ok(Line::new(transport, Established::new(peer.to_string(), began_at, spent), self.answer_bytes))
    }

    /// Tries the addresses one after another, each with a fair share of the time that is left.
    async fn connect(&self, addresses: Vec<SocketAddr>, limit: Instant) -> Result<TcpStream, Fault> {
        let mut addresses = families_in_turn(addresses);
        addresses.truncate(self.addresses_tried.max(1));
        let mut fault = Fault::new(Failure::ConnectError, "the host has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let shares = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = now + limit.saturating_duration_since(now) / shares;
            match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => fault = Fault::of_connect(&error),
                Err(_) => fault = Fault::late("no connection", self.connect_limit),
            }
        }
        Err(fault)
    }

    async fn shake_hands(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
        limit: Instant,
    ) -> Result<Transport, Fault> {
        if !endpoint.is_https() {
            return Ok(Transport::Plain(stream));
        }
        let stream = timeout_at(limit, self.tls.connect(server_name(endpoint.host())?, stream))
            .await
            .map_err(|_| Fault::late("no TLS handshake", self.connect_limit))?
            .map_err(|error| Fault::of_handshake(&error))?;
        Ok(Transport::Tls(Box::new(stream)))
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Fault> {
    match host {
        Host::Address(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| {
            Fault::new(Failure::TlsError, "the host is not a name that a certificate can be for")
        }),
    }
}

/// Peer and local address. Sets the socket to send at once: a request is one write and then a wait.
fn ends(stream: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    stream.set_nodelay(true)?;
    Ok((stream.peer_addr()?, stream.local_addr()?))
}

/// IPv4 and IPv6 in turn, each in the order given, so that a host with only one of them finds it among
/// the first few.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let count = addresses.len();
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    let mut turns = Vec::with_capacity(count);
    while turns.len() < count {
        turns.extend(v4.next());
        turns.extend(v6.next());
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_among_the_first_addresses() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().expect("a socket address")).collect()
        };
        let given = addresses(&["8.8.8.8:1", "8.8.4.4:1", "1.1.1.1:1", "[2000::1]:1", "[2000::2]:1"]);
        let expected = addresses(&["8.8.8.8:1", "[2000::1]:1", "8.8.4.4:1", "[2000::2]:1", "1.1.1.1:1"]);
        assert_eq!(families_in_turn(given), expected);
    }
}
