//! Tier one: the dispatcher and the decisions alone, in a world without a runtime.
//!
//! One loop owns the time, a naive queue and the machine, so that a seed takes milliseconds.

mod queue;
pub(crate) mod scene;
mod watch;
mod world;

use crate::checker;
use crate::report::{Figures, Report, Tier};

/// A way in which the world can break a promise, to show that the checker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Settlements are acknowledged and not written.
    ForgetSettlement,
    /// Attempts are not logged.
    ForgetRecord,
    /// Every request goes out twice.
    SendTwice,
    /// Retries are due at once.
    TooSoon,
    /// A 5xx is taken for a refusal.
    WrongClass,
    /// Claims lease and never come back.
    SwallowClaims,
    /// What has an ordering key waits for nobody.
    Disorder,
    /// The dispatcher does not learn of pauses.
    HidePause,
    /// The dispatcher does not learn of rates.
    HideRate,
    /// The dispatcher does not learn of concurrency limits.
    HideConcurrency,
}

/// Runs one seed.
pub fn run(seed: u64, whole_story: bool, lie: Option<Lie>) -> Report {
    let mut world = scene::world(seed, whole_story, lie);
    world.go();
    let lasted = world.lasted();
    let (evidence, story, watch, deliveries) = world.into_evidence();
    let mut violations = watch.violations;
    violations.extend(checker::judge_deliveries(&evidence));
    let figures = Figures { deliveries, sends: evidence.sends.len(), crashes: evidence.crashes, lasted };
    Report { tier: Tier::One, seed, digest: story.digest(), violations, story: story.into_lines(), figures }
}

#[cfg(test)]
mod tests;
