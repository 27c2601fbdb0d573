//! A JSON text as lines of paths and values, so that a piece of it says what its values are of.
//!
//! Written while it is parsed: no tree is made of it, so that what a stranger sends takes no more memory than what is
//! kept of it.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::document::{DOCUMENT_BYTES_MAX, lines};
use super::sync::Reason;

/// What has been written so far, and where in the text we are.
#[derive(Default)]
struct Lines {
    path: String,
    said: String,
    /// The next line would be too much: nothing more is read.
    is_full: bool,
}

/// A value at the path that the lines stand at.
struct Leaf<'a>(&'a mut Lines);

/// The name of a field, put behind the path.
struct Name<'a>(&'a mut Lines);

/// Reads JSON into one line for each value that is neither null nor made of others, in their order.
///
/// # Errors
///
/// If it is no JSON, or if its lines are more than [`DOCUMENT_BYTES_MAX`] bytes: nothing of it is left out.
pub(super) fn leaves(text: &str) -> Result<String, (Reason, String)> {
    let mut lines = Lines::default();
    let mut parser = serde_json::Deserializer::from_str(text);
    // As deep as the parser goes, which is 128.
    let read = Leaf(&mut lines).deserialize(&mut parser).and_then(|()| parser.end());
    match read {
        Ok(()) => Ok(lines.said),
        Err(_) if lines.is_full => {
            let message = format!(
                "written as paths and values the document is more than {DOCUMENT_BYTES_MAX} bytes, which is the limit"
            );
            Err((Reason::TooLarge, message))
        }
        Err(error) => {
            let message =
                format!("the document is not JSON: line {}, column {}", error.line(), error.column());
            Err((Reason::InvalidText, message))
        }
    }
}

impl Lines {
    fn say<E: Error>(&mut self, value: fmt::Arguments<'_>) -> Result<(), E> {
        let _ = writeln!(self.said, "{}: {value}", self.path);
        self.must_fit(self.said.len())
    }

    fn must_fit<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.is_full |= bytes > DOCUMENT_BYTES_MAX;
        if self.is_full { Err(E::custom("too much")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Leaf<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Leaf<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.say(format_args!("{value}"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.say(format_args!("{value}"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.say(format_args!("{value}"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // As JSON writes it.
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("no number of JSON"))?;
        self.0.say(format_args!("{number}"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.must_fit(self.0.said.len() + self.0.path.len() + value.len())?;
        self.0.say(format_args!("{}", lines(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        for at in 0_u64.. {
            let _ = write!(self.0.path, "[{at}]");
            let more = items.next_element_seed(Leaf(self.0))?;
            self.0.path.truncate(length);
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let length = self.0.path.len();
        while fields.next_key_seed(Name(self.0))?.is_some() {
            fields.next_value_seed(Leaf(self.0))?;
            self.0.path.truncate(length);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        if !self.0.path.is_empty() {
            self.0.path.push('.');
        }
        self.0.path.push_str(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(leaves(text).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn every_value_is_a_line_with_its_path_in_the_order_of_the_text() {
        check(r#"{"b":[1,-2,{"x":1.50}],"a":{"":"s"},"n":null}"#, "b[0]: 1\nb[1]: -2\nb[2].x: 1.5\na.: s\n");
        check(r#""tab\tand\r\nline""#, ": tab\tand\nline\n");
        check("[[],{},[[true]]]", "[2][0][0]: true\n");
        check("1e300", ": 1e+300\n");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, words) in [
            ("{", "line 1, column 1"),
            ("[1,]", "line 1, column 4"),
            ("{\n\"a\":1} x", "line 2, column 8"),
            ("", "line 1, column 0"),
        ] {
            let (reason, message) = leaves(text).expect_err(text);
            assert_eq!(reason, Reason::InvalidText);
            assert!(message.ends_with(words), "{text}: {message}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(leaves(&deep).expect_err("too deep").0, Reason::InvalidText);
    }

    #[test]
    fn a_document_whose_lines_are_too_much_is_refused_and_not_cut() {
        let deep = format!(r#"{{"{}":[{}1]}}"#, "k".repeat(100_000), "1,".repeat(1_000));
        let (reason, message) = leaves(&deep).expect_err("it is too much");
        assert_eq!(reason, Reason::TooLarge);
        assert!(message.contains("4194304"), "{message}");
        let fits = format!(r#"{{"k":"{}"}}"#, "x".repeat(DOCUMENT_BYTES_MAX - 8));
        assert_eq!(leaves(&fits).expect("it fits").len(), DOCUMENT_BYTES_MAX - 4);
    }

    #[test]
    fn no_tree_is_made_so_a_name_that_comes_twice_is_said_twice() {
        check(r#"{"a":1,"a":{"b":2}}"#, "a: 1\na.b: 2\n");
    }

    /// A tree of these would take hundreds of megabytes.
    #[test]
    fn many_small_values_are_read_without_a_tree() {
        let many = format!("[{}{{}}]", r#"{"":null},"#.repeat(400_000));
        assert!(many.len() < DOCUMENT_BYTES_MAX);
        check(&many, "");
    }
}
