//! Random bits, in one place.

use angarium_domain::ids::{Id, Kind};
use angarium_domain::time::Timestamp;

/// Where random bits come from.
pub trait IdSource: Send + Sync {
    /// The random part of an id.
    fn random(&self) -> [u8; 10];

    /// A signing key or a token's secret: nobody may guess it.
    fn key(&self) -> [u8; 32];
}

/// The cryptographic generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn random(&self) -> [u8; 10] {
        fill()
    }

    fn key(&self) -> [u8; 32] {
        fill()
    }
}

fn fill<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A new id, made at `now`.
pub fn new_id<K: Kind>(ids: &dyn IdSource, now: Timestamp) -> Id<K> {
    Id::new(now, ids.random())
}
