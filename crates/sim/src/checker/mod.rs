//! The promises, as code: each looks at the evidence of a run and says what broke it.
//!
//! The checker knows the contract and not the product: its tables are its own, so that a mistake
//! in the product's is found and not repeated.

mod deliveries;
mod events;
mod inboxes;
mod lanes;

use std::fmt;

use crate::evidence::Evidence;

/// Something that was promised, and the way to find out that it was not kept.
struct Promise {
    name: &'static str,
    broken: fn(&Evidence) -> Vec<String>,
}

/// What holds for deliveries, whatever carries them.
const OF_DELIVERIES: &[Promise] = &[
    Promise { name: "I3 termination", broken: deliveries::termination },
    Promise { name: "I4 attempt bound", broken: deliveries::attempt_bound },
    Promise { name: "I5 schedule", broken: deliveries::schedule },
    Promise { name: "I7 classification", broken: deliveries::classification },
    Promise { name: "I9 exclusivity", broken: deliveries::exclusivity },
    Promise { name: "I11 attempts listed", broken: deliveries::attempts_listed },
    Promise { name: "interruptions", broken: deliveries::interruptions },
    Promise { name: "order", broken: lanes::order },
    Promise { name: "rate", broken: lanes::rate },
    Promise { name: "concurrency", broken: lanes::concurrency },
    Promise { name: "silence of paused and removed lanes", broken: lanes::silence },
    Promise { name: "I8 isolation", broken: lanes::isolation },
];

/// What holds for events and for those who publish them.
const OF_EVENTS: &[Promise] = &[
    Promise { name: "I1 durability", broken: events::durability },
    Promise { name: "I2 no invention", broken: events::no_invention },
    Promise { name: "I6 identity", broken: events::identity },
    Promise { name: "consistent snapshot", broken: events::address },
    Promise { name: "I10 idempotency", broken: events::idempotency },
    Promise { name: "I11 terminal failures", broken: events::terminal_failures },
    Promise { name: "I11 counters", broken: events::counters },
    Promise { name: "replays", broken: events::replays },
    Promise { name: "inboxes", broken: inboxes::items },
];

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What happened instead.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// The broken ones of the promises about deliveries.
pub fn judge_deliveries(evidence: &Evidence) -> Vec<Violation> {
    judge(OF_DELIVERIES, evidence)
}

/// The broken ones of all promises.
pub fn judge_all(evidence: &Evidence) -> Vec<Violation> {
    let mut broken = judge(OF_EVENTS, evidence);
    broken.extend(judge(OF_DELIVERIES, evidence));
    broken
}

fn judge(promises: &[Promise], evidence: &Evidence) -> Vec<Violation> {
    let each = promises.iter().flat_map(|promise| {
        let broken = (promise.broken)(evidence).into_iter();
        broken.map(|what| Violation { promise: promise.name, what })
    });
    each.collect()
}
