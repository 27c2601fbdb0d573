//! What a store could not do, in kinds that say what to do next.

use angarium_domain::quota::Exhausted;

/// Why a call to a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same call may succeed later.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// For the log; never for a caller of the API.
        reason: String,
    },
    /// Nothing was written: what the call was decided upon has changed. Load again and decide again.
    #[error("what this write was decided upon has changed")]
    Conflict,
    /// Nothing was written: the lease is void. Drop the result.
    #[error("the lease was lost")]
    LeaseLost,
    /// Nothing was written: the handle's plan has no room for it today. Wait for the next day.
    #[error(transparent)]
    Exhausted(#[from] Box<Exhausted>),
    /// What was read makes no sense. Stop and call a human.
    #[error("the store is corrupt: {reason}")]
    Corrupt {
        /// For the log; never for a caller of the API.
        reason: String,
    },
}
