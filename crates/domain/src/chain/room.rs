//! How much the sessions of one handle hold together, and how much they may.
//!
//! Anybody may send signals, under any session's name, so the limits of one session bound nothing.

use super::{Cooldown, Recorded, SessionId, Signal};

/// What a row costs beside its texts.
const ROW_BYTES: u64 = 64;

/// What the sessions of a handle hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Sessions with a signal.
    pub sessions: u64,
    /// Bytes of their signals, and of the decisions whose rules rest.
    pub bytes: u64,
}

/// How much the sessions of a handle may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Sessions with a signal.
    pub sessions_max: u64,
    /// Bytes of their signals, and of the decisions whose rules rest.
    pub bytes_max: u64,
}

/// A handle has no room for what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandleFull {
    /// There are too many sessions.
    #[error(
        "the handle holds {held} sessions, the limit is {limit}; sessions that are there already take more"
    )]
    Sessions {
        /// How many there are.
        held: u64,
        /// How many may be.
        limit: u64,
    },
    /// There are too many bytes.
    #[error(
        "the sessions of the handle hold {held} bytes and {more} more were to be written, the limit is {limit}"
    )]
    Bytes {
        /// How many there are.
        held: u64,
        /// How many were to be added.
        more: u64,
        /// How many may be.
        limit: u64,
    },
}

impl Default for Room {
    /// A million sessions, 256 MiB.
    fn default() -> Room {
        Room { sessions_max: 1_000_000, bytes_max: 256 * 1024 * 1024 }
    }
}

impl Room {
    /// What is held with something more, if there is room for it.
    pub fn take(&self, held: Holdings, more: Holdings) -> Result<Holdings, HandleFull> {
        let then = held.with(more);
        if more.sessions > 0 && then.sessions > self.sessions_max {
            return Err(HandleFull::Sessions { held: held.sessions, limit: self.sessions_max });
        }
        if more.bytes > 0 && then.bytes > self.bytes_max {
            return Err(HandleFull::Bytes { held: held.bytes, more: more.bytes, limit: self.bytes_max });
        }
        Ok(then)
    }
}

impl Holdings {
    /// With something more.
    #[must_use]
    pub fn with(self, more: Holdings) -> Holdings {
        Holdings {
            sessions: self.sessions.saturating_add(more.sessions),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    /// Without what went. A count that was wrong stops nobody.
    #[must_use]
    pub fn without(self, gone: Holdings) -> Holdings {
        Holdings {
            sessions: self.sessions.saturating_sub(gone.sessions),
            bytes: self.bytes.saturating_sub(gone.bytes),
        }
    }
}

impl Recorded {
    /// What the signal counts for in its session.
    pub fn bytes(&self, id: &SessionId) -> u64 {
        let Signal { key, value, source, metadata, .. } = &self.signal;
        let texts = id.as_str().len()
            + key.as_str().len()
            + value.as_ref().map_or(0, length_of)
            + source.as_ref().map_or(0, |source| source.as_str().len())
            + metadata.as_ref().map_or(0, length_of);
        ROW_BYTES + texts as u64
    }
}

impl Cooldown {
    /// What the decision counts for in its session.
    pub fn bytes(&self, id: &SessionId) -> u64 {
        ROW_BYTES + (id.as_str().len() + self.rule_id.as_str().len()) as u64
    }
}

fn length_of(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).expect("it was JSON when it came").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { sessions_max: 2, bytes_max: 100 };

    #[test]
    fn a_session_more_needs_room_and_more_of_one_that_is_there_does_not() {
        let full = Holdings { sessions: 2, bytes: 10 };
        let new = Holdings { sessions: 1, bytes: 10 };
        assert_eq!(ROOM.take(full, new), Err(HandleFull::Sessions { held: 2, limit: 2 }));
        let more = Holdings { sessions: 0, bytes: 90 };
        assert_eq!(ROOM.take(full, more), Ok(Holdings { sessions: 2, bytes: 100 }));
    }

    #[test]
    fn bytes_need_room_to_the_last_one() {
        let held = Holdings { sessions: 1, bytes: 60 };
        let more = |bytes| Holdings { sessions: 0, bytes };
        assert!(ROOM.take(held, more(40)).is_ok());
        assert_eq!(ROOM.take(held, more(41)), Err(HandleFull::Bytes { held: 60, more: 41, limit: 100 }));
        // What lies beyond a limit that was lowered stays, and nothing is written to it.
        assert_eq!(ROOM.take(held.with(more(60)), Holdings::default()).map(|then| then.bytes), Ok(120));
    }

    #[test]
    fn what_went_is_held_no_more() {
        let held = Holdings { sessions: 3, bytes: 60 };
        assert_eq!(held.without(Holdings { sessions: 1, bytes: 20 }), Holdings { sessions: 2, bytes: 40 });
        assert_eq!(held.without(Holdings { sessions: 9, bytes: 90 }), Holdings::default());
    }
}
