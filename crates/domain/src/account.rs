//! What is said of a handle as a whole: by the operator its plan, its time zone, and whether it may
//! act; by its owner how its people are told of things.
//!
//! A handle of which nothing was ever said exists by virtue of credentials
//! ([decision 0007](../../../decisions/0007-handles-exist-by-credentials.md)): it has the default
//! account.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::notices::Notices;
use crate::quota::Plan;
use crate::time::Timestamp;

/// The longest reason for a suspension, in characters.
pub const REASON_CHARS_MAX: usize = 300;

/// What is said of a handle as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// How many writes a day it may make.
    pub plan: Plan,
    /// Where its day begins.
    pub time_zone: Zone,
    /// Whether there is such a handle.
    pub presence: Presence,
    /// Set while it may neither write nor publish, and its deliveries are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    /// The owner's word on mails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub notices: Box<Notices>,
}

#[expect(clippy::borrowed_box, reason = "serde gives the field as it is")]
fn is_default(notices: &Box<Notices>) -> bool {
    **notices == Notices::default()
}

/// Whether there is such a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Presence {
    /// Nobody declared it; it exists if credentials may bring handles into being.
    #[default]
    Undeclared,
    /// An operator made it.
    Declared {
        /// When.
        at: Timestamp,
    },
    /// It was deleted, and what it had is being removed.
    Leaving {
        /// When it was deleted.
        at: Timestamp,
    },
    /// It was deleted, and nothing of it is left but its audit log.
    Gone {
        /// When the last of it was removed.
        at: Timestamp,
    },
}

/// Why a handle may not act for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The operator's words, for the handle's people.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// How handles come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handles {
    /// A handle exists because a credential names it.
    #[default]
    ByCredentials,
    /// A handle exists because an operator made it.
    Declared,
}

/// Why a handle may not be acted for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// There is none: never declared where that is required, or deleted.
    #[error("there is no such handle")]
    NotFound,
    /// It may read, and nothing else.
    #[error("the handle is suspended: {reason}")]
    Suspended {
        /// The operator's words.
        reason: String,
    },
}

impl Account {
    /// Whether the handle is there to be read.
    pub fn admits_reads(&self, handles: Handles) -> Result<(), Closed> {
        match self.presence {
            Presence::Undeclared if handles == Handles::Declared => Err(Closed::NotFound),
            Presence::Undeclared | Presence::Declared { .. } => Ok(()),
            Presence::Leaving { .. } | Presence::Gone { .. } => Err(Closed::NotFound),
        }
    }

    /// Whether anything may be written or published for the handle. How handles come into being is
    /// not asked: nobody gets here who was not let in to read.
    pub fn admits_writes(&self) -> Result<(), Closed> {
        self.admits_reads(Handles::ByCredentials)?;
        match &self.suspension {
            Some(Suspension { reason, .. }) => Err(Closed::Suspended { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether something that was begun at `begun_at` may become the handle's. What was begun before its present
    /// life belongs to nobody: the name may be another customer's by now.
    pub fn owns_what_was_begun_at(&self, begun_at: Timestamp) -> bool {
        match self.presence {
            Presence::Undeclared => true,
            Presence::Declared { at } => begun_at >= at,
            Presence::Leaving { .. } | Presence::Gone { .. } => false,
        }
    }

    /// Whether the handle's deliveries wait, whatever its subscriptions say.
    pub fn holds_deliveries(&self) -> bool {
        self.suspension.is_some() || self.is_removed()
    }

    /// Whether the handle was deleted.
    pub fn is_removed(&self) -> bool {
        matches!(self.presence, Presence::Leaving { .. } | Presence::Gone { .. })
    }
}

/// A time zone of the IANA database that is linked into the binary.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time zone such as Europe/Berlin or UTC")]
pub struct InvalidZone {
    text: String,
}

impl Zone {
    /// The name in the IANA database.
    pub fn as_str(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    pub(crate) fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Zone, InvalidZone> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Zone::default());
        }
        // The one that is linked in: the same everywhere, and read without a file.
        let found = TimeZoneDatabase::bundled().get(text);
        found.map(Zone).map_err(|_| InvalidZone { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn account(presence: Presence) -> Account {
        Account { presence, ..Account::default() }
    }

    fn suspended() -> Account {
        let suspension = Some(Suspension { reason: "unpaid".to_owned(), at: AT });
        Account { suspension, ..account(Presence::Declared { at: AT }) }
    }

    #[test]
    fn an_undeclared_handle_is_there_unless_handles_are_declared() {
        let undeclared = account(Presence::Undeclared);
        assert_eq!(undeclared.admits_reads(Handles::ByCredentials), Ok(()));
        assert_eq!(undeclared.admits_reads(Handles::Declared), Err(Closed::NotFound));
        assert_eq!(account(Presence::Declared { at: AT }).admits_reads(Handles::Declared), Ok(()));
    }

    #[test]
    fn a_deleted_handle_is_not_there_while_it_leaves_and_afterwards() {
        for presence in [Presence::Leaving { at: AT }, Presence::Gone { at: AT }] {
            let deleted = account(presence);
            assert_eq!(deleted.admits_reads(Handles::ByCredentials), Err(Closed::NotFound));
            assert_eq!(deleted.admits_writes(), Err(Closed::NotFound));
            assert!(deleted.holds_deliveries() && deleted.is_removed());
        }
    }

    #[test]
    fn what_was_begun_before_a_handle_was_made_is_not_the_handle_s() {
        let before = Timestamp::from_millis(AT.as_millis() - 1);
        assert!(account(Presence::Undeclared).owns_what_was_begun_at(before));
        let declared = account(Presence::Declared { at: AT });
        assert!(declared.owns_what_was_begun_at(AT) && !declared.owns_what_was_begun_at(before));
        assert!(suspended().owns_what_was_begun_at(AT));
        for presence in [Presence::Leaving { at: AT }, Presence::Gone { at: AT }] {
            assert!(!account(presence).owns_what_was_begun_at(AT));
        }
    }

    #[test]
    fn a_suspended_handle_reads_and_does_nothing_else() {
        assert_eq!(suspended().admits_reads(Handles::Declared), Ok(()));
        assert_eq!(suspended().admits_writes(), Err(Closed::Suspended { reason: "unpaid".to_owned() }));
        assert!(suspended().holds_deliveries() && !suspended().is_removed());
        assert!(!Account::default().holds_deliveries());
    }

    #[test]
    fn an_account_is_read_back_as_it_was_written() {
        for account in [Account::default(), suspended(), account(Presence::Gone { at: AT })] {
            let text = serde_json::to_string(&account).expect("JSON");
            assert_eq!(serde_json::from_str::<Account>(&text).expect("an account"), account, "{text}");
        }
    }

    #[test]
    fn zones_are_named_as_in_the_iana_database() {
        for (text, name) in
            [("Europe/Berlin", "Europe/Berlin"), ("UTC", "UTC"), ("asia/kolkata", "Asia/Kolkata")]
        {
            assert_eq!(text.parse::<Zone>().map(|zone| zone.to_string()), Ok(name.to_owned()));
        }
        for text in ["", "Mars/Olympus", "+02:00", "../../etc/passwd"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
