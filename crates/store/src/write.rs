//! What a write carries besides its effect.

use angarium_domain::handle::Handle;
use angarium_domain::idempotency::Record;
use angarium_domain::time::Timestamp;

/// Written in the same transaction as the effect, or not at all.
#[derive(Default)]
pub struct Context {
    /// What to answer when the same write comes again.
    pub idempotency: Option<Record>,
    /// Who did it.
    pub audit: Option<AuditEntry>,
}

/// One line of the audit log. Append-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// In whose account.
    pub handle: Handle,
    /// Who: a token's id or a JWT's subject.
    pub actor: String,
    /// What, as `noun.verb`.
    pub action: &'static str,
    /// To what: an id.
    pub object: String,
    /// The request that asked for it.
    pub request_id: String,
}

/// What came of a write that may have been made before.
pub enum Written<T> {
    /// It was made now.
    Done(T),
    /// Its idempotency key is known: nothing was written. The caller compares the fingerprints.
    Seen(Record),
}
