//! The weather: worlds with virtual time, and the promises of the product as code.
//!
//! A seed decides everything that happens: who publishes, how receivers behave, when the process is
//! killed and when its store fails. Tier one drives the dispatcher and the decisions alone; tier two
//! runs the real loops of the engine. Both hand what was told, seen and stored to the [`checker`].

pub mod chance;
pub mod checker;
pub mod evidence;
pub mod receivers;
pub mod report;
pub mod story;
pub mod tier_one;
pub mod tier_two;

pub use report::{Figures, Report, Tier};

/// Runs one seed, and keeps the whole story if it is wanted.
pub fn run(tier: Tier, seed: u64, whole_story: bool) -> Report {
    match tier {
        Tier::One => tier_one::run(seed, whole_story, None),
        Tier::Two => tier_two::run(seed, whole_story, None),
    }
}
