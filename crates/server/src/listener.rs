//! The accept loop: deadlines, limits and an orderly end.
//!
//! Our own because `axum::serve` installs no timer, and without one there is no
//! limit on how long a peer may take over its request's head.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait when the process has no file descriptor left for another connection.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection that a request came over: a proxy, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The limits of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// The most connections at a time; more are closed at once.
    pub connections_max: usize,
    /// How long the head of a request may take, and how long a connection may idle.
    pub header_timeout: Duration,
    /// The largest head of a request.
    pub header_bytes_max: usize,
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
    seats: Arc<Semaphore>,
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
            seats: Arc::new(Semaphore::new(limits.connections_max)),
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
                Ok((stream, peer)) => self.serve(stream, peer.ip()),
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

    fn serve(&self, stream: TcpStream, peer: IpAddr) {
        let Ok(seat) = self.seats.clone().try_acquire_owned() else {
            tracing::debug!("a connection was refused: all seats are taken");
            return;
        };
        // Answers are written whole: waiting for more would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.call(request)
        });
        let connection = self.graceful.watch(self.http.serve_connection(TokioIo::new(stream), service));
        self.connections.spawn(hold(seat, connection));
    }
}

/// Keeps a connection's seat until the connection ends.
async fn hold(seat: OwnedSemaphorePermit, connection: impl Future<Output = Result<(), hyper::Error>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(seat);
}
