//! Which payloads a subscription wants: a small match language over JSON, written in JSON.
//!
//! It is total: trying a filter on a payload never fails, and takes at most one look at each value of
//! the payload for each condition. There are no variables, no arithmetic and no regular expressions;
//! `docs/filters.md` is the manual, and decision 0015 says why it is no expression language.

mod condition;
mod path;
mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod written;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

pub use read::{Fault, InvalidFilter};

use condition::Condition;
use path::Path;
use written::Written;

pub(crate) use scalar::order;

/// The longest text of a filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 4 * 1024;
/// How deeply filters may stand in filters; the outermost is the first level.
pub const FILTER_DEPTH_MAX: usize = 8;
/// The most conditions of a filter: each operator of each path is one.
pub const CONDITIONS_MAX: usize = 100;
/// The most values of one `in` or `notIn`.
pub const LIST_MAX: usize = 100;
/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 256;
/// The most segments of a path.
pub const SEGMENTS_MAX: usize = 16;

/// A checked filter. Its JSON is what its owner wrote, with the owner's order of keys.
///
/// Cheap to clone. Changes by the owner's patch of the subscription.
#[derive(Clone)]
pub struct Filter(Arc<Compiled>);

struct Compiled {
    written: Written,
    clauses: Clauses,
}

/// What an object of paths and groups says: all of it must hold.
#[derive(Debug)]
struct Clauses(Vec<Clause>);

#[derive(Debug)]
enum Clause {
    All(Vec<Clauses>),
    Any(Vec<Clauses>),
    /// Plain negation: what is missing makes a filter fail, and so makes this hold.
    None(Vec<Clauses>),
    At(Path, Condition),
}

impl Filter {
    /// Reads the text of a filter.
    ///
    /// # Errors
    ///
    /// Names the place of the first fault, and the limit if one was passed.
    pub fn from_json(json: &RawValue) -> Result<Filter, InvalidFilter> {
        let bytes = json.get().len();
        if bytes > FILTER_BYTES_MAX {
            return Err(InvalidFilter::of_all(Fault::TooLong { bytes }));
        }
        let written = serde_json::from_str(json.get())
            .map_err(|error| InvalidFilter::of_all(Fault::Unreadable { reason: error.to_string() }))?;
        Filter::of(written)
    }

    /// Whether a payload is wanted.
    pub fn matches(&self, payload: &Value) -> bool {
        self.0.clauses.hold(payload)
    }

    fn of(written: Written) -> Result<Filter, InvalidFilter> {
        let clauses = read::compile(&written)?;
        Ok(Filter(Arc::new(Compiled { written, clauses })))
    }
}

impl Clauses {
    fn hold(&self, value: &Value) -> bool {
        self.0.iter().all(|clause| clause.holds(value))
    }
}

impl Clause {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Clause::All(filters) => filters.iter().all(|filter| filter.hold(value)),
            Clause::Any(filters) => filters.iter().any(|filter| filter.hold(value)),
            Clause::None(filters) => !filters.iter().any(|filter| filter.hold(value)),
            Clause::At(path, condition) => condition.holds(path.find(value)),
        }
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.0.written == other.0.written
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
        Filter::of(Written::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
