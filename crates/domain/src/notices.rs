//! How a handle's people are told of things by mail: what is critical, and when they want to be left
//! alone. What their owner says of it; nothing, for a handle whose owner never did.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::{ToSpan, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::account::{Account, Zone};
use crate::alert::INTERVAL_DEFAULT;
use crate::catalog::built_in;
use crate::event_type::{EventPattern, EventType};
use crate::recipient::is_private;
use crate::time::Timestamp;

/// The shortest and the longest time between two alerts about one subscription, in seconds.
pub const ALERT_INTERVAL_SECONDS: std::ops::RangeInclusive<u32> = 60..=86_400;
/// The time between them where nobody says otherwise (contract 3.4).
pub const ALERT_INTERVAL_SECONDS_DEFAULT: u32 = INTERVAL_DEFAULT.as_secs() as u32;
/// The most ranges of quiet hours.
pub const QUIET_HOURS_MAX: usize = 21;
/// How far ahead an opening is looked for: every week is like the last one but for the clocks.
const LOOK_AHEAD_DAYS: i64 = 9;

/// What the owner of a handle says of mails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Notices {
    /// Types that are told at any hour, beside those that are critical by themselves.
    pub critical_event_types: Vec<EventPattern>,
    /// At most one alert about a subscription in so many seconds.
    pub alert_interval_seconds: u32,
    /// Where quiet hours are meant; none for the time zone of the handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// When nobody wants mails that can wait.
    pub quiet_hours: Vec<QuietHours>,
}

impl Default for Notices {
    fn default() -> Notices {
        Notices {
            critical_event_types: Vec::new(),
            alert_interval_seconds: ALERT_INTERVAL_SECONDS_DEFAULT,
            time_zone: None,
            quiet_hours: Vec::new(),
        }
    }
}

/// Hours of some days of the week. They end on the next day if their end is not after their beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHours {
    /// The days on which they begin; not empty.
    pub days: Vec<Day>,
    /// When they begin.
    pub from: TimeOfDay,
    /// When they are over.
    pub to: TimeOfDay,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// The first.
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Day::Monday => Weekday::Monday,
            Day::Tuesday => Weekday::Tuesday,
            Day::Wednesday => Weekday::Wednesday,
            Day::Thursday => Weekday::Thursday,
            Day::Friday => Weekday::Friday,
            Day::Saturday => Weekday::Saturday,
            Day::Sunday => Weekday::Sunday,
        }
    }
}

/// Hours and minutes, as `22:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay(Time);

/// The text is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time of day from 00:00 to 23:59")]
pub struct InvalidTimeOfDay {
    text: String,
}

/// The ranges leave no time for mails that can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quiet hours leave no time of the week at all, so that mails that can wait would wait for ever")]
pub struct AlwaysQuiet;

impl Notices {
    /// The shortest time between two alerts about one subscription.
    pub fn alert_interval(&self) -> Duration {
        Duration::from_secs(self.alert_interval_seconds.into())
    }

    /// The same as a caller means it who was shown what the account says. Where no zone was named, the account's own
    /// is shown; sent back, it names none, and the account's next one counts as well.
    #[must_use]
    pub fn sent_back_to(self, account: &Account) -> Notices {
        let is_the_account_s = self.time_zone.as_ref() == Some(&account.time_zone);
        if is_the_account_s && account.notices.time_zone.is_none() {
            return Notices { time_zone: None, ..self };
        }
        self
    }

