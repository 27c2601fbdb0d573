//! What whoever runs the service is told of reports: of each sort the first at once, and what gathers in
//! an interval after it together, with its count (decisions/0032).

use std::time::Duration;

use super::{Kind, Report};
use crate::ids::ReportId;
use crate::time::Timestamp;

/// What gathers together. However many strangers report, nobody else's report waits for theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sort {
    /// Of which kind.
    pub kind: Kind,
    /// Whether nobody knows who reported it.
    pub of_strangers: bool,
}

/// The reports of one sort that whoever runs the service is to be told of, and when that may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Which reports.
    pub sort: Sort,
    /// Those that nobody was told of, the removed ones included.
    pub gathered: u32,
    /// When the first of them came, or when the last telling was looked up if they came while it was under way.
    pub first_at: Timestamp,
    /// The newest; it may have been removed.
    pub last_id: ReportId,
    /// They may be told of at this time or later.
    pub due_at: Timestamp,
}

/// That somebody was told of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Of which sort.
    pub sort: Sort,
    /// When that was due: a second telling of the same is refused by it.
    pub due_at: Timestamp,
    /// Of how many.
    pub count: u32,
    /// When they were looked up.
    pub at: Timestamp,
    /// When the next may be told of.
    pub next_due_at: Timestamp,
}

impl Sort {
    /// The sort of a report.
    pub fn of(report: &Report) -> Sort {
        Sort { kind: report.kind, of_strangers: report.is_of_a_stranger() }
    }
}

impl Untold {
    /// The first report of its sort: to be told of at once.
    pub fn of(report: &Report) -> Untold {
        let at = report.created_at;
        Untold { sort: Sort::of(report), gathered: 1, first_at: at, last_id: report.id, due_at: at }
    }

    /// With one report more, which waits with the others.
    #[must_use]
    pub fn and(self, report: &Report) -> Untold {
        let first_at = if self.gathered == 0 { report.created_at } else { self.first_at };
        Untold { gathered: self.gathered.saturating_add(1), first_at, last_id: report.id, ..self }
    }

    /// Whether there is something to tell, and the time for it has come.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.gathered > 0 && self.due_at <= now
    }

    /// What is written when somebody is told of all of it at `now`.
    pub fn told(&self, now: Timestamp, interval: Duration) -> Told {
        Told {
            sort: self.sort,
            due_at: self.due_at,
            count: self.gathered,
            at: now,
            next_due_at: now + interval,
        }
    }

    /// What is left of it then. Reports that came after it was looked at stay.
    #[must_use]
    pub fn after(self, told: &Told) -> Untold {
        let gathered = self.gathered.saturating_sub(told.count);
        Untold { gathered, first_at: told.at, due_at: told.next_due_at, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{About, Reporter};

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);
    const QUARTER: Duration = Duration::from_mins(15);

    fn report(seconds: u64, actor: Option<&str>) -> Report {
        let created_at = NOON + Duration::from_secs(seconds);
        let reporter = Reporter { actor: actor.map(str::to_owned), ip: None, request_id: "req_1".to_owned() };
        Report {
            id: ReportId::new(created_at, [7; 10]),
            kind: Kind::Support,
            handle: None,
            reporter,
            summary: "…".to_owned(),
            details: "…".to_owned(),
            about: About::default(),
            evidence: None,
            closing: None,
            created_at,
        }
    }

    #[test]
    fn the_first_is_due_at_once_and_the_others_gather_until_the_interval_is_over() {
        let first = Untold::of(&report(0, None));
        assert!(first.is_due(NOON));
        let told = first.told(NOON, QUARTER);
        let rest = first.after(&told);
        assert!((rest.gathered, rest.due_at) == (0, NOON + QUARTER) && !rest.is_due(NOON + QUARTER));
        let more = rest.and(&report(5, None)).and(&report(9, None));
        assert_eq!((more.gathered, more.first_at), (2, report(5, None).created_at));
        assert!(!more.is_due(NOON + Duration::from_secs(9)) && more.is_due(NOON + QUARTER));
    }

    #[test]
    fn what_comes_while_somebody_is_told_waits_for_the_next_time() {
        let seen = Untold::of(&report(0, None)).and(&report(1, None));
        let told = seen.told(NOON + Duration::from_secs(2), QUARTER);
        let left = seen.and(&report(2, None)).and(&report(3, None)).after(&told);
        assert_eq!((left.gathered, left.last_id, left.due_at), (2, report(3, None).id, told.next_due_at));
        assert_eq!(left.first_at, told.at);
    }

    #[test]
    fn strangers_gather_apart() {
        assert_ne!(Sort::of(&report(0, None)), Sort::of(&report(0, Some("jwt:alice"))));
    }
}
