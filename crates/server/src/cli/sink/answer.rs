//! The body of an answer: all at once, or a byte a second.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Interval;

/// How many bytes drip before an answer ends: an hour of them.
const DRIPS: u32 = 3_600;
const DRIP_EVERY: Duration = Duration::from_secs(1);

/// What is sent after the headers.
pub(super) enum Answer {
    /// These bytes.
    Whole(Bytes),
    /// A dot at a time.
    Drip { left: u32, pace: Interval },
}

impl Answer {
    /// Nothing.
    pub(super) fn empty() -> Answer {
        Answer::Whole(Bytes::new())
    }

    /// A body that keeps its reader waiting for an hour.
    pub(super) fn drip() -> Answer {
        Answer::Drip { left: DRIPS, pace: tokio::time::interval(DRIP_EVERY) }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Answer::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Answer::Drip { left: 0, .. } => Poll::Ready(None),
            Answer::Drip { left, pace } => {
                ready!(pace.poll_tick(context));
                *left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b".")))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Answer::Drip { .. } => SizeHint::default(),
        }
    }
}
