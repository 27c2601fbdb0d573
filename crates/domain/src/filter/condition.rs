//! What is asked of one value.

use std::cmp::Ordering;

use serde_json::Value;

use super::Clauses;
use super::scalar::{order, order_within_kind};

/// Operators that must all hold.
#[derive(Debug)]
pub(super) struct Condition(pub(super) Vec<Operator>);

#[derive(Debug)]
pub(super) enum Operator {
    /// One of these, which are sorted; `eq` is a list of one.
    In(Vec<Value>),
    /// There, and none of these, which are sorted; `ne` is a list of one.
    NotIn(Vec<Value>),
    Compares(Relation, Value),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Exists(bool),
    Elements(Quantifier, Test),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Relation {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Quantifier {
    Any,
    All,
    None,
}

/// What each element of a list is tried with.
#[derive(Debug)]
pub(super) enum Test {
    Itself(Condition),
    Within(Clauses),
}

impl Condition {
    /// Whether all operators hold for what was found.
    pub(super) fn holds(&self, found: Option<&Value>) -> bool {
        self.0.iter().all(|operator| operator.holds(found))
    }
}

impl Operator {
    fn holds(&self, found: Option<&Value>) -> bool {
        // Every operator but `exists: false` needs the value to be there.
        let Some(value) = found else { return matches!(self, Operator::Exists(false)) };
        match self {
            Operator::In(values) => contains(values, value),
            Operator::NotIn(values) => !contains(values, value),
            Operator::Compares(relation, operand) => {
                order_within_kind(value, operand).is_some_and(|order| relation.admits(order))
            }
            Operator::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(&**prefix)),
            Operator::Suffix(suffix) => value.as_str().is_some_and(|text| text.ends_with(&**suffix)),
            Operator::Exists(wanted) => *wanted,
            Operator::Elements(quantifier, test) => {
                value.as_array().is_some_and(|elements| quantifier.holds(elements, test))
            }
        }
    }
}

impl Relation {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
        }
    }
}

impl Quantifier {
    fn holds(self, elements: &[Value], test: &Test) -> bool {
        match self {
            Quantifier::Any => elements.iter().any(|element| test.holds(element)),
            Quantifier::All => elements.iter().all(|element| test.holds(element)),
            Quantifier::None => !elements.iter().any(|element| test.holds(element)),
        }
    }
}

impl Test {
    fn holds(&self, element: &Value) -> bool {
        match self {
            Test::Itself(condition) => condition.holds(Some(element)),
            Test::Within(clauses) => clauses.hold(element),
        }
    }
}

fn contains(sorted: &[Value], value: &Value) -> bool {
    sorted.binary_search_by(|candidate| order(candidate, value)).is_ok()
}
