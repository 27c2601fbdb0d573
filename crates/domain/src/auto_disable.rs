//! Switching a subscription off after long failing, for those who asked for it (decisions/0017).
//!
//! Judged at attempts and at no other time: a subscription without traffic loses nothing by staying
//! on, and nobody knows how its receiver is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::{Failure, Outcome};
use crate::time::Timestamp;

/// How long a subscription that asked for it may fail, in hours, when its owner names no number.
pub const AFTER_HOURS_DEFAULT: u32 = 120;
/// The hours that its owner may name.
pub const AFTER_HOURS: std::ops::RangeInclusive<u32> = 1..=720;

/// The wish to be switched off after long failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoDisable {
    /// Hours of nothing but failures.
    pub after_hours: u32,
}

/// A time of nothing but failures. It begins with a failed attempt and ends with the next success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When the first of them was settled.
    pub since: Timestamp,
    /// When its owner was told, at half of the time.
    pub warned_at: Option<Timestamp>,
}

/// What an attempt changes about an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing, as for every attempt of a healthy receiver.
    Unchanged,
    /// It is the first failure.
    Began(Outage),
    /// Half of the time has passed: the owner is to be told.
    Warned(Outage),
    /// All of it has passed: the subscription is to be switched off.
    Expired(Outage),
    /// It is a success.
    Ended,
}

impl AutoDisable {
    /// Judges one attempt.
    ///
    /// Whoever is switched off was warned half of the time before, however rarely attempts are made.
    pub fn observe(self, outage: Option<Outage>, outcome: Outcome, now: Timestamp) -> Turn {
        match (succeeded(outcome), outage) {
            (Some(true), Some(_)) => Turn::Ended,
            (Some(false), None) => Turn::Began(Outage { since: now, warned_at: None }),
            (Some(false), Some(outage)) => self.judge(outage, now),
            (None, _) | (Some(true), None) => Turn::Unchanged,
        }
    }

    fn judge(self, outage: Outage, now: Timestamp) -> Turn {
        match outage.warned_at {
            None if now.since(outage.since) >= self.half() => {
                Turn::Warned(Outage { warned_at: Some(now), ..outage })
            }
            Some(_) if self.ends_at(outage).is_some_and(|end| now >= end) => Turn::Expired(outage),
            None | Some(_) => Turn::Unchanged,
        }
    }

    /// When a subscription is switched off whose owner was told of the outage, if nothing changes.
    pub fn ends_at(self, outage: Outage) -> Option<Timestamp> {
        outage.warned_at.map(|warned_at| warned_at + self.half())
    }

    /// From the first failure to the warning, and from the warning to the end.
    fn half(self) -> Duration {
        Duration::from_hours(self.after_hours.into()) / 2
    }
}

/// None if the fault was ours.
fn succeeded(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Answered { status, .. } => Some((200..300).contains(&status)),
        Outcome::Replied { code, .. } => Some((200..400).contains(&code)),
        Outcome::Failed {
            failure:
                Failure::InternalError | Failure::Interrupted | Failure::NotConfigured | Failure::Suppressed,
        } => None,
        Outcome::Stored => Some(true),
        Outcome::Failed { .. } => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_DAYS: AutoDisable = AutoDisable { after_hours: AFTER_HOURS_DEFAULT };

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_seconds: None }
    }

    const SILENCE: Outcome = Outcome::Failed { failure: Failure::ConnectError };

    /// Lives through attempts, each at an hour, and tells what was said at which.
    fn story(
        wish: AutoDisable,
        attempts: impl IntoIterator<Item = (i64, Outcome)>,
    ) -> Vec<(i64, &'static str)> {
        let mut outage = None;
        let mut told = Vec::new();
        for (hour, outcome) in attempts {
            let turn = wish.observe(outage, outcome, Timestamp::from_seconds(hour * 3600));
            let word = match turn {
                Turn::Unchanged => continue,
                Turn::Began(begun) => {
                    outage = Some(begun);
                    "began"
                }
                Turn::Warned(warned) => {
                    outage = Some(warned);
                    "warned"
                }
                Turn::Expired(_) => "expired",
                Turn::Ended => {
                    outage = None;
                    "ended"
                }
            };
            told.push((hour, word));
            if word == "expired" {
                break;
            }
        }
        told
    }

    #[test]
    fn the_owner_is_warned_at_half_of_the_time_and_the_end_comes_at_its_end() {
        let hourly = (10..).map(|hour| (hour, SILENCE));
        assert_eq!(story(FIVE_DAYS, hourly), [(10, "began"), (70, "warned"), (130, "expired")]);
    }

    #[test]
    fn one_success_begins_the_count_anew() {
        let but_one = (0..).map(|hour| (hour, if hour == 119 { answered(204) } else { answered(500) }));
        assert_eq!(
            story(FIVE_DAYS, but_one),
            [(0, "began"), (60, "warned"), (119, "ended"), (120, "began"), (180, "warned"), (240, "expired")]
        );
    }

    #[test]
    fn whoever_is_rarely_called_is_warned_first_and_has_half_of_the_time_left() {
        let weekly = [0, 168, 169, 227, 228].map(|hour| (hour, SILENCE));
        assert_eq!(story(FIVE_DAYS, weekly), [(0, "began"), (168, "warned"), (228, "expired")]);
    }

    #[test]
    fn a_healthy_receiver_never_makes_a_turn() {
        assert_eq!(story(FIVE_DAYS, (0..1_000).map(|hour| (hour, answered(200)))), []);
    }

    #[test]
    fn faults_of_ours_neither_begin_nor_end_an_outage() {
        let ours = |failure| Outcome::Failed { failure };
        let attempts = [(0, ours(Failure::InternalError)), (1, SILENCE), (61, ours(Failure::Interrupted))];
        assert_eq!(story(FIVE_DAYS, attempts), [(1, "began")]);
    }

    #[test]
    fn every_answer_but_a_success_is_a_failure() {
        for status in 200..=599 {
            let began = story(FIVE_DAYS, [(0, answered(status))]) == [(0, "began")];
            assert_eq!(began, !(200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn the_shortest_and_the_longest_time_are_kept() {
        for after_hours in [*AFTER_HOURS.start(), *AFTER_HOURS.end()] {
            let wish = AutoDisable { after_hours };
            let end = Timestamp::from_seconds(0) + Duration::from_hours(after_hours.into());
            let outage = Outage {
                since: Timestamp::from_seconds(0),
                warned_at: Some(end.saturating_sub(wish.half())),
            };
            assert_eq!(wish.observe(Some(outage), SILENCE, end), Turn::Expired(outage));
            let before = end.saturating_sub(Duration::from_millis(1));
            assert_eq!(wish.observe(Some(outage), SILENCE, before), Turn::Unchanged);
        }
    }
}
