//! A peer that does not read: how long we wait for it to take what we have written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that ends with an error when a write makes no progress for a while. Silence while
/// there is nothing to write is no stall, so answers that stream may pause as they like.
pub(super) struct Stalling<S> {
    stream: S,
    limit: Duration,
    /// Runs from the first write that had to wait until one is taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Stalling<S> {
        Stalling { stream, limit, stalled: None }
    }

    /// What came of trying to write: that it must wait is an error once it has waited for too long.
    fn judge<T>(&mut self, tried: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.stalled = None;
            return tried;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        let seconds = limit.as_secs();
        let message = format!("the peer has taken nothing for {seconds} s");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(tried, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(tried, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(tried, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(tried, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_ends_with_an_error_after_the_limit() {
        let (ours, _theirs) = duplex(16);
        let began_at = tokio::time::Instant::now();
        let written = Stalling::new(ours, LIMIT).write_all(&[7; 64]).await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        assert_eq!(began_at.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for_as_long_as_it_reads() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Stalling::new(ours, LIMIT);
        let reading = async {
            let mut taken = [0; 16];
            for _ in 0..4 {
                sleep(Duration::from_secs(29)).await;
                theirs.read_exact(&mut taken).await.expect("more");
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[7; 64]), reading);
        written.expect("it is all taken");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_with_nothing_to_write_is_no_stall() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Stalling::new(ours, LIMIT);
        for _ in 0..3 {
            sleep(LIMIT * 10).await;
            ours.write_all(b"still here").await.expect("it is taken");
            theirs.read_exact(&mut [0; 10]).await.expect("words");
        }
    }
}
