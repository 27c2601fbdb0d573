//! What a reader did with an item, and what that makes of the reader's counts.
//!
//! Both counts are differences: the items of the inbox less those that no longer count for the
//! reader. So a new item is one row, whoever reads the inbox, and nobody ever recounts.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What a reader does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It came into view.
    See,
    /// It was read, and so seen.
    Read,
    /// It is to count as unread again. Seen it stays.
    Unread,
    /// It is put away: listed on request only, and counted no longer.
    Archive,
    /// It is taken out again.
    Unarchive,
}

/// What one reader did with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// When the reader first saw it.
    pub seen_at: Option<Timestamp>,
    /// Since when it is read.
    pub read_at: Option<Timestamp>,
    /// Since when it is put away.
    pub archived_at: Option<Timestamp>,
    /// Whether the reader has read it at any time: that is told once.
    pub was_read: bool,
}

/// What an inbox holds, whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stock {
    /// Grows with every item that comes, and with every batch that is forgotten.
    pub version: u64,
    /// The number of the newest item there ever was. Items have numbers from 1, without gaps, in the
    /// order in which they were written.
    pub last: u64,
    /// How many there are.
    pub items: u64,
}

/// How far one reader is with an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Grows with every mark of the reader.
    pub version: u64,
    /// Items that are not unread: read, or put away.
    pub read: u64,
    /// Items that are not unseen: seen, read, or put away.
    pub seen: u64,
}

/// What a reader's badge shows. Absolute values: whoever has a newer version forgets the older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Neither read nor put away.
    pub unread: u64,
    /// Neither seen, read nor put away.
    pub unseen: u64,
    /// Grows with every change of either.
    pub version: u64,
}

impl Mark {
    /// Whether the item counts as unread.
    pub fn is_unread(&self) -> bool {
        self.read_at.is_none() && self.archived_at.is_none()
    }

    /// Whether the item counts as unseen.
    pub fn is_unseen(&self) -> bool {
        self.is_unread() && self.seen_at.is_none()
    }

    /// What it becomes by an act. The same act again changes nothing.
    #[must_use]
    pub fn after(self, act: Act, now: Timestamp) -> Mark {
        let seen = Mark { seen_at: self.seen_at.or(Some(now)), ..self };
        match act {
            Act::See => seen,
            Act::Read => Mark { read_at: self.read_at.or(Some(now)), was_read: true, ..seen },
            // Nothing is unread again that was not looked at.
            Act::Unread if self.read_at.is_some() => Mark { read_at: None, ..seen },
            Act::Unread => self,
            Act::Archive => Mark { archived_at: self.archived_at.or(Some(now)), ..self },
            Act::Unarchive => Mark { archived_at: None, ..self },
        }
    }
}

impl Reading {
    /// The counts of this reader.
    pub fn counts(&self, stock: &Stock) -> Counts {
        Counts {
            unread: stock.items.saturating_sub(self.read),
            unseen: stock.items.saturating_sub(self.seen),
            version: stock.version + self.version,
        }
    }

    /// How far the reader is when these items, one or many, have other marks: each as it was and as
    /// it is.
    #[must_use]
    pub fn after(self, changed: impl IntoIterator<Item = (Mark, Mark)>) -> Reading {
        let mut after = Reading { version: self.version + 1, ..self };
        for (old, new) in changed {
            after.read = moved(after.read, old.is_unread(), new.is_unread());
            after.seen = moved(after.seen, old.is_unseen(), new.is_unseen());
        }
        after
    }

    /// How far the reader is when an item with this mark is forgotten. Its inbox has a new version then.
    #[must_use]
    pub fn without(self, mark: Mark) -> Reading {
        Reading {
            read: self.read.saturating_sub(u64::from(!mark.is_unread())),
            seen: self.seen.saturating_sub(u64::from(!mark.is_unseen())),
            ..self
        }
    }

