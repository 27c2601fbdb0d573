//! All that a handle says of its chains: rules, which pages may ask, and what is published.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::rule::CONDITIONS_MAX;
use super::{Name, Origins, Rule};
use crate::time::Timestamp;

/// The most rules of a handle.
pub const RULES_MAX: usize = 100;
/// The most bytes of all rules of a handle together, as they are stored.
pub const RULES_BYTES_MAX: usize = 256 * 1024;

/// What a handle says of its chains. Changes as a whole.
#[derive(Debug, Clone, Default)]
pub struct Rulebook {
    /// The handle's version at which it last changed. 0: there never was one.
    pub version: u64,
    /// In the order in which they are tried.
    rules: Vec<Rule>,
    /// Where in `rules` those of a trigger are, in order.
    of_trigger: HashMap<Name, Vec<usize>>,
    /// Which pages may ask.
    pub origins: Origins,
    /// What is told to subscribers.
    pub publish: Publish,
    /// Whether nobody may ask or send without a credential.
    pub is_closed: bool,
    /// When it last changed; none if there never was one.
    pub updated_at: Option<Timestamp>,
}

/// What is published as events. Nothing, unless the handle says so: there may be very much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// Every signal, as `chain.signal.received`.
    pub signals: bool,
    /// Every decision that a rule made, as `chain.decision.resolved`.
    pub decisions: bool,
}

/// What is stored of a rulebook: everything but its version.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    rules: Vec<Rule>,
    origins: Origins,
    publish: Publish,
    #[serde(default)]
    is_closed: bool,
    updated_at: Option<Timestamp>,
}

/// Why rules were refused, and which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRulebook {
    /// There are too many.
    #[error("there are {count} rules, the limit is {RULES_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Two rules have one name.
    #[error("two rules are called {rule_id}")]
    Twice {
        /// The second one.
        at: usize,
        /// The name.
        rule_id: Name,
    },
    /// A rule asks for nothing.
    #[error("when must hold a condition in all, any or none")]
    EmptyWhen {
        /// Which rule.
        at: usize,
    },
    /// A rule asks for too much.
    #[error("when holds {count} conditions, the limit is {CONDITIONS_MAX}")]
    TooManyConditions {
        /// Which rule.
        at: usize,
        /// How many.
        count: usize,
    },
    /// All of them together are too large.
    #[error("the rules are {bytes} bytes together, the limit is {RULES_BYTES_MAX}")]
    TooLarge {
        /// How large they are.
        bytes: usize,
    },
}

impl Rulebook {
    /// The same rulebook with other rules, if they hold together.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn with_rules(
        &self,
        rules: Vec<Rule>,
        publish: Publish,
        now: Timestamp,
    ) -> Result<Rulebook, Vec<InvalidRulebook>> {
        let faults = faults_of(&rules);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Rulebook { publish, updated_at: Some(now), ..self.clone() }.ordered(rules))
    }

    /// The same rulebook for other pages.
    #[must_use]
    pub fn with_origins(&self, origins: Origins, now: Timestamp) -> Rulebook {
        Rulebook { origins, updated_at: Some(now), ..self.clone() }
    }

    /// The same rulebook of a handle that is closed to whoever has no credential, or open to them.
    #[must_use]
    pub fn closed(self, is_closed: bool) -> Rulebook {
        Rulebook { is_closed, ..self }
    }

    /// Every rule, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that answer to a trigger, in the order in which they are tried.
    pub fn of_trigger(&self, trigger: &Name) -> impl Iterator<Item = &Rule> {
        self.of_trigger.get(trigger).into_iter().flatten().map(|at| &self.rules[*at])
    }

    /// What a store keeps.
    pub fn to_stored(&self) -> Vec<u8> {
        let Rulebook { rules, origins, publish, is_closed, updated_at, .. } = self.clone();
        serde_json::to_vec(&Written { rules, origins, publish, is_closed, updated_at })
            .expect("a rulebook is JSON")
    }

    /// Takes back what [`Rulebook::to_stored`] gave.
    pub fn from_stored(version: u64, stored: &[u8]) -> Result<Rulebook, serde_json::Error> {
        let Written { rules, origins, publish, is_closed, updated_at } = serde_json::from_slice(stored)?;
        Ok(Rulebook { version, origins, publish, is_closed, updated_at, ..Rulebook::default() }
            .ordered(rules))
    }

    fn ordered(self, mut rules: Vec<Rule>) -> Rulebook {
        rules.sort_by(|one, other| {
            other.priority.cmp(&one.priority).then_with(|| one.rule_id.cmp(&other.rule_id))
        });
        let mut of_trigger: HashMap<Name, Vec<usize>> = HashMap::new();
        for (at, rule) in rules.iter().enumerate() {
            of_trigger.entry(rule.trigger.clone()).or_default().push(at);
        }
        Rulebook { rules, of_trigger, ..self }
    }
}

fn faults_of(rules: &[Rule]) -> Vec<InvalidRulebook> {
    let mut faults = Vec::new();
    if rules.len() > RULES_MAX {
        faults.push(InvalidRulebook::TooMany { count: rules.len() });
    }
    let mut names = HashSet::new();
    for (at, rule) in rules.iter().enumerate() {
        if !names.insert(&rule.rule_id) {
            faults.push(InvalidRulebook::Twice { at, rule_id: rule.rule_id.clone() });
        }
        match rule.when.conditions() {
            0 => faults.push(InvalidRulebook::EmptyWhen { at }),
            1..=CONDITIONS_MAX => {}
            count => faults.push(InvalidRulebook::TooManyConditions { at, count }),
        }
    }
    let bytes = serde_json::to_vec(rules).map_or(0, |text| text.len());
    if bytes > RULES_BYTES_MAX {
        faults.push(InvalidRulebook::TooLarge { bytes });
    }
    faults
}
