//! Where a value stands in a payload: `order.lines.0.sku`.

use serde_json::Value;

use super::read::Fault;
use super::{PATH_BYTES_MAX, SEGMENTS_MAX};

/// Segments with dots between them; `\` makes the character after it an ordinary one.
#[derive(Debug)]
pub(super) struct Path(Vec<Segment>);

#[derive(Debug)]
struct Segment {
    key: Box<str>,
    /// Its place in a list, if it can be one.
    index: Option<usize>,
}

impl Path {
    pub(super) fn read(text: &str) -> Result<Path, Fault> {
        if text.len() > PATH_BYTES_MAX {
            return Err(Fault::PathTooLong { bytes: text.len() });
        }
        let keys = split(text)?;
        if keys.len() > SEGMENTS_MAX {
            return Err(Fault::TooManySegments { segments: keys.len() });
        }
        if keys.iter().any(String::is_empty) {
            return Err(Fault::EmptySegment);
        }
        Ok(Path(keys.into_iter().map(Segment::of).collect()))
    }

    /// The value at this path, if there is one.
    pub(super) fn find<'v>(&self, payload: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(payload, |value, segment| match value {
            Value::Object(members) => members.get(&*segment.key),
            Value::Array(elements) => elements.get(segment.index?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }
}

impl Segment {
    fn of(key: String) -> Segment {
        let digits = key.bytes().all(|byte| byte.is_ascii_digit());
        let plain = digits && (key.len() == 1 || !key.starts_with('0'));
        Segment { index: plain.then(|| key.parse().ok()).flatten(), key: key.into() }
    }
}

fn split(text: &str) -> Result<Vec<String>, Fault> {
    let mut keys = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let last = keys.last_mut().expect("there is at least one");
        match character {
            '.' => keys.push(String::new()),
            '\\' => last.push(characters.next().ok_or(Fault::DanglingEscape)?),
            ordinary => last.push(ordinary),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&Value>) {
        let payload = json!({
            "order": { "lines": [{ "sku": "A1" }, { "sku": "B2" }], "0": "zero" },
            "a.b": { "c\\d": 1 }, "all": 2, "n": null, "matrix": [[1, 2], [3, 4]],
        });
        assert_eq!(Path::read(path).expect("a path").find(&payload), expected, "{path}");
    }

    #[test]
    fn a_number_is_an_index_in_a_list_and_a_key_in_an_object() {
        check("order.lines.1.sku", Some(&json!("B2")));
        check("order.0", Some(&json!("zero")));
        check("matrix.1.0", Some(&json!(3)));
        for absent in ["order.lines.2", "order.lines.01", "order.lines.-1", "order.lines.x", "order.lines.+1"]
        {
            check(absent, None);
        }
        check("order.lines.99999999999999999999999999", None);
    }

    #[test]
    fn a_backslash_makes_a_dot_part_of_a_key() {
        check(r"a\.b.c\\d", Some(&json!(1)));
        check("a.b", None);
        check(r"\all", Some(&json!(2)));
    }

    #[test]
    fn nothing_is_found_below_a_scalar() {
        check("n", Some(&Value::Null));
        check("n.x", None);
        check("all.0", None);
    }

    #[test]
    fn broken_paths_are_refused() {
        for (path, expected) in [
            ("", Fault::EmptySegment),
            ("a..b", Fault::EmptySegment),
            (".a", Fault::EmptySegment),
            ("a.", Fault::EmptySegment),
            ("a\\", Fault::DanglingEscape),
            (&"a".repeat(257), Fault::PathTooLong { bytes: 257 }),
            (&["a"; 17].join("."), Fault::TooManySegments { segments: 17 }),
        ] {
            assert_eq!(Path::read(path).expect_err("refused"), expected, "{path}");
        }
        assert!(Path::read(&"a".repeat(256)).is_ok() && Path::read(&["a"; 16].join(".")).is_ok());
    }
}
