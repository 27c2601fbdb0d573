//! From what an owner wrote to what is tried on payloads, with the place of the first fault.

use std::fmt::{Display, Write as _};

use serde_json::Value;

use super::condition::{Condition, Operator, Quantifier, Relation, Test};
use super::path::Path;
use super::scalar::order;
use super::written::Written;
use super::{
    CONDITIONS_MAX, Clause, Clauses, FILTER_BYTES_MAX, FILTER_DEPTH_MAX, LIST_MAX, PATH_BYTES_MAX,
    SEGMENTS_MAX,
};

/// The words that are operators where a condition stands.
const OPERATORS: [&str; 14] =
    ["eq", "ne", "in", "notIn", "gt", "gte", "lt", "lte", "prefix", "suffix", "exists", "any", "all", "none"];

/// Why a filter was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {fault}")]
pub struct InvalidFilter {
    /// The place, such as `filter.all[1].total.gte`.
    pub at: String,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than [`FILTER_BYTES_MAX`].
    #[error("the filter is {bytes} bytes, the limit is {FILTER_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// JSON with a number that no double can hold.
    #[error("the filter cannot be read: {reason}")]
    Unreadable {
        /// The parser's words.
        reason: String,
    },
    /// Something else than an object where a filter stands.
    #[error("a filter is an object of paths with conditions, and of all, any and none with lists of filters")]
    NotAnObject,
    /// An object without members.
    #[error("an empty object says nothing; leave it out, or say what is wanted")]
    Empty,
    /// The same member twice.
    #[error("{key:?} stands here twice; combine its conditions in one object")]
    Twice {
        /// The member.
        key: Box<str>,
    },
    /// Filters in filters beyond [`FILTER_DEPTH_MAX`].
    #[error("filters stand more than {FILTER_DEPTH_MAX} levels deep")]
    TooDeep,
    /// More than [`CONDITIONS_MAX`].
    #[error("there are more than {CONDITIONS_MAX} conditions")]
    TooManyConditions,
    /// A group that is no list, or holds nothing.
    #[error("all, any and none take a list of at least one filter")]
    NotAGroup,
    /// A list where a condition stands.
    #[error("a list is not a condition; write {{\"in\": […]}} for one of several values")]
    ListAsCondition,
    /// An unknown word where an operator stands.
    #[error("{word:?} is not an operator; the operators are {}", OPERATORS.join(", "))]
    UnknownOperator {
        /// The word.
        word: Box<str>,
    },
    /// Operators and paths in one object, so that one cannot tell which is meant.
    #[error(
        "operators and paths stand in one object; a key that is named like an operator is written \\{word}"
    )]
    Mixed {
        /// One of the operators.
        word: Box<str>,
    },
    /// An operand of the wrong kind.
    #[error("{operator} takes {expected}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// An empty list, or more than [`LIST_MAX`].
    #[error("the list holds {values} values, the limits are 1 and {LIST_MAX}")]
    ListSize {
        /// How many it holds.
        values: usize,
    },
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("the path is {bytes} bytes, the limit is {PATH_BYTES_MAX}")]
    PathTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// More than [`SEGMENTS_MAX`].
    #[error("the path has {segments} segments, the limit is {SEGMENTS_MAX}")]
    TooManySegments {
        /// How many it has.
        segments: usize,
    },
    /// Nothing before, between or behind dots.
    #[error("a path has a name before and behind each dot; a dot in a name is written \\.")]
    EmptySegment,
    /// A backslash at the end of a path.
    #[error("a path does not end with a backslash; a backslash in a name is written \\\\")]
    DanglingEscape,
}

impl InvalidFilter {
    pub(super) fn of_all(fault: Fault) -> InvalidFilter {
        InvalidFilter { at: "filter".to_owned(), fault }
    }
}

/// Checks a filter and makes it ready to be tried.
pub(super) fn compile(written: &Written) -> Result<Clauses, InvalidFilter> {
    let mut reader = Reader { at: "filter".to_owned(), conditions: 0 };
    reader.filter(written, 1).map_err(|fault| InvalidFilter { at: reader.at, fault })
}

struct Reader {
    /// Where we are; after a fault, where it is.
    at: String,
    conditions: usize,
}

type Members = [(Box<str>, Written)];

impl Reader {
    fn filter(&mut self, written: &Written, depth: usize) -> Result<Clauses, Fault> {
        let Written::Object(members) = written else { return Err(Fault::NotAnObject) };
        if depth > FILTER_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        if members.is_empty() {
            return Err(Fault::Empty);
        }
        self.each(members, |reader, key, value| reader.clause(key, value, depth)).map(Clauses)
    }

    fn clause(&mut self, key: &str, value: &Written, depth: usize) -> Result<Clause, Fault> {
        Ok(match key {
            "all" => Clause::All(self.group(value, depth)?),
            "any" => Clause::Any(self.group(value, depth)?),
            "none" => Clause::None(self.group(value, depth)?),
            path => Clause::At(Path::read(path)?, self.condition(value, depth)?),
        })
    }

    fn group(&mut self, written: &Written, depth: usize) -> Result<Vec<Clauses>, Fault> {
        let Written::List(filters) = written else { return Err(Fault::NotAGroup) };
        if filters.is_empty() {
            return Err(Fault::NotAGroup);
        }
        let place = |(place, filter)| self.inside(format_args!("[{place}]"), |r| r.filter(filter, depth + 1));
        filters.iter().enumerate().map(place).collect()
    }

