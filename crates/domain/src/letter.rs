//! What a mail says. The form, as text and as HTML, is the channel's.

use serde_json::Value;

use crate::event::Event;
use crate::handle::Handle;
use crate::recipient;
use crate::time::Timestamp;

/// How much of a payload a mail shows, in characters: more is a matter for the log.
const QUOTED_CHARS_MAX: usize = 4_000;

/// What a mail says. Plain text; whoever shows it escapes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// One line.
    pub heading: String,
    /// In order.
    pub paragraphs: Vec<String>,
    /// Names and values, in order.
    pub facts: Vec<(String, String)>,
    /// Somebody's data, with its line ends.
    pub quoted: Option<String>,
    /// Where to go from here.
    pub link: Option<Link>,
    /// Why this mail was sent.
    pub closing: Vec<String>,
    /// Where the subscription is ended; none where there is none.
    pub unsubscribe: Option<String>,
}

/// Something to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What comes of it.
    pub words: String,
    /// Where it leads.
    pub url: String,
}

/// The addresses that a mail names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// Where the delivery can be looked at.
    pub delivery: Option<String>,
    /// The same without the delivery's id: another's follows a slash.
    pub deliveries: Option<String>,
    /// Where a report can be looked at, without its id: that follows a slash.
    pub reports: Option<String>,
    /// Where consent is given.
    pub confirm: Option<String>,
    /// Where the subscription is ended.
    pub unsubscribe: Option<String>,
}

/// The letter about an event. `about` is what the catalogue says of its type.
pub fn letter(event: &Event, about: Option<&str>, links: Links) -> Letter {
    let payload = event.payload.to_value();
    let Links { delivery, deliveries, reports, confirm, unsubscribe } = links;
    let letter = match event.event_type.as_str() {
        recipient::CONFIRMATION => question(&event.handle, &payload, confirm),
        recipient::TEST => test(event, delivery),
        recipient::OWNER_DEFAULT_CHANGED => owner_default_changed(&event.handle, &payload),
        recipient::OWNER_ALERT => alert(&event.handle, &payload, deliveries),
        recipient::REPORTS => reported(&event.handle, &payload, reports),
        _ => happening(event, about, delivery),
    };
    Letter { unsubscribe, ..letter }
}

fn question(handle: &Handle, payload: &Value, confirm: Option<String>) -> Letter {
    let types = text_list(&payload["eventTypes"]);
    let what = if types.is_empty() {
        format!(
            "Somebody asked that you receive the e-mails for the owner of {handle}, such as alerts, again."
        )
    } else {
        format!(
            "Somebody asked that you receive an e-mail whenever one of these happens at {handle}: {types}."
        )
    };
    Letter {
        subject: format!("Please confirm: e-mails from {handle}"),
        heading: format!("Do you want e-mails from {handle}?"),
        paragraphs: vec![
            what,
            "If you want that, open the page below and confirm there. If you do not, do nothing: you will receive \
             no more mail about it."
                .to_owned(),
        ],
        facts: time(payload, "expiresAt").map(|at| vec![("Valid until".to_owned(), at)]).unwrap_or_default(),
        link: confirm.map(|url| Link { words: "Open the page".to_owned(), url }),
        closing: vec!["You received this one mail because your address was entered. It is not a newsletter.".to_owned()],
        ..Letter::default()
    }
}

fn test(event: &Event, delivery: Option<String>) -> Letter {
    let handle = &event.handle;
    Letter {
        subject: format!("Test e-mail from {handle}"),
        heading: "This is a test".to_owned(),
        paragraphs: vec![format!("Somebody asked {handle} to send a test to this address. It has arrived.")],
        facts: vec![("Asked for at".to_owned(), event.occurred_at.to_string())],
        link: seen_at(delivery),
        closing: because_of(handle),
        ..Letter::default()
    }
}

fn owner_default_changed(handle: &Handle, payload: &Value) -> Letter {
    let address = |field: &str| payload[field].as_str().unwrap_or("none").to_owned();
    Letter {
        subject: format!("The default address for notices of {handle} was changed"),
        heading: "The default address for notices was changed".to_owned(),
        paragraphs: vec![
            format!("What nobody else is told of at {handle} is sent to the new address from now on."),
            "If you did not expect this, look into the audit log of the handle, and change the address back."
                .to_owned(),
        ],
        facts: vec![
            ("Before".to_owned(), address("before")),
            ("Now".to_owned(), address("now")),
            ("Changed by".to_owned(), address("by")),
        ],
        closing: vec![format!("Both addresses receive this mail. It concerns the handle {handle}.")],
        ..Letter::default()
    }
}

