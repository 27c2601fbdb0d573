//! What Angarium sends: the requests that receivers get, and what their answers mean.

use angarium_domain::outcome::{Class, Outcome, RetryOn};
use serde_json::{Map, Value, json};

use crate::api::dialect::Dialect;
use crate::openapi::own_events::own_events;
use crate::openapi::schema::{Schema, choice, object, plain, text, word};
use crate::openapi::words::{EventId, EventType, Handle, Payload, Time};

/// What the names of components begin with that say what an answer of a receiver means.
const MEANING: &str = "Receiver";

/// The deliveries of a handle's own events, and of those that Angarium makes, as the webhooks of a
/// dialect get them.
pub(super) fn webhooks(dialect: Dialect) -> Value {
    let delivery = |summary, about, event_type: Schema, payload: Schema| {
        delivery(dialect, summary, about, &event_type, &payload)
    };
    let own = own_events();
    let own = own.into_iter().map(|event| {
        let said = delivery(event.summary, event.about, choice(&[event.event_type]), event.payload);
        (event.event_type.to_owned(), said)
    });
    let published = delivery(
        "An event that was published on the handle",
        "Sent to every webhook whose `eventTypes` and filter select it.",
        word::<EventType>(),
        word::<Payload>(),
    );
    Value::Object([("event".to_owned(), published)].into_iter().chain(own).collect())
}

/// The request that brings events of a type to receivers.
pub(super) fn delivery(
    dialect: Dialect,
    summary: &str,
    about: &str,
    event_type: &Schema,
    payload: &Schema,
) -> Value {
    let reference = |kind: &str, name: &str| json!({ "$ref": format!("#/components/{kind}/{name}") });
    let headers = headers(dialect);
    let meanings = responses().map(|(name, _)| {
        let status = name.trim_start_matches(MEANING).to_owned();
        (status, reference("responses", &name))
    });
    json!({ "post": {
        "summary": summary,
        "description": about,
        "parameters": headers.keys().map(|name| reference("parameters", name)).collect::<Value>(),
        "requestBody": { "required": true, "content": content(dialect, event_type, payload) },
        "responses": meanings.collect::<Map<_, _>>(),
        "security": [],
    } })
}

/// The bodies, by media type: the one of v1's webhooks, or all that a webhook of v2 may choose from.
fn content(dialect: Dialect, event_type: &Schema, payload: &Schema) -> Value {
    let platformxe = object()
        .required("id", word::<EventId>())
        .required("type", event_type.clone())
        .required("timestamp", word::<Time>())
        .required("data", payload.clone())
        .schema();
    if dialect == Dialect::V1 {
        return json!({ "application/json": { "schema": platformxe.into_value() } });
    }
    let native = object()
        .required("id", word::<EventId>())
        .required("type", event_type.clone())
        .required("handle", word::<Handle>())
        .required("occurredAt", word::<Time>())
        .required("payload", payload.clone())
        .schema();
    let standard = object()
        .required("type", event_type.clone())
        .required("timestamp", word::<Time>())
        .required("data", payload.clone())
        .schema();
    let cloud_event = object()
        .required("specversion", choice(&["1.0"]))
        .required("id", word::<EventId>())
        .required("source", text().such_as("/handles/acme"))
        .required("type", event_type.clone())
        .required("time", word::<Time>())
        .required("datacontenttype", choice(&["application/json"]))
        .required("attempt", plain(json!({ "type": "integer", "minimum": 1 })))
        .sometimes("partitionkey", text().about("The publisher's ordering key."))
        .required("data", payload.clone())
        .schema();
    let binary = payload.clone();
    let json_forms = json!({ "anyOf": [
        native.about("`payloadFormat` `native`").into_value(),
        standard.about("`payloadFormat` `standard`").into_value(),
        platformxe.about("`payloadFormat` `platformxe`").into_value(),
        binary.about("`payloadFormat` `cloudevents-binary`: the attributes are in `ce-*` headers").into_value(),
    ] });
    json!({
        "application/json": { "schema": json_forms },
        "application/cloudevents+json": { "schema": cloud_event.into_value() },
    })
}

/// The headers of every delivery, as components.
pub(super) fn headers(dialect: Dialect) -> Map<String, Value> {
    let header = |name: &str, required: bool, about: &str, schema: Schema| {
        json!({
            "name": name, "in": "header", "required": required, "description": about, "schema": schema.into_value(),
        })
    };
    let number = || plain(json!({ "type": "integer", "minimum": 1 }));
    let all = vec![
        header("webhook-id", true, "The event's id, the same on every attempt.", word::<EventId>()),
        header("webhook-timestamp", true, "When it was signed, in Unix seconds.", number()),
        header(
            "webhook-signature",
            true,
            "Standard Webhooks 1.0: tokens `v1,…` or `v1a,…` over `{id}.{timestamp}.{body}`, one for each live key.",
            text(),
        ),
        header(
            "x-arjun-signature",
            false,
            "Profile `arjun`: the HMAC-SHA256 of the raw body under the secret's text.",
            text().matching("^sha256=[0-9a-f]{64}$"),
        ),
        header("x-arjun-event-type", false, "Profile `arjun`: the event's type.", word::<EventType>()),
        header("x-arjun-attempt", false, "Profile `arjun`: the attempt's number.", number()),
        header(
            "x-event-signature",
            false,
            "Profile `platformxe`: the HMAC-SHA256 of `{timestamp}.{body}` under the secret's text.",
            text().matching("^[0-9a-f]{64}$"),
        ),
        header("x-event-timestamp", false, "Profile `platformxe`: Unix seconds at signing.", number()),
        header("x-event-type", false, "Profile `platformxe`: the event's type.", word::<EventType>()),
        header("x-event-id", false, "Profile `platformxe`: the event's id.", word::<EventId>()),
        header("user-agent", true, "`Angarium/` and the version.", text()),
    ];
    let arjun = |header: &Value| header["name"].as_str().is_some_and(|name| name.starts_with("x-arjun-"));
    let sent = all.into_iter().filter(|header| dialect == Dialect::V2 || !arjun(header));
    sent.map(|header| (header["name"].as_str().expect("a name").to_owned(), header)).collect()
}

/// What the classes of answers mean, as the domain decides it, as components.
pub(super) fn responses() -> impl Iterator<Item = (String, Value)> {
    let meaning = |status: u16| {
        let class = |retry_on| Outcome::Answered { status, retry_after_seconds: None }.class(retry_on);
        match (class(RetryOn::Transient), class(RetryOn::AnyFailureButGone), class(RetryOn::AnyFailure)) {
            (Class::Delivered, _, _) => "Delivered.",
            (Class::Retry, _, _) => "Tried again as the retry policy says; `retry-after` is heeded.",
            (_, Class::Retry, _) => {
                "Final under the policy `fast`; tried again under `standard` and `patient`."
            }
            (_, _, Class::Retry) => {
                "Final under the policies `fast` and `standard`; tried again under `patient`."
            }
            (_, _, Class::Delivered | Class::Terminal) => "Final.",
        }
    };
    let shown = [
        ("2XX", 200),
        ("3XX", 302),
        ("408", 408),
        ("409", 409),
        ("410", 410),
        ("425", 425),
        ("429", 429),
        ("4XX", 400),
        ("5XX", 500),
    ];
    shown
        .into_iter()
        .map(move |(name, status)| (format!("{MEANING}{name}"), json!({ "description": meaning(status) })))
}