    fn condition(&mut self, written: &Written, depth: usize) -> Result<Condition, Fault> {
        match written {
            Written::Scalar(value) => {
                self.count()?;
                Ok(Condition(vec![Operator::In(vec![value.clone()])]))
            }
            Written::List(_) => Err(Fault::ListAsCondition),
            Written::Object(members) => self.operators(members, depth),
        }
    }

    fn operators(&mut self, members: &Members, depth: usize) -> Result<Condition, Fault> {
        if members.is_empty() {
            return Err(Fault::Empty);
        }
        self.each(members, |reader, word, operand| reader.operator(word, operand, depth)).map(Condition)
    }

    fn operator(&mut self, word: &str, operand: &Written, depth: usize) -> Result<Operator, Fault> {
        self.count()?;
        Ok(match word {
            "eq" => Operator::In(vec![scalar("eq", operand)?]),
            "ne" => Operator::NotIn(vec![scalar("ne", operand)?]),
            "in" => Operator::In(scalars("in", operand)?),
            "notIn" => Operator::NotIn(scalars("notIn", operand)?),
            "gt" => Operator::Compares(Relation::Greater, comparable("gt", operand)?),
            "gte" => Operator::Compares(Relation::GreaterOrEqual, comparable("gte", operand)?),
            "lt" => Operator::Compares(Relation::Less, comparable("lt", operand)?),
            "lte" => Operator::Compares(Relation::LessOrEqual, comparable("lte", operand)?),
            "prefix" => Operator::Prefix(text("prefix", operand)?),
            "suffix" => Operator::Suffix(text("suffix", operand)?),
            "exists" => Operator::Exists(truth("exists", operand)?),
            "any" => Operator::Elements(Quantifier::Any, self.test(operand, depth + 1)?),
            "all" => Operator::Elements(Quantifier::All, self.test(operand, depth + 1)?),
            "none" => Operator::Elements(Quantifier::None, self.test(operand, depth + 1)?),
            word => return Err(Fault::UnknownOperator { word: word.into() }),
        })
    }

    /// What elements are tried with: a condition if the object holds operators, a filter if it holds
    /// paths and groups.
    fn test(&mut self, written: &Written, depth: usize) -> Result<Test, Fault> {
        if depth > FILTER_DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let Written::Object(members) = written else {
            return self.condition(written, depth).map(Test::Itself);
        };
        let mut operators = members.iter().filter(|(word, operand)| is_operator(word, operand));
        match (operators.next(), operators.count() + 1) {
            (None, _) => self.filter(written, depth).map(Test::Within),
            (Some(_), count) if count == members.len() => self.operators(members, depth).map(Test::Itself),
            (Some((word, _)), _) => Err(Fault::Mixed { word: word.clone() }),
        }
    }

    /// Reads each member, and refuses one that is there twice.
    fn each<T>(
        &mut self,
        members: &Members,
        mut read: impl FnMut(&mut Reader, &str, &Written) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut done = Vec::with_capacity(members.len());
        for (place, (key, value)) in members.iter().enumerate() {
            if members[..place].iter().any(|(earlier, _)| earlier == key) {
                return Err(Fault::Twice { key: key.clone() });
            }
            done.push(self.inside(format_args!(".{key}"), |reader| read(reader, key, value))?);
        }
        Ok(done)
    }

    /// Reads something one step further in. After a fault the place stays where the fault is.
    fn inside<T>(
        &mut self,
        step: impl Display,
        read: impl FnOnce(&mut Reader) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let outside = self.at.len();
        write!(self.at, "{step}").expect("a string takes every text");
        let done = read(self)?;
        self.at.truncate(outside);
        Ok(done)
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX { Err(Fault::TooManyConditions) } else { Ok(()) }
    }
}

/// `any`, `all` and `none` ask elements of a list, or with a list combine filters.
fn is_operator(word: &str, operand: &Written) -> bool {
    match word {
        "any" | "all" | "none" => !matches!(operand, Written::List(_)),
        word => OPERATORS.contains(&word),
    }
}

fn scalar(operator: &'static str, written: &Written) -> Result<Value, Fault> {
    match written {
        Written::Scalar(value) => Ok(value.clone()),
        Written::List(_) | Written::Object(_) => {
            Err(Fault::Operand { operator, expected: "null, a boolean, a number or a text" })
        }
    }
}

/// Sorted, so that each payload's value is looked up and not searched for.
fn scalars(operator: &'static str, written: &Written) -> Result<Vec<Value>, Fault> {
    let Written::List(list) = written else {
        return Err(Fault::Operand { operator, expected: "a list of values" });
    };
    if !(1..=LIST_MAX).contains(&list.len()) {
        return Err(Fault::ListSize { values: list.len() });
    }
    let mut values: Vec<Value> =
        list.iter().map(|value| scalar(operator, value)).collect::<Result<_, _>>()?;
    values.sort_by(order);
    Ok(values)
}

fn comparable(operator: &'static str, written: &Written) -> Result<Value, Fault> {
    match written {
        Written::Scalar(value @ (Value::Number(_) | Value::String(_))) => Ok(value.clone()),
        _ => Err(Fault::Operand { operator, expected: "a number or a text" }),
    }
}

fn text(operator: &'static str, written: &Written) -> Result<Box<str>, Fault> {
    match written {
        Written::Scalar(Value::String(text)) => Ok(text.as_str().into()),
        _ => Err(Fault::Operand { operator, expected: "a text" }),
    }
}

fn truth(operator: &'static str, written: &Written) -> Result<bool, Fault> {
    match written {
        Written::Scalar(Value::Bool(truth)) => Ok(*truth),
        _ => Err(Fault::Operand { operator, expected: "true or false" }),
    }
}
