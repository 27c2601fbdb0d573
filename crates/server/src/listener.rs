//! The accept loop: deadlines, limits and an orderly end.
//!
//! Our own because `axum::serve` installs no timer, and without one there is no
//! limit on how long a peer may take over its request's head.

mod seats;
mod stall;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peer::{Peer, Proxies};

use seats::{Seat, Seats};
use stall::Stalling;

/// How long to wait when the process has no file descriptor left for another connection.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The limits of the listener.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// The most connections at a time; more are closed at once.
    pub connections_max: usize,
    /// The most connections of one address; more are closed at once.
    pub connections_per_address_max: usize,
    /// Who may have more than an address has, because many come through it.
    pub proxies: Proxies,
    /// How long the head of a request may take, and how long a connection may idle.
    pub header_timeout: Duration,
    /// The largest head of a request.
    pub header_bytes_max: usize,
    /// How long a peer may take nothing of an answer.
    pub write_timeout: Duration,
}

/// A listening socket and the loop that serves it.
pub struct Listener {
    address: SocketAddr,
    stopping: CancellationToken,
    serving: TaskTracker,
}

struct Loop {
    socket: TcpListener,
    router: Router,
    http: http1::Builder,
    seats: Seats,
    write_timeout: Duration,
    connections: TaskTracker,
    graceful: GracefulShutdown,
}

impl Listener {
    /// Binds an address. Connections wait in the socket's queue until [`Listener::serve`].
    pub async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    }

    /// Serves requests until [`Listener::stop`].
    pub fn serve(socket: TcpListener, router: Router, limits: ListenerLimits) -> io::Result<Listener> {
        let address = socket.local_addr()?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes_max)
            .half_close(false);
        let (stopping, serving) = (CancellationToken::new(), TaskTracker::new());
        let accepting = Loop {
            socket,
            router,
            http,
            seats: Seats::new(limits.connections_max, limits.connections_per_address_max, limits.proxies),
            write_timeout: limits.write_timeout,
            connections: serving.clone(),
            graceful: GracefulShutdown::new(),
        };
        serving.spawn(accepting.run(stopping.clone()));
        Ok(Listener { address, stopping, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, lets the requests under way end, and waits for them up to `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.stopping.cancel();
        self.serving.close();
        if tokio::time::timeout(grace, self.serving.wait()).await.is_err() {
            tracing::warn!("connections were still open at the end of the grace and are cut");
        }
    }
}

impl Loop {
    async fn run(self, stopping: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, Peer(peer.ip())),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
        // The socket closes first, so that whoever comes now is told at once.
        let Loop { socket, graceful, .. } = self;
        drop(socket);
        graceful.shutdown().await;
    }

    fn serve(&self, stream: TcpStream, peer: Peer) {
        let Some(seat) = self.seats.take(peer) else {
            tracing::debug!("a connection was refused: all seats are taken, or all of its address");
            return;
        };
        // Answers are written whole: waiting for more would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let service = Introduced { service: TowerToHyperService::new(self.router.clone()), peer };
        let stream = TokioIo::new(Stalling::new(stream, self.write_timeout));
        let connection = self.graceful.watch(self.http.serve_connection(stream, service));
        self.connections.spawn(hold(seat, connection));
    }
}

/// The routes, for one connection: its requests say where they come from.
struct Introduced {
    service: TowerToHyperService<Router>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Introduced {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

/// Keeps a connection's seat until the connection ends.
async fn hold(seat: Seat, connection: impl Future<Output = Result<(), hyper::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(seat);
}
