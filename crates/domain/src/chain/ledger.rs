//! The ledger of a session: signals in the order in which they came, and which rules rest.

use super::signal::{Confidence, Value};
use super::{Name, SIGNALS_PER_SESSION_MAX, Signal};
use crate::ids::DecisionId;
use crate::time::Timestamp;

/// How far a ledger has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The number of the last signal; 0 if there is none. Signals that expire leave it as it is, until the
    /// last of them goes and the session with it.
    pub sequence: u64,
    /// How many signals the ledger holds.
    pub signals: u32,
}

/// A signal in its place. Never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its number in the session, from 1, without gaps.
    pub sequence: u64,
    /// When it came.
    pub at: Timestamp,
    /// What came.
    pub signal: Signal,
}

/// What rules look at of a recorded signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Its number in the session.
    pub sequence: u64,
    /// When it came.
    pub at: Timestamp,
    /// What kind of thing.
    pub key: Name,
    /// What it was worth.
    pub value: Option<Value>,
    /// How sure it is.
    pub confidence: Confidence,
}

/// A rule that has decided in a session, and rests there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// Which rule.
    pub rule_id: Name,
    /// What it decided last.
    pub decision_id: DecisionId,
    /// When it did.
    pub decided_at: Timestamp,
    /// When it may decide again.
    pub until: Timestamp,
}

/// The session has no room for these signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the session holds {held} signals and {more} more were sent, the limit is {SIGNALS_PER_SESSION_MAX}; {} fit now",
    SIGNALS_PER_SESSION_MAX.saturating_sub(*.held)
)]
pub struct SessionFull {
    /// How many it holds.
    pub held: u32,
    /// How many were to be added.
    pub more: usize,
}

impl SessionFull {
    /// How many signals must go, oldest first, before these fit.
    pub fn to_go(&self) -> usize {
        (self.held as usize + self.more).saturating_sub(SIGNALS_PER_SESSION_MAX as usize)
    }
}

impl Progress {
    /// Puts signals at the end: all of them, or none.
    pub fn record(
        self,
        signals: Vec<Signal>,
        now: Timestamp,
    ) -> Result<(Progress, Vec<Recorded>), SessionFull> {
        let more = signals.len();
        let held = self.signals;
        let sum = u32::try_from(more).ok().and_then(|more| held.checked_add(more));
        let Some(signals_then) = sum.filter(|sum| *sum <= SIGNALS_PER_SESSION_MAX) else {
            return Err(SessionFull { held, more });
        };
        let next = Progress { sequence: self.sequence + more as u64, signals: signals_then };
        let numbered = (self.sequence + 1..).zip(signals);
        let recorded = numbered.map(|(sequence, signal)| Recorded { sequence, at: now, signal }).collect();
        Ok((next, recorded))
    }
}

impl Recorded {
    /// What rules look at.
    pub fn evidence(&self) -> Evidence {
        let Signal { key, value, confidence, .. } = &self.signal;
        Evidence {
            sequence: self.sequence,
            at: self.at,
            key: key.clone(),
            value: value.clone(),
            confidence: *confidence,
        }
    }
}

impl Cooldown {
    /// Whether the rule still rests.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(count: usize) -> Vec<Signal> {
        let signal = Signal {
            key: "view".parse().expect("a name"),
            value: None,
            confidence: Confidence::CERTAIN,
            source: None,
            metadata: None,
        };
        vec![signal; count]
    }

    #[test]
    fn signals_are_numbered_on_from_the_last() {
        let at = Timestamp::from_seconds(1);
        let (next, recorded) = Progress { sequence: 7, signals: 3 }.record(signals(2), at).expect("room");
        assert_eq!(next, Progress { sequence: 9, signals: 5 });
        assert_eq!(recorded.iter().map(|it| it.sequence).collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn a_session_takes_two_hundred_signals_and_all_of_a_request_or_none() {
        let at = Timestamp::from_seconds(1);
        let nearly = Progress { sequence: 300, signals: 198 };
        assert!(nearly.record(signals(2), at).is_ok());
        let full = SessionFull { held: 198, more: 3 };
        assert_eq!(nearly.record(signals(3), at), Err(full));
        assert_eq!(full.to_go(), 1);
        assert!(full.to_string().ends_with("the limit is 200; 2 fit now"), "{full}");
    }
}
