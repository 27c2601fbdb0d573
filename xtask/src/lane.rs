//! The receivers of a trial: each is a path with a temper, and knows how deliveries to it may end.

use std::{fmt, time::Duration};

use hyper::StatusCode;

use crate::receiver::Reply;

/// One subscription's receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Takes everything at once.
    Steady,
    /// Is too busy for every new event, and takes it when it comes again: a receiver that must not
    /// be mistaken for one that is down.
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

    /// What it answers to an event that it sees for the first time, or again.
    pub(crate) fn reply(self, is_new: bool) -> Reply {
        match self {
            Lane::Flaky if is_new => Reply::Now(StatusCode::SERVICE_UNAVAILABLE),
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
    fn a_flaky_lane_takes_nothing_at_once_and_everything_in_the_end() {
        let busy = |is_new| Lane::Flaky.reply(is_new) == Reply::Now(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!([true, false].map(busy), [true, false]);
    }
}