    /// The other way round: how far the reader is when an item with this mark counts again.
    #[must_use]
    pub fn with(self, mark: Mark) -> Reading {
        Reading {
            read: self.read + u64::from(!mark.is_unread()),
            seen: self.seen + u64::from(!mark.is_unseen()),
            ..self
        }
    }
}

impl Stock {
    /// With one item more.
    #[must_use]
    pub fn with_one_more(self) -> Stock {
        Stock { version: self.version + 1, last: self.last + 1, items: self.items + 1 }
    }

    /// Without so many.
    #[must_use]
    pub fn without(self, items: u64) -> Stock {
        Stock { version: self.version + 1, items: self.items.saturating_sub(items), ..self }
    }

    /// When a reader is forgotten: what comes of the inbox later must not have a version that the reader
    /// has heard before.
    #[must_use]
    pub fn outliving(self, reading: &Reading) -> Stock {
        Stock { version: self.version + reading.version, ..self }
    }
}

/// How many do not count, when one of them did or did not and now does or does not.
fn moved(others: u64, did_count: bool, counts: bool) -> u64 {
    others + u64::from(did_count && !counts) - u64::from(!did_count && counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const LATER: Timestamp = Timestamp::from_seconds(1_700_000_060);

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            Just(Act::See),
            Just(Act::Read),
            Just(Act::Unread),
            Just(Act::Archive),
            Just(Act::Unarchive)
        ]
    }

    proptest! {
        #[test]
        fn counts_are_what_a_recount_finds(acts in prop::collection::vec((0..5_usize, act(), any::<bool>()), 0..60)) {
            let mut stock = Stock { version: 5, last: 5, items: 5 };
            let mut marks = vec![Mark::default(); 5];
            let mut reading = Reading::default();
            let mut version = reading.counts(&stock).version;
            for (at, act, forget) in acts {
                let at = at % marks.len();
                if forget && marks.len() > 1 {
                    reading = reading.without(marks.remove(at));
                    stock = stock.without(1);
                } else {
                    let after = marks[at].after(act, NOON);
                    reading = reading.after([(marks[at], after)]);
                    marks[at] = after;
                }
                let counts = reading.counts(&stock);
                let recount = |counts: fn(&Mark) -> bool| marks.iter().filter(|mark| counts(mark)).count() as u64;
                prop_assert_eq!((counts.unread, counts.unseen), (recount(Mark::is_unread), recount(Mark::is_unseen)));
                prop_assert!(counts.version > version);
                version = counts.version;
            }
        }

        #[test]
        fn the_same_act_again_changes_nothing(first in act(), second in act(), again in act()) {
            let mark = Mark::default().after(first, NOON).after(second, NOON).after(again, NOON);
            prop_assert_eq!(mark.after(again, LATER), mark);
        }
    }

    #[test]
    fn whoever_reads_has_seen_and_whoever_puts_away_has_not_read() {
        let read = Mark::default().after(Act::Read, NOON);
        assert_eq!((read.seen_at, read.read_at), (Some(NOON), Some(NOON)));
        let away = Mark::default().after(Act::Archive, NOON);
        assert_eq!((away.seen_at, away.read_at, away.archived_at), (None, None, Some(NOON)));
        assert!(!away.is_unread() && !away.is_unseen());
    }

    #[test]
    fn what_is_unread_again_stays_seen_and_is_known_to_have_been_read() {
        let again = Mark::default().after(Act::Read, NOON).after(Act::Unread, LATER);
        assert_eq!(again, Mark { seen_at: Some(NOON), was_read: true, ..Mark::default() });
        assert!(again.is_unread() && !again.is_unseen());
        assert_eq!(Mark::default().after(Act::Unread, NOON), Mark::default());
    }

    #[test]
    fn what_is_taken_out_again_is_as_it_was() {
        let read = Mark::default().after(Act::Read, NOON);
        assert_eq!(read.after(Act::Archive, LATER).after(Act::Unarchive, LATER), read);
    }
}
