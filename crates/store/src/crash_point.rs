//! Named places where a test may end the process, to prove that it does not matter.
//!
//! A place is armed once, at start-up, by the operator of a test; nothing is
//! armed in normal service and reaching a place is one relaxed load.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

macro_rules! crash_points {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A named place.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum CrashPoint { $($(#[$doc])* $name,)* }

        impl CrashPoint {
            /// Every place.
            pub const ALL: &[CrashPoint] = &[$(CrashPoint::$name,)*];

            /// The name on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(CrashPoint::$name => $text,)* }
            }
        }
    };
}

crash_points! {
    /// A group of writes is about to be committed.
    BeforeCommit = "before-commit",
    /// A group of writes is on stable storage; nobody has been answered.
    AfterCommitBeforeReply = "after-commit-before-reply",
    /// Some of a group's writes are done, the commit is not.
    MidBatch = "mid-batch",
    /// A receiver has answered; its delivery is not settled.
    AfterAnswerBeforeSettle = "after-answer-before-settle",
    /// The schema is being changed.
    DuringMigration = "during-migration",
    /// The process was asked to stop and has begun to.
    DuringDrain = "during-drain",
}

const NONE: u32 = u32::MAX;
static ARMED: AtomicU32 = AtomicU32::new(NONE);
static LEFT: AtomicU64 = AtomicU64::new(0);

/// The text names no crash point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a crash point and a count, such as before-commit:3")]
pub struct UnknownCrashPoint {
    text: String,
}

/// Arms one place, given as `name:n`: the n-th time it is reached, the process ends as if killed.
pub fn arm(text: &str) -> Result<(), UnknownCrashPoint> {
    let unknown = || UnknownCrashPoint { text: text.to_owned() };
    let (name, count) = text.split_once(':').ok_or_else(unknown)?;
    let point = CrashPoint::ALL.iter().find(|p| p.as_str() == name).ok_or_else(unknown)?;
    let count: u64 = count.parse().ok().filter(|n| *n > 0).ok_or_else(unknown)?;
    LEFT.store(count, Relaxed);
    ARMED.store(*point as u32, Relaxed);
    Ok(())
}

/// Says that a place was reached.
pub fn reach(point: CrashPoint) {
    if ARMED.load(Relaxed) == point as u32 && LEFT.fetch_sub(1, Relaxed) == 1 {
        // No destructor runs and no buffer is flushed, as with SIGKILL.
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_places_are_refused() {
        for text in ["", "before-commit", "before-commit:0", "before-commit:x", "nowhere:1"] {
            assert!(arm(text).is_err(), "{text}");
        }
    }
}