    /// Whether a mail about this type goes out at any hour. `described` is what the handle's catalogue says
    /// of the type. What somebody asks for or is asked is not a notice, and waits for nothing either.
    pub fn is_urgent(&self, event_type: &EventType, described: Option<bool>) -> bool {
        is_private(event_type)
            || described == Some(true)
            || built_in(event_type).is_some_and(|known| known.critical)
            || self.critical_event_types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// When a mail that can wait may go out: `now`, or the end of the quiet hours that are.
    pub fn opening(&self, account: &Account, now: Timestamp) -> Timestamp {
        self.opening_within_days(account, now).unwrap_or(now)
    }

    /// Refuses quiet hours without an end.
    pub fn check(&self, account: &Account, now: Timestamp) -> Result<(), AlwaysQuiet> {
        self.opening_within_days(account, now).map(drop).ok_or(AlwaysQuiet)
    }

    fn opening_within_days(&self, account: &Account, now: Timestamp) -> Option<Timestamp> {
        if self.quiet_hours.is_empty() {
            return Some(now);
        }
        let zone = self.time_zone.as_ref().unwrap_or(&account.time_zone).rules().clone();
        let instant = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?;
        let (mut at, last) = (instant.to_zoned(zone.clone()), instant.to_zoned(zone));
        let last = last.checked_add(LOOK_AHEAD_DAYS.days()).ok()?;
        // Each turn moves to the end of a range, and no range ends where it is still quiet twice.
        while let Some(end) = self.quiet_hours.iter().filter_map(|hours| hours.end_if_within(&at)).max() {
            at = end;
            if at > last {
                return None;
            }
        }
        Some(Timestamp::from_millis(at.timestamp().as_millisecond()).max(now))
    }
}

impl QuietHours {
    /// When the hours that a time is within are over; none if it is within none.
    fn end_if_within(&self, at: &Zoned) -> Option<Zoned> {
        let today = at.date();
        let began = [today.checked_sub(1.day()).ok()?, today];
        began.into_iter().filter(|date| self.days.iter().any(|day| day.weekday() == date.weekday())).find_map(
            |date| {
                let end_date = if self.to.0 > self.from.0 { date } else { date.checked_add(1.day()).ok()? };
                // Where the clocks leave a time out, the hour begins or ends as much later.
                let zone = at.time_zone().clone();
                let from = date.to_datetime(self.from.0).to_zoned(zone.clone()).ok()?;
                let to = end_date.to_datetime(self.to.0).to_zoned(zone).ok()?;
                (from <= *at && *at < to).then_some(to)
            },
        )
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidTimeOfDay;

    fn from_str(text: &str) -> Result<TimeOfDay, InvalidTimeOfDay> {
        let invalid = || InvalidTimeOfDay { text: text.chars().take(16).collect() };
        let two = |digits: &str| match digits.as_bytes() {
            [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => digits.parse::<i8>().ok(),
            _ => None,
        };
        let (hour, minute) = text.split_once(':').ok_or_else(invalid)?;
        let (hour, minute) = two(hour).zip(two(minute)).ok_or_else(invalid)?;
        Time::new(hour, minute, 0, 0).map(TimeOfDay).map_err(|_| invalid())
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TimeOfDay, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(zone: &str, ranges: &[(&[Day], &str, &str)]) -> Notices {
        let hours = |(days, from, to): &(&[Day], &str, &str)| QuietHours {
            days: days.to_vec(),
            from: from.parse().expect("a time"),
            to: to.parse().expect("a time"),
        };
        Notices {
            time_zone: Some(zone.parse().expect("a zone")),
            quiet_hours: ranges.iter().map(hours).collect(),
            ..Notices::default()
        }
    }

    const WEEK: &[Day] =
        &[Day::Monday, Day::Tuesday, Day::Wednesday, Day::Thursday, Day::Friday, Day::Saturday, Day::Sunday];

    #[track_caller]
    fn check(notices: &Notices, now: &str, opening: &str) {
        let now: Timestamp = now.parse().expect("a time");
        assert_eq!(notices.opening(&Account::default(), now).to_string(), opening);
    }

    #[test]
    fn a_mail_waits_until_the_quiet_hours_are_over_and_no_longer() {
        // 2026-02-25 is a Wednesday.
        let nights = notices("Europe/Berlin", &[(WEEK, "22:00", "07:00")]);
        check(&nights, "2026-02-25T20:59:59Z", "2026-02-25T20:59:59Z");
        check(&nights, "2026-02-25T21:00:00Z", "2026-02-26T06:00:00Z");
        check(&nights, "2026-02-26T03:00:00Z", "2026-02-26T06:00:00Z");
        check(&nights, "2026-02-26T06:00:00Z", "2026-02-26T06:00:00Z");
        let nobody = Notices::default();
        check(&nobody, "2026-02-26T03:00:00Z", "2026-02-26T03:00:00Z");
    }

    #[test]
    fn hours_belong_to_the_day_on_which_they_begin() {
        let friday = notices("UTC", &[(&[Day::Friday], "18:00", "08:00")]);
        check(&friday, "2026-02-27T19:00:00Z", "2026-02-28T08:00:00Z");
        check(&friday, "2026-02-27T07:00:00Z", "2026-02-27T07:00:00Z");
        check(&friday, "2026-02-28T19:00:00Z", "2026-02-28T19:00:00Z");
    }

    #[test]
    fn ranges_that_meet_are_one() {
        let weekend = notices(
            "UTC",
            &[
                (&[Day::Friday], "18:00", "00:00"),
                (&[Day::Saturday, Day::Sunday], "00:00", "00:00"),
                (&[Day::Monday], "00:00", "08:30"),
            ],
        );
        check(&weekend, "2026-02-27T18:00:00Z", "2026-03-02T08:30:00Z");
    }

    #[test]
    fn clocks_that_change_neither_lose_nor_hold_a_mail() {
        // In Berlin 02:00 to 03:00 is left out on 2026-03-29, and told twice on 2026-10-25.
        let gap = notices("Europe/Berlin", &[(WEEK, "22:00", "02:30")]);
        check(&gap, "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z");
        let fold = notices("Europe/Berlin", &[(WEEK, "22:00", "02:30")]);
        check(&fold, "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z");
        let morning = notices("Europe/Berlin", &[(WEEK, "22:00", "07:00")]);
        check(&morning, "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z");
        check(&morning, "2026-10-24T22:00:00Z", "2026-10-25T06:00:00Z");
    }

    #[test]
    fn a_week_without_an_hour_is_refused() {
        let always = notices("Europe/Berlin", &[(WEEK, "00:00", "00:00")]);
        let now = "2026-02-25T12:00:00Z".parse().expect("a time");
        assert_eq!(always.check(&Account::default(), now), Err(AlwaysQuiet));
        assert_eq!(always.opening(&Account::default(), now), now);
        let nearly = notices("Europe/Berlin", &[(WEEK, "00:01", "00:00")]);
        assert_eq!(nearly.check(&Account::default(), now), Ok(()));
    }

    #[test]
    fn the_handle_s_own_zone_counts_where_no_other_is_named() {
        let account = Account { time_zone: "Asia/Tokyo".parse().expect("a zone"), ..Account::default() };
        let nights = Notices { time_zone: None, ..notices("UTC", &[(WEEK, "22:00", "07:00")]) };
        let now: Timestamp = "2026-02-25T14:00:00Z".parse().expect("a time");
        assert_eq!(nights.opening(&account, now).to_string(), "2026-02-25T22:00:00Z");
    }

    #[test]
    fn the_handle_s_zone_sent_back_stays_the_handle_s() {
        let in_zone = |zone: &str| Notices { quiet_hours: Vec::new(), ..notices(zone, &[]) };
        let unset = Account { time_zone: "Asia/Tokyo".parse().expect("a zone"), ..Account::default() };
        assert_eq!(in_zone("Asia/Tokyo").sent_back_to(&unset).time_zone, None);
        assert_eq!(in_zone("Europe/Berlin").sent_back_to(&unset), in_zone("Europe/Berlin"));
        let set = Account { notices: Box::new(in_zone("Asia/Tokyo")), ..unset };
        assert_eq!(in_zone("Asia/Tokyo").sent_back_to(&set), in_zone("Asia/Tokyo"));
    }

    #[test]
    fn what_is_critical_waits_for_nothing() {
        let notices = Notices {
            critical_event_types: vec!["payment.*".parse().expect("a pattern")],
            ..Notices::default()
        };
        let of = |name: &str, described| notices.is_urgent(&name.parse().expect("a type"), described);
        assert!(of("payment.failed", None) && of("order.paid", Some(true)));
        assert!(of("webhook.delivery.terminal_failure", None) && of("email.confirmation", None));
        assert!(!of("order.paid", None) && !of("order.paid", Some(false)) && !of("webhook.test", None));
    }

    #[test]
    fn a_time_of_day_has_two_digits_twice() {
        assert_eq!("07:05".parse::<TimeOfDay>().expect("a time").to_string(), "07:05");
        for text in ["", "7:05", "24:00", "07:60", "07:05:00", "-7:05", "+7:05", "07.05"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text:?}");
        }
    }
}
