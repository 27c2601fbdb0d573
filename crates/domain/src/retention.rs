//! How long what is finished is remembered.

use std::time::Duration;

use crate::statistics::Grain;
use crate::time::Timestamp;

/// How long finished things are kept. Nothing unfinished is ever forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Delivered and cancelled deliveries, their attempts, events with nothing left to point at, and
    /// replay jobs that have ended.
    pub finished: Duration,
    /// Dead letters that were neither replayed nor discarded.
    pub dead: Duration,
    /// Items of inboxes, read or not.
    pub inbox: Duration,
    /// How many items one inbox keeps. Beyond it the oldest go.
    pub inbox_items_max: u64,
    /// Signals of sessions. A session goes with the last of its signals.
    pub signals: Duration,
    /// Reports to whoever runs the service.
    pub reports: Duration,
    /// Those of somebody who showed no credential; never longer than the others.
    pub strangers_reports: Duration,
}

/// The moments before which things may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cutoffs {
    /// For what is finished.
    pub finished_before: Timestamp,
    /// For dead letters.
    pub dead_before: Timestamp,
    /// For items of inboxes.
    pub items_before: Timestamp,
    /// For items that say themselves when they end: those that ended by then.
    pub items_ended_by: Timestamp,
    /// For items of inboxes that hold more than so many; none is too many otherwise.
    pub items_max: Option<u64>,
    /// For signals: those that came by then.
    pub signals_come_by: Timestamp,
    /// For reports.
    pub reports_before: Timestamp,
    /// For those of strangers.
    pub strangers_reports_before: Timestamp,
    /// For idempotency records: those that ended by then.
    pub keys_ended_by: Timestamp,
    /// For what was counted in short spans: those that began before.
    pub fine_tallies_before: Timestamp,
    /// For what was counted in hours.
    pub hourly_tallies_before: Timestamp,
}

impl Cutoffs {
    /// For what was counted in spans of this grain.
    pub fn tallies_before(&self, grain: Grain) -> Timestamp {
        match grain {
            Grain::Fine => self.fine_tallies_before,
            Grain::Hourly => self.hourly_tallies_before,
        }
    }
}

impl Default for Retention {
    /// 30 days for the finished and for signals, 90 for the dead and for items of inboxes, a year for
    /// reports and 30 days for those of strangers; a hundred thousand items an inbox.
    fn default() -> Retention {
        let day = Duration::from_hours(24);
        Retention {
            finished: 30 * day,
            dead: 90 * day,
            inbox: 90 * day,
            inbox_items_max: 100_000,
            signals: 30 * day,
            reports: 365 * day,
            strangers_reports: 30 * day,
        }
    }
}

impl Retention {
    /// The cutoffs at a time. The dead are kept at least as long as the finished.
    pub fn cutoffs(&self, now: Timestamp) -> Cutoffs {
        Cutoffs {
            finished_before: now.saturating_sub(self.finished),
            dead_before: now.saturating_sub(self.dead.max(self.finished)),
            items_before: now.saturating_sub(self.inbox),
            items_ended_by: now,
            items_max: Some(self.inbox_items_max),
            signals_come_by: now.saturating_sub(self.signals),
            reports_before: now.saturating_sub(self.reports),
            strangers_reports_before: now.saturating_sub(self.strangers_reports.min(self.reports)),
            keys_ended_by: now,
            fine_tallies_before: now.saturating_sub(Grain::Fine.kept()),
            hourly_tallies_before: now.saturating_sub(Grain::Hourly.kept()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_outlive_the_finished() {
        let now = Timestamp::from_seconds(1_000_000_000);
        let hour = Duration::from_hours(1);
        let retention = Retention { finished: 2 * hour, dead: hour, reports: hour, ..Retention::default() };
        let cutoffs = retention.cutoffs(now);
        assert_eq!(cutoffs.finished_before, now.saturating_sub(2 * hour));
        assert_eq!(cutoffs.dead_before, now.saturating_sub(2 * hour));
        assert_eq!(cutoffs.strangers_reports_before, cutoffs.reports_before);
    }
}
