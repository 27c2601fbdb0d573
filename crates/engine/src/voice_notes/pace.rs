//! How slowly somebody may send: silence has an end, and so has a trickle.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;

use super::UploadError;

/// How much must come in each window: 4 KiB a second.
const BYTES_MIN: u64 = 4 * 1024 * WINDOW.as_secs();
const WINDOW: Duration = Duration::from_secs(30);

/// Holds a sender to a least rate. Counts the time that is waited for the sender, and not what the disk takes.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Duration,
    /// How long the sender was waited for in this window.
    waited: Duration,
    /// What came in this window.
    bytes: u64,
}

impl Pace {
    /// Waits so long for each piece, at most.
    pub(super) fn new(patience: Duration) -> Pace {
        Pace { patience, waited: Duration::ZERO, bytes: 0 }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// [`UploadError::Broken`] if it does not come, or if too little has come for a while.
    pub(super) async fn next<E>(
        &mut self,
        body: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    ) -> Result<Option<Bytes>, UploadError> {
        loop {
            let (left, begun_at) = (WINDOW.saturating_sub(self.waited), Instant::now());
            let piece = tokio::time::timeout(self.patience.min(left), body.next()).await;
            self.waited += begun_at.elapsed();
            match piece {
                Ok(None) => return Ok(None),
                Ok(Some(piece)) => {
                    let piece = piece.map_err(|_| UploadError::Broken)?;
                    self.bytes += piece.len() as u64;
                    self.judge()?;
                    return Ok(Some(piece));
                }
                Err(_) if self.patience <= left => return Err(UploadError::Broken),
                Err(_) => self.judge()?,
            }
        }
    }

    /// Begins another window if this one is over, and enough has come in it.
    fn judge(&mut self) -> Result<(), UploadError> {
        if self.waited < WINDOW {
            return Ok(());
        }
        if self.bytes < BYTES_MIN {
            return Err(UploadError::Broken);
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// How many pieces of so many bytes are taken, one a second, from a sender with a hundred of them.
    async fn taken(bytes: usize, patience: u64) -> usize {
        let body = stream::iter(0..100).then(|_| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Bytes::from(vec![0; bytes]))
        });
        let mut body = std::pin::pin!(body);
        let mut pace = Pace::new(Duration::from_secs(patience));
        let mut taken = 0;
        while let Ok(Some(_)) = pace.next(&mut body).await {
            taken += 1;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_little_all_the_time_is_not_waited_for() {
        assert_eq!(taken(4 * 1024 + 1, 30).await, 100);
        assert!((28..=30).contains(&taken(4 * 1024 - 200, 30).await));
        assert!((28..=30).contains(&taken(1, 30).await));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_given_up_before_the_window_is_over() {
        let begun_at = Instant::now();
        let mut body = stream::pending::<Result<Bytes, Infallible>>();
        let next = Pace::new(Duration::from_secs(5)).next(&mut body).await;
        assert!(matches!(next, Err(UploadError::Broken)));
        assert!(begun_at.elapsed() < Duration::from_secs(6));
    }
}
