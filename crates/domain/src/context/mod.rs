//! The context store: a handle's documents, cut into pieces that can be searched.
//!
//! Pure: what a source is, what a sync may do to it, what becomes of a document's bytes, and what a
//! search looks for. Fetching is the channels' work, keeping the store's
//! ([decision 0034](../../../../decisions/0034-context-store.md)).

pub mod chunk;
pub mod document;
mod leaves;
pub mod search;
pub mod source;
pub mod sync;

pub use chunk::Chunk;
pub use document::{Document, MediaType};
pub use source::{Config, Source, Status};
pub use sync::{Reason, SyncFailure};
