use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

use super::*;

fn read(filter: &Value) -> Result<Filter, InvalidFilter> {
    Filter::from_json(&to_raw_value(filter).expect("JSON"))
}

fn order() -> Value {
    json!({
        "order": {
            "total": 120.5, "currency": "EUR", "note": null, "paid": true, "placedAt": "2026-02-25T12:00:00Z",
            "lines": [{ "sku": "A1", "quantity": 1 }, { "sku": "B2", "quantity": 5, "gift": true }],
        },
        "tags": ["new", "vip-gold"], "none": [], "matrix": [[1, 2], [3]], "big": 9_007_199_254_740_993_u64,
    })
}

#[track_caller]
fn check(filter: &Value, expected: bool) {
    let filter = read(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    assert_eq!(filter.matches(&order()), expected, "{filter:?}");
}

#[track_caller]
fn refused(filter: &Value, at: &str, words: &str) {
    let error = read(filter).expect_err("refused");
    assert_eq!(error.at, at, "{error}");
    assert!(error.fault.to_string().contains(words), "{error}");
}

#[test]
fn a_scalar_asks_for_equality() {
    check(&json!({ "order.currency": "EUR" }), true);
    check(&json!({ "order.currency": "eur" }), false);
    check(&json!({ "order.total": 120.5, "order.paid": true, "order.note": null }), true);
    check(&json!({ "order.total": "120.5" }), false);
    check(&json!({ "order.note": false }), false);
    check(&json!({ "order.lines": 2 }), false);
    check(&json!({ "big": 9_007_199_254_740_992_u64 }), false);
}

#[test]
fn ranges_hold_within_one_kind_only() {
    check(&json!({ "order.total": { "gte": 100, "lt": 200 } }), true);
    check(&json!({ "order.total": { "gt": 120.5 } }), false);
    check(&json!({ "order.total": { "lte": 120.5 } }), true);
    check(&json!({ "order.currency": { "gt": 5 } }), false);
    check(&json!({ "order.currency": { "lt": 5 } }), false);
    check(&json!({ "order.note": { "lte": 0 } }), false);
    check(&json!({ "order.placedAt": { "gte": "2026-02-01", "lt": "2026-03-01" } }), true);
    check(&json!({ "big": { "gt": 9_007_199_254_740_992.0 } }), true);
}

#[test]
fn texts_are_tried_at_both_ends() {
    check(&json!({ "order.currency": { "prefix": "E", "suffix": "R" } }), true);
    check(&json!({ "order.currency": { "prefix": "U" } }), false);
    check(&json!({ "order.total": { "prefix": "1" } }), false);
    check(&json!({ "order.currency": { "prefix": "" } }), true);
    check(&json!({ "order.total": { "suffix": "" } }), false);
}

#[test]
fn lists_of_values_hold_for_one_of_them() {
    check(&json!({ "order.currency": { "in": ["USD", "EUR"] } }), true);
    check(&json!({ "order.currency": { "notIn": ["USD", "EUR"] } }), false);
    check(&json!({ "order.total": { "in": ["120.5", true, null, 120.50] } }), true);
    check(&json!({ "order.lines": { "notIn": [1] } }), true);
}

#[test]
fn what_is_missing_matches_nothing_but_its_absence() {
    for operator in [
        json!(1),
        json!({ "ne": 1 }),
        json!({ "notIn": [1] }),
        json!({ "lt": 1 }),
        json!({ "prefix": "" }),
        json!({ "all": 1 }),
        json!({ "none": 1 }),
        json!({ "exists": true }),
        json!({ "exists": false, "ne": 1 }),
        json!(null),
    ] {
        check(&json!({ "order.missing": operator }), false);
    }
    check(&json!({ "order.missing": { "exists": false } }), true);
    check(&json!({ "order.note": { "exists": true } }), true);
    check(&json!({ "order.note": { "exists": false } }), false);
    check(&json!({ "order.note": { "ne": "x" } }), true);
    check(&json!({ "none": [{ "order.missing": { "ne": 1 } }] }), true);
}

#[test]
fn elements_are_tried_with_a_value_with_operators_or_with_a_filter() {
    check(&json!({ "tags": { "any": "new" } }), true);
    check(&json!({ "tags": { "any": { "prefix": "vip" } } }), true);
    check(&json!({ "tags": { "all": { "prefix": "vip" } } }), false);
    check(&json!({ "tags": { "none": "old" } }), true);
    check(&json!({ "order.lines": { "any": { "sku": "B2", "quantity": { "gt": 4 } } } }), true);
    check(&json!({ "order.lines": { "any": { "sku": "A1", "quantity": { "gt": 4 } } } }), false);
    check(&json!({ "order.lines": { "all": { "quantity": { "gte": 1 } } } }), true);
    check(&json!({ "order.lines": { "all": { "gift": { "exists": true } } } }), false);
    check(&json!({ "order.lines": { "any": { "any": [{ "sku": "Z" }, { "gift": true }] } } }), true);
    check(&json!({ "matrix": { "any": { "any": 3 } } }), true);
    check(&json!({ "matrix": { "all": { "any": { "lt": 3 } } } }), false);
}

#[test]
fn of_an_empty_list_everything_is_true_and_nothing_is_in_it() {
    check(&json!({ r"\none": { "any": 1 } }), false);
    check(&json!({ r"\none": { "all": 1, "none": 1 } }), true);
    check(&json!({ "order.currency": { "all": "EUR" } }), false);
    check(&json!({ "order.currency": { "none": "USD" } }), false);
}

#[test]
fn groups_combine_filters() {
    check(&json!({ "any": [{ "order.total": { "gt": 1000 } }, { "tags": { "any": "new" } }] }), true);
    check(&json!({ "all": [{ "order.paid": true }, { "order.currency": "USD" }] }), false);
    check(
        &json!({ "none": [{ "order.currency": "USD" }, { "order.paid": false }], "order.paid": true }),
        true,
    );
    check(&json!({ "none": [{ "order.currency": "USD" }, { "order.paid": true }] }), false);
    check(&json!({ "all": [{ "none": [{ "all": [{ "any": [{ "order.paid": false }] }] }] }] }), true);
}

#[test]
fn every_fault_has_its_place_and_its_limit() {
    refused(&json!([]), "filter", "an object");
    refused(&json!({}), "filter", "leave it out");
    refused(&json!({ "a": {} }), "filter.a", "leave it out");
    refused(&json!({ "a": [1] }), "filter.a", "{\"in\": […]}");
    refused(&json!({ "all": [] }), "filter.all", "at least one");
    refused(&json!({ "none": { "a": 1 } }), "filter.none", "a list");
    refused(
        &json!({ "all": [{ "a": 1 }, { "total": { "gte": true } }] }),
        "filter.all[1].total.gte",
        "a number or a text",
    );
    refused(&json!({ "a.b": { "gte ": 1 } }), "filter.a.b.gte ", "the operators are eq, ne, in");
    refused(&json!({ "a": { "regex": "x" } }), "filter.a.regex", "\"regex\" is not an operator");
    refused(&json!({ "a": { "eq": [1] } }), "filter.a.eq", "null, a boolean, a number or a text");
    refused(&json!({ "a": { "in": 1 } }), "filter.a.in", "a list of values");
    refused(&json!({ "a": { "in": [] } }), "filter.a.in", "0 values, the limits are 1 and 100");
    refused(&json!({ "a": { "in": vec![1; 101] } }), "filter.a.in", "101 values");
    refused(&json!({ "a": { "in": [[1]] } }), "filter.a.in", "null, a boolean");
    refused(&json!({ "a": { "prefix": 1 } }), "filter.a.prefix", "a text");
    refused(&json!({ "a": { "exists": "yes" } }), "filter.a.exists", "true or false");
    refused(&json!({ "a": { "any": { "prefix": "x", "sku": 1 } } }), "filter.a.any", "written \\prefix");
    refused(&json!({ "a": { "any": [{ "b": 1 }] } }), "filter.a.any", "a list is not a condition");
    refused(&json!({ "a..b": 1 }), "filter.a..b", "before and behind each dot");
    refused(&json!({ "a\\": 1 }), "filter.a\\", "backslash");
    refused(
        &json!({ "a".repeat(257): 1 }),
        &format!("filter.{}", "a".repeat(257)),
        "257 bytes, the limit is 256",
    );
    refused(&json!({ "a": { "in": ["x".repeat(4096)] } }), "filter", "the limit is 4096");
    let many: Map<String, Value> = (0..101).map(|n| (format!("k{n}"), json!(n))).collect();
    refused(&many.into(), "filter.k99", "more than 100 conditions");
}

#[test]
fn filters_stand_in_filters_up_to_a_depth() {
    let groups = |depth: usize| (1..depth).fold(json!({ "a": 1 }), |inner, _| json!({ "all": [inner] }));
    let elements =
        |depth: usize| (1..depth).fold(json!({ "a": 1 }), |inner, _| json!({ "a": { "any": inner } }));
    for nested in [&groups as &dyn Fn(usize) -> Value, &elements] {
        assert!(read(&nested(8)).is_ok());
        assert_eq!(read(&nested(9)).expect_err("refused").fault, Fault::TooDeep);
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_and_not_dropped() {
    for (text, at) in [
        (r#"{"a":{"gt":1},"a":{"lt":5}}"#, "filter"),
        (r#"{"b":1,"a":{"gt":1,"gt":5}}"#, "filter.a"),
        (r#"{"all":[{"a":1}],"all":[{"b":1}]}"#, "filter"),
    ] {
        let raw: &RawValue = serde_json::from_str(text).expect("JSON");
        let error = Filter::from_json(raw).expect_err("refused");
        assert!(error.at == at && error.to_string().contains("twice"), "{error}");
    }
}

#[test]
fn a_number_that_no_double_holds_is_refused() {
    let raw: &RawValue = serde_json::from_str(r#"{"a":1e400}"#).expect("JSON");
    assert!(matches!(Filter::from_json(raw).expect_err("refused").fault, Fault::Unreadable { .. }));
}

#[test]
fn the_owners_order_of_keys_is_kept() {
    let text = r#"{"z":{"lt":5,"gt":1},"a":"x","any":[{"c":1},{"b":null}]}"#;
    let filter: Filter = serde_json::from_str(text).expect("a filter");
    assert_eq!(serde_json::to_string(&filter).expect("text"), text);
}

// ------------------------------------------------------------------------------------------------
// The same language, told differently: a payload is a list of paths with values, and a filter is
// read anew, member by member, each time that it is tried.
// ------------------------------------------------------------------------------------------------

type Place = Vec<String>;

/// Every value of a payload with its path, the payload itself first.
fn expanded(value: &Value) -> Vec<(Place, Value)> {
    let mut all = vec![(Vec::new(), value.clone())];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (step, child) in children {
        for (mut place, value) in expanded(child) {
            place.insert(0, step.clone());
            all.push((place, value));
        }
    }
    all
}

fn place_of(path: &str) -> Place {
    // No generated key holds these two characters.
    let hidden = path.replace(r"\\", "\u{1}").replace(r"\.", "\u{2}").replace('\\', "");
    hidden.split('.').map(|key| key.replace('\u{1}', "\\").replace('\u{2}', ".")).collect()
}

fn wanted(filter: &Value, payload: &Value) -> bool {
    let values = expanded(payload);
    let mut verdicts = Vec::new();
    for (key, value) in filter.as_object().expect("a filter") {
        let group: Option<Vec<bool>> =
            value.as_array().map(|filters| filters.iter().map(|filter| wanted(filter, payload)).collect());
        verdicts.push(match (key.as_str(), group) {
            ("all", Some(group)) => !group.contains(&false),
            ("any", Some(group)) => group.contains(&true),
            ("none", Some(group)) => !group.contains(&true),
            (path, _) => {
                let place = place_of(path);
                let found = values.iter().find(|(candidate, _)| *candidate == place).map(|(_, value)| value);
                satisfied(value, found)
            }
        });
    }
    !verdicts.contains(&false)
}

fn satisfied(condition: &Value, found: Option<&Value>) -> bool {
    let Some(operators) = condition.as_object() else {
        return found.is_some_and(|value| same(value, condition));
    };
    operators.iter().all(|(word, operand)| operator_holds(word, operand, found))
}

fn operator_holds(word: &str, operand: &Value, found: Option<&Value>) -> bool {
    if word == "exists" {
        return operand == &json!(found.is_some());
    }
    let Some(value) = found else { return false };
    let listed = || operand.as_array().expect("a list").iter().any(|candidate| same(value, candidate));
    let texts = || value.as_str().zip(operand.as_str());
    let elements = |tries: &dyn Fn(Vec<bool>) -> bool| {
        let list = value.as_array();
        list.is_some_and(|list| tries(list.iter().map(|element| element_holds(operand, element)).collect()))
    };
    match word {
        "eq" => same(value, operand),
        "ne" => !same(value, operand),
        "in" => listed(),
        "notIn" => !listed(),
        "gt" => less(operand, value),
        "lt" => less(value, operand),
        "gte" => less(operand, value) || comparable(value, operand) && same(value, operand),
        "lte" => less(value, operand) || comparable(value, operand) && same(value, operand),
        "prefix" => texts().is_some_and(|(text, end)| text.get(..end.len()) == Some(end)),
        "suffix" => texts().is_some_and(|(text, end)| {
            text.len().checked_sub(end.len()).and_then(|from| text.get(from..)) == Some(end)
        }),
        "any" => elements(&|tries| tries.contains(&true)),
        "all" => elements(&|tries| !tries.contains(&false)),
        "none" => elements(&|tries| !tries.contains(&true)),
        other => panic!("{other} was not generated"),
    }
}

fn element_holds(test: &Value, element: &Value) -> bool {
    let words = ["eq", "ne", "in", "notIn", "gt", "gte", "lt", "lte", "prefix", "suffix", "exists"];
    let is_filter = test.as_object().is_some_and(|members| {
        members.iter().any(|(key, value)| {
            let group = ["any", "all", "none"].contains(&key.as_str());
            if group { value.is_array() } else { !words.contains(&key.as_str()) }
        })
    });
    if is_filter { wanted(test, element) } else { satisfied(test, Some(element)) }
}

fn comparable(one: &Value, other: &Value) -> bool {
    one.is_number() && other.is_number() || one.is_string() && other.is_string()
}

/// Numbers in two parts that doubles and 64-bit integers both have: what is whole, and the rest.
fn parts(value: &Value) -> Option<(i128, f64)> {
    let number = value.as_number()?;
    let integer = number.to_string().parse::<i128>().ok().map(|whole| (whole, 0.0));
    integer.or_else(|| number.as_f64().map(|float| (float.floor() as i128, float - float.floor())))
}

fn less(one: &Value, other: &Value) -> bool {
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one < other,
        _ => one.as_str().zip(other.as_str()).is_some_and(|(one, other)| one.chars().lt(other.chars())),
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other && !one.is_array() && !one.is_object(),
    }
}

fn scalars() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(-2),
        json!(9_007_199_254_740_993_u64),
        json!(9_007_199_254_740_992.0),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("ab"),
        json!("é"),
        json!("\u{10000}"),
        json!("1"),
    ])
}

fn keys() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "0", "1", "a.b", "all", "eq", "c\\d"]).prop_map(str::to_owned)
}

