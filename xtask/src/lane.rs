//! The receivers of a trial: each is a path with a temper, and knows how deliveries to it may end.

use std::{fmt, time::Duration};

use hyper::StatusCode;

use crate::receiver::Reply;

/// One subscription's receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Takes everything at once.
    Steady,
    /// Is too busy for every third new event, and takes it when it comes again. Were it too busy for all
    /// of them, it could not be told from a receiver that is down, and would rightly be left alone.
    Flaky,
    /// Takes everything after a third of a second.
    Slow,
    /// Has gone: 404, terminal at once.
    Gone,
}

/// How deliveries to a lane must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Delivered,
    /// Given up, and for this reason alone.
    Dead {
        reason: &'static str,
    },
}

impl Lane {
    /// Every lane.
    pub(crate) const ALL: &[Lane] = &[Lane::Steady, Lane::Flaky, Lane::Slow, Lane::Gone];

    /// Its name, and its path after the slash.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Lane::Steady => "steady",
            Lane::Flaky => "flaky",
            Lane::Slow => "slow",
            Lane::Gone => "gone",
        }
    }

    /// The lane that listens at a path.
    pub(crate) fn at(path: &str) -> Option<Lane> {
        let name = path.strip_prefix('/')?;
        Lane::ALL.iter().copied().find(|lane| lane.name() == name)
    }

    /// How deliveries to it must end.
    pub(crate) fn end(self) -> End {
        match self {
            Lane::Steady | Lane::Flaky | Lane::Slow => End::Delivered,
            Lane::Gone => End::Dead { reason: "terminal_status" },
        }
    }

    /// What it answers to its n-th new event, or to one that it has seen before.
    pub(crate) fn reply(self, newcomer: Option<usize>) -> Reply {
        match self {
            Lane::Flaky if newcomer.is_some_and(|nth| nth.is_multiple_of(3)) => {
                Reply::Now(StatusCode::SERVICE_UNAVAILABLE)
            }
            Lane::Steady | Lane::Flaky => Reply::Now(StatusCode::OK),
            Lane::Slow => Reply::After(Duration::from_millis(300), StatusCode::OK),
            Lane::Gone => Reply::Now(StatusCode::NOT_FOUND),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_found_at_its_own_path() {
        for lane in Lane::ALL {
            assert_eq!(Lane::at(&format!("/{lane}")), Some(*lane));
        }
        assert_eq!(Lane::at("/elsewhere"), None);
        assert_eq!(Lane::at("steady"), None);
    }

    #[test]
    fn a_flaky_lane_takes_two_of_three_at_once_and_all_in_the_end() {
        let busy = |newcomer| Lane::Flaky.reply(newcomer) == Reply::Now(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!([Some(0), Some(1), Some(2), Some(3), None].map(busy), [true, false, false, true, false]);
    }
}