fn alert(handle: &Handle, payload: &Value, deliveries: Option<String>) -> Letter {
    let count = payload["count"].as_u64().unwrap_or(1);
    let host = payload["endpointHost"].as_str().unwrap_or("a subscription").to_owned();
    let what = if count == 1 { "A delivery was".to_owned() } else { format!("{count} deliveries were") };
    let fact = |name: &str, field: &str| {
        let value = &payload[field];
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (!value.is_null()).then(|| (name.to_owned(), text))
    };
    // Of the last failure: the delivery of this mail is in nobody's way.
    let failed = deliveries.zip(payload["deliveryId"].as_str()).map(|(url, id)| format!("{url}/{id}"));
    let facts = [
        ("How many", "count"),
        ("Since", "since"),
        ("Subscription", "subscriptionId"),
        ("Where to", "endpointHost"),
        ("Last delivery", "deliveryId"),
        ("Event type", "eventType"),
        ("Reason", "reason"),
        ("Last status", "lastStatus"),
        ("Given up at", "failedAt"),
    ];
    Letter {
        subject: format!("{handle}: {what} given up ({host})"),
        heading: format!("{what} given up"),
        paragraphs: vec![format!(
            "{what} not accepted by {host}, and will not be tried again by itself. Nothing is lost: the dead letters \
             of {handle} can be replayed once the receiver works."
        )],
        facts: facts.iter().filter_map(|(name, field)| fact(name, field)).collect(),
        link: failed.map(|url| Link { words: "See the last delivery that was given up".to_owned(), url }),
        closing: because_of(handle),
        ..Letter::default()
    }
}

/// What a stranger wrote is among the facts, in their words and in one line.
fn reported(handle: &Handle, payload: &Value, reports: Option<String>) -> Letter {
    let what = how_many_reports(payload);
    let latest = &payload["latest"];
    let fact = |name: &str, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (!value.is_null()).then(|| (name.to_owned(), text))
    };
    let facts = [
        ("How many", &payload["count"]),
        ("Since", &payload["since"]),
        ("The latest", &latest["reportId"]),
        ("It says", &latest["summary"]),
        ("Of the handle", &latest["handle"]),
        ("It came at", &latest["createdAt"]),
    ];
    Letter {
        subject: format!("{handle}: {what}"),
        heading: what,
        paragraphs: vec![
            "Somebody told you, who run this service, of something. A platform admin can read all of it, and close \
             what is done."
                .to_owned(),
        ],
        facts: facts.iter().filter_map(|(name, value)| fact(name, value)).collect(),
        link: reports
            .zip(latest["reportId"].as_str())
            .map(|(url, id)| Link { words: "See the latest report".to_owned(), url: format!("{url}/{id}") }),
        closing: because_of(handle),
        ..Letter::default()
    }
}

/// Reports in one line, by the payload of the event that tells of them: how many, of which kind, and of whom.
pub fn how_many_reports(payload: &Value) -> String {
    let count = payload["count"].as_u64().unwrap_or(1);
    let of_strangers = payload["ofStrangers"].as_bool().unwrap_or_default();
    let (one, more) = match payload["kind"].as_str() {
        Some("escalation") => ("An escalation", "escalations"),
        Some("content") => ("A report about content", "reports about content"),
        _ => ("A report to support", "reports to support"),
    };
    let what = if count == 1 { one.to_owned() } else { format!("{count} {more}") };
    if of_strangers { format!("{what} by strangers") } else { what }
}

fn happening(event: &Event, about: Option<&str>, delivery: Option<String>) -> Letter {
    let (handle, event_type) = (&event.handle, &event.event_type);
    let what = about.map(|about| about.trim().trim_end_matches('.')).filter(|about| !about.is_empty());
    Letter {
        subject: match what {
            Some(what) => format!("{handle}: {what}"),
            None => format!("{handle}: {event_type}"),
        },
        heading: what.map_or_else(|| event_type.to_string(), str::to_owned),
        facts: vec![
            ("Event".to_owned(), event_type.to_string()),
            ("Happened at".to_owned(), event.occurred_at.to_string()),
            ("At".to_owned(), handle.to_string()),
            ("Event id".to_owned(), event.id.to_string()),
        ],
        quoted: Some(quoted(&event.payload.to_value())),
        link: seen_at(delivery),
        closing: because_of(handle),
        ..Letter::default()
    }
}

fn seen_at(delivery: Option<String>) -> Option<Link> {
    delivery.map(|url| Link { words: "See this delivery".to_owned(), url })
}

fn because_of(handle: &Handle) -> Vec<String> {
    vec![format!(
        "You receive this because you confirmed, or were named, to be told of what happens at {handle}."
    )]
}

fn quoted(payload: &Value) -> String {
    let text = serde_json::to_string_pretty(payload).unwrap_or_default();
    if text.chars().count() <= QUOTED_CHARS_MAX {
        return text;
    }
    let kept: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    format!("{kept}\n… and more: the delivery shows all of it")
}

fn text_list(list: &Value) -> String {
    let texts: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    texts.join(", ")
}

