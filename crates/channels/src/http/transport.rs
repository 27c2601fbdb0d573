//! One connection: TCP or TLS, watched by the gate, and what is known about how it was made.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::gate::Gate;

/// The bytes' way.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection as the pool keeps it.
pub(super) struct Line {
    transport: Transport,
    gate: Gate,
    established: Arc<Established>,
}

/// How a connection came to be.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) remote_address: String,
    /// When its name began to be looked up.
    pub(super) began_at: Instant,
    /// When it could carry a request.
    pub(super) ready_at: Instant,
    pub(super) spent: Spent,
    reported: AtomicBool,
}

/// The time that each part took. What did not happen is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) dns: Option<Duration>,
    pub(super) connect: Duration,
    pub(super) tls: Option<Duration>,
}

impl Established {
    pub(super) fn new(remote_address: String, began_at: Instant, spent: Spent) -> Established {
        let reported = AtomicBool::new(false);
        Established { remote_address, began_at, ready_at: Instant::now(), spent, reported }
    }

    /// What was spent, for the first request that asks, and only if its own time covers it: a
    /// connection that another request began is not this one's cost.
    pub(super) fn spent_since(&self, started_at: Instant) -> Option<Spent> {
        let ours = self.began_at >= started_at && !self.reported.swap(true, Ordering::Relaxed);
        ours.then_some(self.spent)
    }
}

impl Line {
    pub(super) fn new(transport: Transport, established: Established, bytes_max: usize) -> Line {
        Line { transport, gate: Gate::new(bytes_max), established: Arc::new(established) }
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new().extra(Arc::clone(&self.established))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        Poll::Ready(self.gate.received(&buf.filled()[before..]).map_err(io::Error::other))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.gate.sent();
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.gate.sent();
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
