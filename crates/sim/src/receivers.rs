//! Receivers as they are: healthy, slow, flaky, silent, away for a while, or gone.

use std::time::Duration;

use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::time::Timestamp;

use crate::chance::Chance;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// 200 within 50 ms.
    Healthy,
    /// 204 after one to eight seconds.
    Slow,
    /// Every third request fails in some way that is worth another attempt.
    Flaky,
    /// Any status from 200 to 599.
    AnyStatus,
    /// Half of the requests are 429 or 503 with a `Retry-After`.
    Busy,
    /// Says nothing until the deadline.
    Hanging,
    /// Refuses connections.
    Refusing,
    /// Refuses connections until a time, then is healthy.
    AwayUntil(Timestamp),
}

/// What a receiver does with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaction {
    /// How long it takes.
    pub after: Duration,
    /// What it comes to.
    pub outcome: Outcome,
}

impl Behaviour {
    /// Some behaviour; away for a while from `now` on, if it is that.
    pub fn any(chance: &mut Chance, now: Timestamp) -> Behaviour {
        match chance.within(0..=11) {
            0..=3 => Behaviour::Healthy,
            4 => Behaviour::Slow,
            5 | 6 => Behaviour::Flaky,
            7 => Behaviour::AnyStatus,
            8 => Behaviour::Busy,
            9 => Behaviour::Hanging,
            10 => Behaviour::Refusing,
            _ => Behaviour::AwayUntil(now + chance.millis(5_000..=240_000)),
        }
    }

    /// What it does with a request that arrives at `now` and is waited for until `deadline`.
    pub fn react(self, chance: &mut Chance, now: Timestamp, deadline: Duration) -> Reaction {
        let quickly = chance.millis(1..=50);
        match self {
            Behaviour::Slow => answer(chance.millis(1_000..=8_000), 204),
            Behaviour::Flaky if chance.percent(66) => answer(quickly, 200),
            Behaviour::Flaky => flake(chance, quickly),
            Behaviour::AnyStatus => answer(quickly, chance.within(200..=599) as u16),
            Behaviour::Busy if chance.percent(50) => answer(quickly, 202),
            Behaviour::Busy => busy(chance, quickly),
            Behaviour::Hanging => failure(deadline, Failure::Timeout),
            Behaviour::Refusing => failure(quickly, Failure::ConnectError),
            Behaviour::AwayUntil(back) if now < back => failure(quickly, Failure::ConnectError),
            Behaviour::Healthy | Behaviour::AwayUntil(_) => answer(quickly, 200),
        }
        .within(deadline)
    }
}

impl Reaction {
    /// What is left of it for somebody who waits no longer than `deadline`.
    fn within(self, deadline: Duration) -> Reaction {
        if self.after < deadline { self } else { failure(deadline, Failure::Timeout) }
    }
}

fn answer(after: Duration, status: u16) -> Reaction {
    Reaction { after, outcome: Outcome::Answered { status, retry_after_seconds: None } }
}

fn failure(after: Duration, failure: Failure) -> Reaction {
    Reaction { after, outcome: Outcome::Failed { failure } }
}

fn flake(chance: &mut Chance, quickly: Duration) -> Reaction {
    const FAILURES: [Failure; 5] = [
        Failure::DnsError,
        Failure::ConnectError,
        Failure::TlsError,
        Failure::ProtocolError,
        Failure::ConnectionLost,
    ];
    if chance.percent(50) {
        failure(quickly, *chance.pick(&FAILURES))
    } else {
        answer(quickly, *chance.pick(&[500, 502, 503, 504, 408, 409, 425, 429]))
    }
}

fn busy(chance: &mut Chance, quickly: Duration) -> Reaction {
    // Now and then somebody asks for more than the age of the universe.
    let forever = chance.percent(2);
    let asked = if forever { u64::MAX } else { *chance.pick(&[0, 1, 7, 30, 90, 600]) };
    let status = *chance.pick(&[429, 503]);
    Reaction { after: quickly, outcome: Outcome::Answered { status, retry_after_seconds: Some(asked) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    #[test]
    fn nobody_is_waited_for_beyond_the_deadline() {
        let mut chance = Chance::seeded(3);
        for _ in 0..500 {
            let behaviour = Behaviour::any(&mut chance, NOON);
            let reaction = behaviour.react(&mut chance, NOON, Duration::from_secs(2));
            assert!(reaction.after <= Duration::from_secs(2), "{behaviour:?} {reaction:?}");
        }
    }

    #[test]
    fn who_was_away_comes_back() {
        let away = Behaviour::AwayUntil(NOON);
        let mut chance = Chance::seeded(1);
        let mut at = |now| away.react(&mut chance, now, Duration::from_secs(2)).outcome.status();
        assert_eq!(at(NOON.saturating_sub(Duration::from_millis(1))), None);
        assert_eq!(at(NOON), Some(200));
    }
}
