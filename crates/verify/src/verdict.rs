//! What a signature is worth, in words for the developer of the receiver.

use std::fmt;

use crate::mistake::Made;

/// What a signature is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request does not carry it.
    Absent,
    /// None of the given keys is of the kind that it needs.
    NoKey,
    /// It was made with one of the keys, over this body, a short time ago.
    Verified,
    /// It proves nothing.
    Refused(Reason),
}

/// Why a signature proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// One of the headers that belong together is not there.
    Missing {
        /// Its name.
        header: &'static str,
    },
    /// A header that cannot be read.
    Malformed {
        /// Its name.
        header: &'static str,
        /// What it should look like.
        shape: &'static str,
    },
    /// A timestamp in milliseconds, which Unix seconds are expected in.
    Milliseconds,
    /// A right signature that may have been recorded and sent again.
    TooOld {
        /// Its age in seconds.
        seconds: u64,
        /// The oldest that is taken.
        seconds_max: u64,
    },
    /// A right signature of a clock that is ahead of ours.
    TooFarAhead {
        /// How far, in seconds.
        seconds: u64,
        /// The farthest that is taken.
        seconds_max: u64,
    },
    /// Made with the right secret in the wrong way.
    Mismade {
        /// How it was made.
        found: Made,
        /// How the profile has it.
        documented: Made,
    },
    /// Made with another secret, or over another body.
    Wrong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Reason::Missing { header } => write!(f, "header {header} is missing"),
            Reason::Malformed { header, shape } => write!(f, "header {header} is not {shape}"),
            Reason::Milliseconds => f.write_str("timestamp is in milliseconds, it must be in seconds"),
            Reason::TooOld { seconds, seconds_max } => {
                write!(f, "timestamp is {seconds} s old, the limit is {seconds_max} s")
            }
            Reason::TooFarAhead { seconds, seconds_max } => {
                write!(f, "timestamp is {seconds} s ahead, the limit is {seconds_max} s")
            }
            Reason::Mismade { found, documented } => found.explain_against(documented, f),
            Reason::Wrong => {
                f.write_str("signature was made with another secret, or the body was changed on its way")
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Absent => f.write_str("not sent"),
            Verdict::NoKey => f.write_str("needs another kind of key"),
            Verdict::Verified => f.write_str("verified"),
            Verdict::Refused(reason) => reason.fmt(f),
        }
    }
}
