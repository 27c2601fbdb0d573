//! How many writes a handle may make a day (contract 1.4).
//!
//! Decided here, counted in the store: a [`Draw`] goes with the write that it pays for, and is
//! taken in the same transaction or not at all.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::handle::Handle;
use crate::time::Timestamp;

/// What a handle has paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// 2 writes a day.
    Free,
    /// 10 writes a day.
    Pro,
    /// 500 writes a day.
    Enterprise,
    /// As many as it likes. What a handle has of which nothing was said.
    #[default]
    Unlimited,
}

/// A day on the calendar of a handle, as the number `YYYYMMDD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// One write that a plan pays for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// Whose.
    pub handle: Handle,
    /// Its plan.
    pub plan: Plan,
    /// How many writes that allows a day.
    pub limit: u32,
    /// Which day.
    pub day: Day,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When the next day begins.
    pub resets_at: Timestamp,
}

/// A write that the day has no room for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan {} allows {} writes a day, and {} were made", draw.plan.as_str(), draw.limit, used)]
pub struct Exhausted {
    /// The write.
    pub draw: Draw,
    /// How many were made that day.
    pub used: u32,
}

impl Plan {
    /// How many writes it allows a day; none for no limit.
    pub fn writes_per_day(self) -> Option<u32> {
        match self {
            Plan::Free => Some(2),
            Plan::Pro => Some(10),
            Plan::Enterprise => Some(500),
            Plan::Unlimited => None,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Plan::Free => "free",
            Plan::Pro => "pro",
            Plan::Enterprise => "enterprise",
            Plan::Unlimited => "unlimited",
        }
    }
}

impl Day {
    /// The day of a handle at a time.
    pub fn of(account: &Account, now: Timestamp) -> Day {
        let date = zoned(account, now).date();
        let (year, month, day) = (date.year(), date.month(), date.day());
        Day(year as u32 * 10_000 + month as u32 * 100 + day as u32)
    }

    /// Takes back what [`Day::number`] gave.
    pub fn from_number(number: u32) -> Day {
        Day(number)
    }

    /// `YYYYMMDD`.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The same date a year earlier: what was used before it is of no interest any more.
    #[must_use]
    pub fn a_year_earlier(self) -> Day {
        Day(self.0.saturating_sub(10_000))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

impl Draw {
    /// What a write of a handle costs; nothing where the plan has no limit.
    pub fn for_write(handle: &Handle, account: &Account, now: Timestamp) -> Option<Draw> {
        let limit = account.plan.writes_per_day()?;
        let day = Day::of(account, now);
        let (asked_at, resets_at) = (now, midnight(account, now));
        Some(Draw { handle: handle.clone(), plan: account.plan, limit, day, asked_at, resets_at })
    }

    /// Decides whether there is room for one more after `used`.
    pub fn take(&self, used: u32) -> Result<u32, Exhausted> {
        if used < self.limit { Ok(used + 1) } else { Err(Exhausted { draw: self.clone(), used }) }
    }
}

impl Exhausted {
    /// How long to wait for the next day.
    pub fn wait(&self) -> Duration {
        self.draw.resets_at.since(self.draw.asked_at)
    }
}

fn zoned(account: &Account, now: Timestamp) -> jiff::Zoned {
    let instant = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or(jiff::Timestamp::MAX);
    instant.to_zoned(account.time_zone.rules().clone())
}

/// The first instant of the next day, which is not 00:00 where the clocks change at midnight.
fn midnight(account: &Account, now: Timestamp) -> Timestamp {
    let next = zoned(account, now).tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    // The calendar ends with the year 9999, and so do our times.
    next.map_or(Timestamp::MAX, |start| Timestamp::from_millis(start.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(plan: Plan, zone: &str) -> Account {
        Account { plan, time_zone: zone.parse().expect("a zone"), ..Account::default() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[track_caller]
    fn check(zone: &str, now: &str, day: &str, resets_at: &str) {
        let handle = "acme".parse().expect("a handle");
        let draw = Draw::for_write(&handle, &account(Plan::Free, zone), at(now)).expect("a limit");
        assert_eq!((draw.day.to_string().as_str(), draw.resets_at), (day, at(resets_at)));
    }

    #[test]
    fn plans_allow_what_was_published() {
        let plans = [Plan::Free, Plan::Pro, Plan::Enterprise, Plan::Unlimited];
        assert_eq!(plans.map(Plan::writes_per_day), [Some(2), Some(10), Some(500), None]);
        for plan in plans {
            assert_eq!(serde_json::to_value(plan).expect("JSON"), plan.as_str());
        }
    }

    #[test]
    fn an_unlimited_plan_draws_nothing() {
        let handle = "acme".parse().expect("a handle");
        assert_eq!(Draw::for_write(&handle, &Account::default(), at("2026-02-25T12:00:00Z")), None);
    }

    #[test]
    fn a_day_begins_at_midnight_where_the_handle_is() {
        check("UTC", "2026-02-25T23:59:59.999Z", "20260225", "2026-02-26T00:00:00Z");
        check("UTC", "2026-02-26T00:00:00Z", "20260226", "2026-02-27T00:00:00Z");
        check("Asia/Kolkata", "2026-02-25T18:29:59Z", "20260225", "2026-02-25T18:30:00Z");
        check("Asia/Kolkata", "2026-02-25T18:30:00Z", "20260226", "2026-02-26T18:30:00Z");
        check("America/Los_Angeles", "2026-01-01T07:59:59Z", "20251231", "2026-01-01T08:00:00Z");
    }

    #[test]
    fn days_have_23_or_25_hours_when_the_clocks_change() {
        check("Europe/Berlin", "2026-03-28T23:00:00Z", "20260329", "2026-03-29T22:00:00Z");
        check("Europe/Berlin", "2026-10-24T22:00:00Z", "20261025", "2026-10-25T23:00:00Z");
        // Cairo has no midnight that night: its day begins at one.
        check("Africa/Cairo", "2026-04-23T12:00:00Z", "20260423", "2026-04-23T22:00:00Z");
    }

    #[test]
    fn the_last_place_is_given_once() {
        let handle = "acme".parse().expect("a handle");
        let draw = Draw::for_write(&handle, &account(Plan::Free, "UTC"), at("2026-02-25T12:00:00Z"));
        let draw = draw.expect("a limit");
        assert_eq!((draw.take(0), draw.take(1)), (Ok(1), Ok(2)));
        for used in [2, 3, u32::MAX] {
            let exhausted = draw.take(used).expect_err("no place is left");
            assert_eq!(exhausted.used, used);
            assert_eq!(exhausted.wait(), Duration::from_hours(12));
        }
    }

    #[test]
    fn the_end_of_the_calendar_is_no_surprise() {
        let handle = "acme".parse().expect("a handle");
        let draw = Draw::for_write(&handle, &account(Plan::Free, "UTC"), Timestamp::MAX).expect("a limit");
        // The calendar of the library ends a day earlier than ours.
        assert!(draw.day.number() >= 99_991_230, "{}", draw.day);
        assert_eq!(draw.resets_at, Timestamp::MAX);
    }
}
