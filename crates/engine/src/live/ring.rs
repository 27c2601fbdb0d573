//! The last happenings of a handle, each with its place.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use angarium_domain::time::Timestamp;

use super::Happening;

/// How many happenings are kept: what a listener may fall behind, about a quarter of a megabyte.
pub(super) const KEPT_MAX: usize = 1024;

/// How far a listener has heard. Its text is two numbers with a hyphen between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which ring: when it was begun, in milliseconds. A process that begins again has others.
    ring: u64,
    /// How many happenings came before.
    number: u64,
}

/// The text is not a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an event of this stream")]
pub struct InvalidPlace;

pub(super) struct Ring {
    began: u64,
    kept: VecDeque<Arc<Happening>>,
    /// The number of the next one.
    next: u64,
}

impl Ring {
    pub(super) fn new(now: Timestamp) -> Ring {
        Ring { began: now.as_millis().max(0) as u64, kept: VecDeque::new(), next: 0 }
    }

    /// Keeps a happening, and forgets the oldest if there are too many. Answers the number after it.
    pub(super) fn push(&mut self, happening: Arc<Happening>) -> u64 {
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(happening);
        self.next += 1;
        self.next
    }

    /// The place after everything that there is.
    pub(super) fn end(&self) -> Place {
        Place { ring: self.began, number: self.next }
    }

    /// Whether everything after a place is still here.
    pub(super) fn reaches(&self, place: Place) -> bool {
        place.ring == self.began && (self.first()..=self.next).contains(&place.number)
    }

    /// The happening after a place that it reaches, and the place after that.
    pub(super) fn after(&self, place: Place) -> Option<(Place, Arc<Happening>)> {
        let at = usize::try_from(place.number.checked_sub(self.first())?).ok()?;
        let happening = self.kept.get(at)?;
        Some((Place { number: place.number + 1, ..place }, happening.clone()))
    }

    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }
}

impl Place {
    /// A place that no ring reaches.
    pub fn long_gone() -> Place {
        Place { ring: 0, number: 0 }
    }

    pub(super) fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ring, self.number)
    }
}

impl FromStr for Place {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Place, InvalidPlace> {
        let (ring, number) = text.split_once('-').ok_or(InvalidPlace)?;
        let parse = |digits: &str| digits.parse().map_err(|_| InvalidPlace);
        Ok(Place { ring: parse(ring)?, number: parse(number)? })
    }
}