fn payloads() -> impl Strategy<Value = Value> {
    let tree = scalars().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(keys(), inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    btree_map(keys(), tree, 0..4).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn paths() -> impl Strategy<Value = String> {
    let escaped = |key: String| {
        let plain = key.replace('\\', r"\\").replace('.', r"\.");
        if ["all", "eq"].contains(&plain.as_str()) { format!("\\{plain}") } else { plain }
    };
    vec(keys().prop_map(escaped), 1..3).prop_map(|keys| keys.join("."))
}

fn plain_operators() -> impl Strategy<Value = (String, Value)> {
    let texts = || select(vec![json!(""), json!("a"), json!("é"), json!("b")]);
    let ordered = scalars().prop_filter("numbers and texts", |value| value.is_number() || value.is_string());
    let with = |words: &'static [&'static str]| select(words).prop_map(str::to_owned);
    prop_oneof![
        (with(&["eq", "ne"]), scalars()),
        (with(&["in", "notIn"]), vec(scalars(), 1..4).prop_map(Value::from)),
        (with(&["gt", "gte", "lt", "lte"]), ordered),
        (with(&["prefix", "suffix"]), texts()),
        (with(&["exists"]), any::<bool>().prop_map(Value::from)),
    ]
}

fn objects<S>(members: S, most: usize) -> impl Strategy<Value = Value> + use<S>
where
    S: Strategy<Value = (String, Value)> + 'static,
{
    vec(members, 1..=most).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn filters() -> impl Strategy<Value = Value> {
    let condition = prop_oneof![scalars(), objects(plain_operators(), 2)].boxed();
    let leaf = objects((paths(), condition.clone()), 2);
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let inner = inner.boxed();
        let test = prop_oneof![condition.clone(), inner.clone()];
        let elements = objects((select(vec!["any", "all", "none"]).prop_map(str::to_owned), test), 2);
        let group = (
            select(vec!["any", "all", "none"]).prop_map(str::to_owned),
            vec(inner, 1..3).prop_map(Value::from),
        );
        prop_oneof![objects((paths(), elements), 2), objects(group, 2)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_what_is_read(filter in filters()) {
        let text = filter.to_string();
        let read: Filter = serde_json::from_str(&text).expect("a filter");
        prop_assert_eq!(serde_json::to_string(&read).expect("text"), text);
    }

    #[test]
    fn a_naive_reading_of_the_manual_comes_to_the_same(filter in filters(), payload in payloads()) {
        let expected = wanted(&filter, &payload);
        prop_assert_eq!(read(&filter).expect("a filter").matches(&payload), expected);
    }

    #[test]
    fn none_is_the_negation_of_its_filter(filter in filters(), payload in payloads()) {
        if let Ok(negated) = read(&json!({ "none": [filter] })) {
            let plain = read(&filter).expect("a filter");
            prop_assert_ne!(negated.matches(&payload), plain.matches(&payload));
        }
    }

    #[test]
    fn no_text_makes_it_panic(filter in "\\PC{0,60}", shape in payloads(), payload in payloads()) {
        for text in [filter, shape.to_string()] {
            if let Ok(raw) = serde_json::from_str::<&RawValue>(&text)
                && let Ok(filter) = Filter::from_json(raw)
            {
                let _verdict = filter.matches(&payload);
            }
        }
    }
}
