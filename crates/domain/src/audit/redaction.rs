//! What an act changed, without what nobody but its owner may know.

use serde::Serialize;
use serde_json::{Map, Value};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// Fields that say nothing, or nothing that may be said: the row has the time and the handle, and
/// past addresses carry queries.
const LEFT_OUT: [&str; 4] = ["handle", "updatedAt", "pastEndpoints", "lastUsedAt"];
/// Parts of the names of fields that hold a secret, in lower case.
const SECRET_NAMES: [&str; 7] =
    ["secret", "password", "authorization", "apikey", "privatekey", "token", "credential"];
/// Fields that are named so and hold none: the last characters of a secret, and names of things.
const NO_SECRETS: [&str; 2] = ["secretHint", "tokenId"];
/// Longer fields are described by their length: a row must stay small.
const FIELD_BYTES_MAX: usize = 2048;

/// An object before and after an act: the fields that differ, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// None if the object was not there, or nothing is told of it.
    pub before: Option<String>,
    /// None if the object is not there any more, or nothing is told of it.
    pub after: Option<String>,
}

/// What an act made of an object; all of it where it was made or ended. Header values, secrets and
/// the queries of addresses are not in it. A secret that was replaced by another is a difference,
/// although both look alike.
pub fn changed<T: Serialize>(before: Option<&T>, after: Option<&T>) -> Difference {
    let (mut before, mut after) = (before.and_then(fields), after.and_then(fields));
    if let (Some(before), Some(after)) = (&mut before, &mut after) {
        let equal: Vec<String> = before
            .iter()
            .filter(|(name, value)| after.get(*name) == Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &equal {
            before.remove(name);
            after.remove(name);
        }
    }
    Difference { before: before.map(told), after: after.map(told) }
}

fn fields<T: Serialize>(object: &T) -> Option<Map<String, Value>> {
    match serde_json::to_value(object) {
        Ok(Value::Object(mut fields)) => {
            fields.retain(|name, value| !LEFT_OUT.contains(&name.as_str()) && !value.is_null());
            Some(fields)
        }
        _ => None,
    }
}

fn told(fields: Map<String, Value>) -> String {
    let short = |(name, value): (String, Value)| {
        let value = redacted(&name, value);
        let bytes = value.to_string().len();
        let value = if bytes > FIELD_BYTES_MAX { format!("[{bytes} bytes]").into() } else { value };
        (name, value)
    };
    Value::Object(fields.into_iter().map(short).collect()).to_string()
}

fn redacted(name: &str, value: Value) -> Value {
    match value {
        _ if is_secret(name) => REDACTED.into(),
        // The names of headers are told, for they say what was changed.
        Value::Object(fields) if name == "headers" => {
            fields.into_iter().map(|(name, _)| (name, Value::from(REDACTED))).collect()
        }
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = redacted(&name, value);
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| redacted(name, item)).collect(),
        Value::String(text) => without_credentials(text).into(),
        plain => plain,
    }
}

fn is_secret(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let letters = letters.to_ascii_lowercase();
    !NO_SECRETS.contains(&name) && SECRET_NAMES.iter().any(|part| letters.contains(part))
}

/// An address without its user, its query and its fragment; any other text as it is.
fn without_credentials(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return text;
    }
    let (place, cut) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    let (authority, path) = place.find('/').map_or((place, ""), |slash| place.split_at(slash));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}{path}{cut}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is told of an object that was one value and became another. Null is no object.
    #[track_caller]
    fn check(before: &Value, after: &Value, expected: [&Value; 2]) {
        let object = |value: &Value| (!value.is_null()).then(|| value.clone());
        let told = changed(object(before).as_ref(), object(after).as_ref());
        let read = |text: Option<String>| text.map(|text| serde_json::from_str(&text).expect("JSON"));
        let told: [Value; 2] = [read(told.before), read(told.after)].map(Option::unwrap_or_default);
        assert_eq!(told.each_ref(), expected, "{before} became {after}");
    }

    #[test]
    fn only_what_differs_is_told() {
        check(
            &json!({ "a": 1, "b": 2, "gone": 3, "updatedAt": "x" }),
            &json!({ "a": 1, "b": 5, "new": 4, "updatedAt": "y" }),
            [&json!({ "b": 2, "gone": 3 }), &json!({ "b": 5, "new": 4 })],
        );
        check(&json!({ "a": 1 }), &json!({ "a": 1 }), [&json!({}), &json!({})]);
    }

    #[test]
    fn what_is_made_or_ended_is_told_whole() {
        check(&Value::Null, &json!({ "a": 1, "b": null }), [&Value::Null, &json!({ "a": 1 })]);
        check(&json!({ "a": 1 }), &Value::Null, [&json!({ "a": 1 }), &Value::Null]);
        check(&Value::Null, &Value::Null, [&Value::Null, &Value::Null]);
    }

    #[test]
    fn header_values_are_not_told_and_that_they_changed_is() {
        let with = |value: &str| json!({ "headers": { "x-key": value } });
        let told = json!({ "headers": { "x-key": REDACTED } });
        check(&with("one"), &with("two"), [&told, &told]);
        check(&with("one"), &with("one"), [&json!({}), &json!({})]);
    }

    #[test]
    fn secrets_are_not_told_wherever_they_stand() {
        let object = json!({
            "secretSha256": [1, 2], "oauth": { "client_secret": "s", "clientId": "c" },
            "list": [{ "apiKey": "k" }], "Authorization": "Bearer x", "accessToken": "t", "secretHint": "abcd",
        });
        let told = json!({
            "secretSha256": REDACTED, "oauth": { "client_secret": REDACTED, "clientId": "c" },
            "list": [{ "apiKey": REDACTED }], "Authorization": REDACTED, "accessToken": REDACTED,
            "secretHint": "abcd",
        });
        check(&Value::Null, &object, [&Value::Null, &told]);
    }

    #[test]
    fn addresses_lose_their_users_and_queries() {
        for (url, told) in [
            ("https://hooks.example.com/in?token=x", "https://hooks.example.com/in?…"),
            ("https://u:p@hooks.example.com", "https://hooks.example.com"),
            ("https://h/a@b#token", "https://h/a@b?…"),
            ("amqp+tls://u@h", "amqp+tls://h"),
            ("not an address: a?b", "not an address: a?b"),
        ] {
            let object = |url: &str| json!({ "endpointUrl": url, "many": [url] });
            check(&Value::Null, &object(url), [&Value::Null, &object(told)]);
        }
    }

    #[test]
    fn long_fields_are_described() {
        let long = json!({ "filter": "x".repeat(3000) });
        check(&Value::Null, &long, [&Value::Null, &json!({ "filter": "[3002 bytes]" })]);
    }
}
