//! How two JSON values compare: numbers by what they are worth, texts by code points.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// A total order: kinds first, and values within a kind.
///
/// Lists and objects are equal to nothing that a filter can name, since it names scalars only.
pub(crate) fn order(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => order_numbers(one, other),
        // UTF-8 sorts as its code points do.
        (Value::String(one), Value::String(other)) => one.cmp(other),
        _ => kind(one).cmp(&kind(other)),
    }
}

/// The order of two numbers or of two texts; other values have none.
pub(super) fn order_within_kind(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_)) => {
            Some(order(one, other))
        }
        _ => None,
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// Exact, also between integers and floats: 2^53 + 1 is more than the float 2^53.
fn order_numbers(one: &Number, other: &Number) -> Ordering {
    match (integer(one), integer(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(one), None) => order_with_float(one, float(other)),
        (None, Some(other)) => order_with_float(other, float(one)).reverse(),
        (None, None) => float(one).partial_cmp(&float(other)).expect("JSON has no NaN"),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn float(number: &Number) -> f64 {
    number.as_f64().expect("what is no integer is a float")
}

fn order_with_float(integer: i128, float: f64) -> Ordering {
    let whole = float.trunc();
    // The cast saturates far outside of what 64 bits can hold, so the order stays right.
    integer
        .cmp(&(whole as i128))
        .then_with(|| 0.0.partial_cmp(&(float - whole)).expect("the float is finite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, expected: Ordering, other: &str) {
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(order(&value(one), &value(other)), expected, "{one} {other}");
        assert_eq!(order(&value(other), &value(one)), expected.reverse(), "{other} {one}");
    }

    #[test]
    fn numbers_are_worth_the_same_however_they_are_written() {
        for (one, other) in [("1", "1.0"), ("100", "1e2"), ("0", "-0.0"), ("0.5", "5e-1"), ("-3", "-3.0")] {
            check(one, Ordering::Equal, other);
        }
    }

    #[test]
    fn integers_and_floats_compare_exactly_where_doubles_would_round() {
        check("9007199254740993", Ordering::Greater, "9007199254740992.0");
        check("9007199254740992", Ordering::Equal, "9007199254740992.0");
        check("9007199254740991", Ordering::Less, "9007199254740992.0");
        check("18446744073709551615", Ordering::Less, "18446744073709551616.0");
        check("18446744073709551615", Ordering::Greater, "18446744073709551614");
        check("-9223372036854775808", Ordering::Equal, "-9223372036854775808.0");
        check("-9223372036854775808", Ordering::Greater, "-1e300");
        check("3", Ordering::Less, "3.0000000000000004");
        check("-3", Ordering::Greater, "-3.0000000000000004");
    }

    #[test]
    fn texts_are_ordered_by_code_points() {
        check("\"a\"", Ordering::Less, "\"b\"");
        check("\"B\"", Ordering::Less, "\"a\"");
        check("\"a\"", Ordering::Less, "\"aa\"");
        // Beyond the basic plane, where UTF-16 would sort the other way round.
        check("\"\u{ffff}\"", Ordering::Less, "\"\u{10000}\"");
    }

    #[test]
    fn only_numbers_and_texts_have_an_order_within_their_kind() {
        for (one, other) in [("1", "\"1\""), ("null", "null"), ("true", "false"), ("[]", "[]"), ("{}", "1")] {
            let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(order_within_kind(&value(one), &value(other)), None, "{one} {other}");
        }
    }
}
