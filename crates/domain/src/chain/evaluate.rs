//! What a handle's rules decide upon a session's signals, and why.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::{Condition, Cooldown, DECISION_KEPT_MAX, Evidence, Name, Rule, Rulebook, When};
use crate::time::Timestamp;

/// A session's signals, laid out for many rules.
pub struct Board<'a> {
    by_key: HashMap<&'a Name, Vec<&'a Evidence>>,
    cooldowns: &'a [Cooldown],
    kept: Duration,
    now: Timestamp,
}

/// What was decided.
#[derive(Debug, PartialEq)]
pub struct Ruling<'a> {
    /// The rule that decides; none if none holds.
    pub rule: Option<&'a Rule>,
    /// The signals that it holds by, in their order.
    pub matched: Vec<Match>,
    /// Every rule that was tried, in order: the one that decides is the last.
    pub explained: Vec<Explained>,
    /// Until when the same rules upon the same signals decide the same, by the time that passes alone;
    /// [`DECISION_KEPT_MAX`] from now at most.
    pub valid_until: Timestamp,
}

/// A signal that a rule holds by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Its number in the session.
    pub sequence: u64,
    /// What kind of thing.
    pub key: Name,
}

/// What came of trying a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Which rule.
    pub rule_id: Name,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of trying a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds, and decides.
    Matched,
    /// It has decided in this session a while ago.
    CoolingDown {
        /// When it may decide again.
        until: Timestamp,
    },
    /// Something that it asks for is not so.
    Failed(Failure),
}

/// The first condition that was not as its group asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In which group.
    pub group: Group,
    /// Where in it.
    pub at: usize,
    /// Which kind of signal it is about.
    pub signal_key: Name,
    /// How many signals count.
    pub found: u32,
    /// How many are enough.
    pub needed: u32,
}

/// A group of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Each must hold.
    All,
    /// One must hold.
    Any,
    /// None may hold.
    None,
}

/// What one condition finds.
struct Found<'a> {
    condition: &'a Condition,
    count: u32,
}

impl<'a> Board<'a> {
    /// Lays out what a session holds at a time, where signals are kept for `kept`.
    pub fn new(
        evidence: &'a [Evidence],
        cooldowns: &'a [Cooldown],
        now: Timestamp,
        kept: Duration,
    ) -> Board<'a> {
        let mut by_key: HashMap<&Name, Vec<&Evidence>> = HashMap::new();
        for signal in evidence.iter().filter(|signal| now < signal.at + kept) {
            by_key.entry(&signal.key).or_default().push(signal);
        }
        Board { by_key, cooldowns, kept, now }
    }

    /// Tries the rules of a trigger in their order; the first that holds decides.
    pub fn rule<'b>(&self, rulebook: &'b Rulebook, trigger: &Name) -> Ruling<'b> {
        let mut ruling = Ruling {
            rule: None,
            matched: Vec::new(),
            explained: Vec::new(),
            valid_until: self.now + DECISION_KEPT_MAX,
        };
        for rule in rulebook.of_trigger(trigger) {
            let tried = self.tried(rule, &mut ruling.valid_until);
            let verdict = match tried {
                Ok(matched) => {
                    ruling.rule = Some(rule);
                    ruling.matched = matched.into_iter().collect();
                    Verdict::Matched
                }
                Err(verdict) => verdict,
            };
            ruling.explained.push(Explained { rule_id: rule.rule_id.clone(), verdict });
            if ruling.rule.is_some() {
                break;
            }
        }
        ruling
    }

    /// Tries one rule, and brings the time forward at which it would have to be tried again.
    fn tried(&self, rule: &Rule, valid_until: &mut Timestamp) -> Result<BTreeSet<Match>, Verdict> {
        let resting = self.cooldowns.iter().find(|it| it.rule_id == rule.rule_id && it.holds(self.now));
        if let Some(Cooldown { until, .. }) = resting {
            *valid_until = (*valid_until).min(*until);
            return Err(Verdict::CoolingDown { until: *until });
        }
        let enough = self.held(&rule.when, valid_until).map_err(Verdict::Failed)?;
        Ok(enough.into_iter().flat_map(|condition| self.matched(condition)).collect())
    }

    /// The conditions that a rule holds by, if it holds. Signals are only counted: most rules do not.
    fn held<'b>(
        &'b self,
        when: &'b When,
        valid_until: &mut Timestamp,
    ) -> Result<Vec<&'b Condition>, Failure> {
        for (at, condition) in when.all.iter().enumerate() {
            let found = self.look(condition, valid_until);
            if !found.is_enough() {
                return Err(found.failure(Group::All, at));
            }
        }
        for (at, condition) in when.none.iter().enumerate() {
            let found = self.look(condition, valid_until);
            if found.is_enough() {
                return Err(found.failure(Group::None, at));
            }
        }
        let found: Vec<Found<'_>> = when.any.iter().map(|it| self.look(it, valid_until)).collect();
        let enough = found.iter().filter(|found| found.is_enough()).map(|found| found.condition);
        let enough: Vec<&Condition> = enough.collect();
        match found.first() {
            Some(first) if enough.is_empty() => Err(first.failure(Group::Any, 0)),
            _ => Ok(when.all.iter().chain(enough).collect()),
        }
    }

    /// The signals that count for a condition now.
    fn look<'b>(&'b self, condition: &'b Condition, valid_until: &mut Timestamp) -> Found<'b> {
        let mut count = 0;
        for (_, old_at) in self.counted(condition) {
            *valid_until = (*valid_until).min(old_at);
            count += 1;
        }
        Found { condition, count }
    }

    fn matched(&self, condition: &Condition) -> impl Iterator<Item = Match> {
        self.counted(condition).map(|(it, _)| Match { sequence: it.sequence, key: it.key.clone() })
    }

    /// The signals that count, each with the time from which it does not.
    fn counted(&self, condition: &Condition) -> impl Iterator<Item = (&'a Evidence, Timestamp)> {
        let of_its_kind = self.by_key.get(&condition.signal_key).into_iter().flatten();
        of_its_kind.filter(|signal| condition.counts(signal)).filter_map(|signal| {
            let gone_at = signal.at + self.kept;
            let old_at = condition.old_at(signal).map_or(gone_at, |old_at| old_at.min(gone_at));
            (self.now < old_at).then_some((*signal, old_at))
        })
    }
}

impl Found<'_> {
    fn is_enough(&self) -> bool {
        self.count >= self.condition.min_count
    }

    fn failure(&self, group: Group, at: usize) -> Failure {
        Failure {
            group,
            at,
            signal_key: self.condition.signal_key.clone(),
            found: self.count,
            needed: self.condition.min_count,
        }
    }
}

impl Group {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::All => "all",
            Group::Any => "any",
            Group::None => "none",
        }
    }
}

impl Verdict {
    /// The word on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Matched => "matched",
            Verdict::CoolingDown { .. } => "cooling_down",
            Verdict::Failed(_) => "failed",
        }
    }
}
