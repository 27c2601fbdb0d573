//! What removed subscriptions left behind: a removal cancels a bounded number of deliveries itself,
//! and the others are cancelled here, batch by batch.
//!
//! Nothing depends on how soon: nobody attempts the delivery of a subscription that is not there.
//! The store remembers which removals are not done, so a restart goes on with them.

use std::sync::Arc;
use std::time::Duration;

use angarium_store::Store;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// Deliveries cancelled in one transaction: bounds the time that it holds the writer.
const BATCH: u32 = 500;
/// Wait before a store that could not is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Told when a subscription was removed.
pub(crate) type Removals = Arc<Notify>;

pub(crate) async fn run(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    removals: Removals,
    stopped: CancellationToken,
) {
    loop {
        let begun_at = Instant::now();
        let wait = match store.cancel_removed(BATCH, clock.now()).await {
            // As long as it took: the writer is for others half of the time at least.
            Ok(true) => begun_at.elapsed(),
            Ok(false) => Duration::MAX,
            Err(error) => {
                tracing::warn!(%error, "deliveries of removed subscriptions are not cancelled yet; they are soon");
                AGAIN_AFTER
            }
        };
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = removals.notified(), if wait == Duration::MAX => {}
        }
    }
}
