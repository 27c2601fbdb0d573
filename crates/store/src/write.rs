//! What a write carries besides its effect.

use angarium_domain::idempotency::Record;
use angarium_domain::quota::Draw;

pub use angarium_domain::audit::AuditEntry;

/// Written in the same transaction as the effect, or not at all.
#[derive(Default)]
pub struct Context {
    /// What to answer when the same write comes again.
    pub idempotency: Option<Record>,
    /// Who did it. The entry gets its place in the chain when it is written.
    pub audit: Option<AuditEntry>,
    /// What the write costs. If the day has no room for it, it is refused with
    /// [`StoreError::Exhausted`](crate::StoreError::Exhausted), unless its key was seen.
    pub draw: Option<Draw>,
}

/// What came of a write that may have been made before.
pub enum Written<T> {
    /// It was made now.
    Done(T),
    /// Its idempotency key is known: nothing was written. The caller compares the fingerprints.
    Seen(Record),
}
