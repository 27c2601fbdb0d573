//! What a run came to, in words that let somebody else repeat it.

use std::fmt;
use std::time::Duration;

use crate::checker::Violation;

/// How much of the product is under the weather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The dispatcher and the decisions alone.
    One,
    /// The whole engine over the memory store.
    Two,
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What was run.
    pub tier: Tier,
    /// With which seed.
    pub seed: u64,
    /// Stands for the whole story: equal seeds have equal digests.
    pub digest: u64,
    /// Promises that were not kept.
    pub violations: Vec<Violation>,
    /// The last part of the story, or all of it.
    pub story: Vec<String>,
    /// How much happened.
    pub figures: Figures,
}

/// How much happened in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Deliveries that were made.
    pub deliveries: usize,
    /// Requests that receivers saw.
    pub sends: usize,
    /// How often the process was killed.
    pub crashes: u32,
    /// How long it lasted in the simulated world.
    pub lasted: Duration,
}

/// The most violations that are shown: the first ones say what the others follow from.
const SHOWN_MAX: usize = 12;

impl Tier {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::One => "one",
            Tier::Two => "two",
        }
    }
}

impl Report {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { seed, figures, .. } = self;
        let tier = self.tier.as_str();
        let Figures { deliveries, sends, crashes, lasted } = figures;
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "tier {tier}, seed {seed}: {deliveries} deliveries, {sends} requests, {crashes} crashes in {} s",
            lasted.as_secs()
        )?;
        for violation in self.violations.iter().take(SHOWN_MAX) {
            writeln!(f, "  broken: {violation}")?;
        }
        if self.violations.len() > SHOWN_MAX {
            writeln!(f, "  and {} more", self.violations.len() - SHOWN_MAX)?;
        }
        if self.is_clean() {
            Ok(())
        } else {
            write!(f, "repeat with: cargo xtask sim --tier {tier} --seed {seed} -v")
        }
    }
}