fn time(payload: &Value, field: &str) -> Option<String> {
    payload[field].as_str()?.parse::<Timestamp>().ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Origin;
    use crate::ids::EventId;
    use crate::payload::Payload;

    fn event(event_type: &str, payload: &Value) -> Event {
        let noon = Timestamp::from_seconds(12 * 3600);
        Event {
            id: EventId::from_bytes([1; 16]),
            handle: "acme".parse().expect("a handle"),
            event_type: event_type.parse().expect("a type"),
            occurred_at: noon.into(),
            accepted_at: noon,
            origin: Origin::System,
            ordering_key: None,
            payload: Payload::of_our_own(payload),
            trace: None,
        }
    }

    #[test]
    fn an_event_says_what_happened_when_and_where_to_look() {
        let links = Links { delivery: Some("https://a.example/d".to_owned()), ..Links::default() };
        let letter = letter(&event("order.paid", &json!({ "total": 12 })), Some("An order was paid."), links);
        assert_eq!(letter.subject, "acme: An order was paid");
        assert!(letter.facts.contains(&("Happened at".to_owned(), "1970-01-01T12:00:00Z".to_owned())));
        assert!(letter.quoted.expect("the payload").contains("\"total\": 12"));
        assert_eq!(letter.link.expect("a link").url, "https://a.example/d");
    }

    #[test]
    fn a_type_that_nobody_described_is_called_by_its_name() {
        for about in [None, Some(" . ")] {
            let letter = letter(&event("order.paid", &json!({})), about, Links::default());
            assert_eq!((letter.subject.as_str(), letter.link), ("acme: order.paid", None));
        }
    }

    #[test]
    fn a_long_payload_is_cut() {
        let letter = letter(&event("a.b", &json!({ "x": "y".repeat(10_000) })), None, Links::default());
        let quoted = letter.quoted.expect("the payload");
        assert!(quoted.chars().count() < QUOTED_CHARS_MAX + 100 && quoted.ends_with("shows all of it"));
    }

    #[test]
    fn the_question_names_what_is_asked_for_and_shows_no_payload() {
        let payload =
            json!({ "eventTypes": ["order.*", "refund.made"], "expiresAt": "2026-01-01T00:00:00Z" });
        let links = Links { confirm: Some("https://a.example/confirm/t".to_owned()), ..Links::default() };
        let letter = letter(&event(recipient::CONFIRMATION, &payload), None, links);
        assert!(letter.paragraphs[0].contains("order.*, refund.made"));
        assert_eq!(letter.link.expect("a link").url, "https://a.example/confirm/t");
        assert_eq!(letter.quoted, None);
    }

    #[test]
    fn reports_are_counted_and_the_latest_is_named() {
        let payload = json!({
            "kind": "content", "ofStrangers": true, "count": 3, "since": "2026-01-01T00:00:00Z",
            "latest": { "reportId": "rep_7", "summary": "<b>look</b>", "handle": null },
        });
        let links = Links { reports: Some("https://a.example/reports".to_owned()), ..Links::default() };
        let letter = letter(&event(recipient::REPORTS, &payload), None, links);
        assert_eq!(letter.subject, "acme: 3 reports about content by strangers");
        assert!(letter.facts.contains(&("It says".to_owned(), "<b>look</b>".to_owned())));
        assert!(!letter.facts.iter().any(|(name, _)| name == "Of the handle"));
        assert_eq!(letter.link.expect("a link").url, "https://a.example/reports/rep_7");
        let one = json!({ "kind": "escalation", "ofStrangers": false, "count": 1 });
        assert_eq!(how_many_reports(&one), "An escalation");
    }

    #[test]
    fn an_alert_counts_what_gathered() {
        let payload = json!({
            "count": 3, "since": "2026-01-01T00:00:00Z", "endpointHost": "hooks.example.com", "lastStatus": 500,
            "reason": null, "deliveryId": "dlv_7",
        });
        let links = Links {
            delivery: Some("https://a.example/deliveries/dlv_of_this_mail".to_owned()),
            deliveries: Some("https://a.example/deliveries".to_owned()),
            ..Links::default()
        };
        let letter = letter(&event(recipient::OWNER_ALERT, &payload), None, links);
        for fact in [("How many", "3"), ("Since", "2026-01-01T00:00:00Z")] {
            assert!(letter.facts.contains(&(fact.0.to_owned(), fact.1.to_owned())), "{fact:?}");
        }
        assert_eq!(letter.link.expect("a link").url, "https://a.example/deliveries/dlv_7");
        assert_eq!(letter.subject, "acme: 3 deliveries were given up (hooks.example.com)");
        assert!(letter.facts.contains(&("Last status".to_owned(), "500".to_owned())));
        assert!(!letter.facts.iter().any(|(name, _)| name == "Reason"));
    }
}
