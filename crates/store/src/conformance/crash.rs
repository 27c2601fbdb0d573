//! What an engine must remember when its process is gone.

use super::agreement::{RandomHistory, visible};
use crate::Store;
use crate::memory::MemoryStore;

/// Lives through a random history; after every call looks at what a new process would find.
///
/// `after_a_crash` gives a second store on what the first has on disk at that moment, as if the
/// first had been killed, with something to keep while it is looked at.
pub async fn whatever_was_answered_is_there_after_a_crash<S: Store, K>(
    store: &dyn Store,
    seed: u64,
    steps: u32,
    after_a_crash: impl Fn() -> (K, S),
) {
    let reference = MemoryStore::new();
    let mut history = RandomHistory::new(seed);
    for step in 0..steps {
        let done = history.step(&reference, store).await;
        let (_kept, reopened) = after_a_crash();
        let (expected, found) = (visible(&reference).await, visible(&reopened).await);
        assert!(expected == found, "seed {seed}, step {step}, after {done}:\n{expected}\nbut\n{found}");
    }
}
