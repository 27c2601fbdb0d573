//! The inbox of a handle: items that its people read, each for themselves.
//!
//! An item belongs to the handle, what was done with it to one reader. Whoever has done nothing with
//! an item has not seen it.

mod action_url;
mod marks;
mod of_event;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event_type::EventType;
use crate::handle::Handle;
use crate::ids::ItemId;
use crate::payload::Payload;
use crate::time::Timestamp;

pub use action_url::{ActionUrl, AppScheme, InvalidActionUrl, InvalidAppScheme};
pub use marks::{Act, Counts, Mark, Reading, Stock};

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// The longest body, in characters.
pub const BODY_CHARS_MAX: usize = 2_000;
/// The largest data of an item, in bytes of JSON.
pub const DATA_BYTES_MAX: usize = 4 * 1024;

/// One item. Nothing of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Names it.
    pub id: ItemId,
    /// Whose inbox it is in.
    pub handle: Handle,
    /// What kind of thing it tells of: the event's type, or what its poster says.
    pub item_type: EventType,
    /// One line of plain text, of at most [`TITLE_CHARS_MAX`] characters.
    pub title: String,
    /// Plain text of at most [`BODY_CHARS_MAX`] characters.
    pub body: Option<String>,
    /// For programs: an object of at most [`DATA_BYTES_MAX`] bytes.
    pub data: Option<Payload>,
    /// Where its reader may go from here.
    pub action_url: Option<ActionUrl>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is forgotten, if not by its age.
    pub expires_at: Option<Timestamp>,
}

/// Who reads: a person by their JWT's subject, or a token by its id. The same word as in the audit log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reader(Arc<str>);

/// A text is not what it has to be: words that follow its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// There is nothing to read in it.
    #[error("is empty")]
    Empty,
    /// It is too long.
    #[error("is {chars} characters, the limit is {chars_max}")]
    TooLong {
        /// How long it is.
        chars: usize,
        /// How long it may be.
        chars_max: usize,
    },
    /// It holds a character that cannot be shown.
    #[error("holds the control character U+{:04X}", u32::from(*character))]
    Control {
        /// The first of them.
        character: char,
    },
}

impl Reader {
    /// The reader whom the audit log calls by this name.
    pub fn new(actor: &str) -> Reader {
        Reader(actor.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text may be a title.
pub fn check_title(text: &str) -> Result<(), InvalidText> {
    check(text, TITLE_CHARS_MAX, &[])
}

/// Whether a text may be a body, which may have lines.
pub fn check_body(text: &str) -> Result<(), InvalidText> {
    check(text, BODY_CHARS_MAX, &['\n', '\t'])
}

fn check(text: &str, chars_max: usize, allowed: &[char]) -> Result<(), InvalidText> {
    if text.trim().is_empty() {
        return Err(InvalidText::Empty);
    }
    let chars = text.chars().count();
    if chars > chars_max {
        return Err(InvalidText::TooLong { chars, chars_max });
    }
    match text.chars().find(|c| c.is_control() && !allowed.contains(c)) {
        Some(character) => Err(InvalidText::Control { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_something_to_read_in_them_and_an_end() {
        assert_eq!(check_title("Order 42 <b>shipped</b> \u{1F4E6}"), Ok(()));
        assert_eq!(check_title(&"é".repeat(TITLE_CHARS_MAX)), Ok(()));
        let long = Err(InvalidText::TooLong { chars: 201, chars_max: TITLE_CHARS_MAX });
        assert_eq!(check_title(&"é".repeat(TITLE_CHARS_MAX + 1)), long);
        assert_eq!(check_title(" \u{a0}"), Err(InvalidText::Empty));
        assert_eq!(check_body(&"x".repeat(BODY_CHARS_MAX)), Ok(()));
        assert!(check_body(&"x".repeat(BODY_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn a_body_has_lines_and_a_title_has_not() {
        assert_eq!(check_body("one\n\ttwo"), Ok(()));
        assert_eq!(check_title("one\ntwo"), Err(InvalidText::Control { character: '\n' }));
        assert_eq!(check_body("\u{1b}[31m"), Err(InvalidText::Control { character: '\u{1b}' }));
    }
}
