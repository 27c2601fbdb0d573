//! The life of one delivery on a page: for whoever is woken by it at three in the morning.

use std::fmt::Write as _;
use std::time::Duration;

use angarium_domain::delivery::Status;
use angarium_domain::retry::Delay;
use angarium_domain::time::Timestamp;

use crate::cli::answers::{Attempt, Delivery, DeliveryLife, Timing};
use crate::cli::span::in_words;
use crate::cli::table::harmless;

/// The page. What came from the receiver is shown without power over the terminal.
pub(crate) fn page(life: &DeliveryLife, now: Timestamp) -> String {
    let mut page = Page::default();
    page.delivery(&life.delivery, now);
    for attempt in &life.attempt_log {
        page.attempt(attempt);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn delivery(&mut self, delivery: &Delivery, now: Timestamp) {
        self.heading("delivery", &delivery.delivery_id.to_string());
        self.line("status", &standing(delivery, now));
        self.line("event", &format!("{} {}", delivery.event_type, delivery.event_id));
        self.line("webhook", &delivery.subscription_id.to_string());
        self.line("made", &format!("{}, {}", delivery.created_at, origin(delivery)));
        if let Some(at) = delivery.finished_at {
            let took = in_words(at.since(delivery.created_at));
            self.line("finished", &format!("{at}, {took} after it was made"));
        }
        if let Some(id) = delivery.replay_of {
            self.line("replay of", &id.to_string());
        }
        if let Some(id) = delivery.replayed_by {
            self.line("replayed by", &id.to_string());
        }
        if let Some(at) = delivery.discarded_at {
            self.line("discarded", &at.to_string());
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        self.text.push('\n');
        let outcome =
            format!("{}  {} after {}", attempt.started_at, attempt.answer(), millis(attempt.duration_ms));
        self.heading(&format!("attempt {}", attempt.number), &outcome);
        let at = attempt.remote_address.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
        self.line("endpoint", &format!("{}{at}", attempt.endpoint));
        if let Some(parts) = parts(attempt.timing) {
            self.line("time", &parts);
        }
        if let Some(detail) = &attempt.error_detail {
            self.line("error", detail);
        }
        self.line("class", &format!("{}: {}", attempt.class.as_str(), attempt.why));
        if let Some(advice) = &attempt.advice {
            self.line("what to do", advice);
        }
        if let Some(delay) = attempt.delay {
            self.line("next", &wait(delay));
        }
        self.answer(attempt);
    }

    fn answer(&mut self, attempt: &Attempt) {
        for (name, value) in &attempt.response_headers {
            self.line("header", &format!("{name}: {value}"));
        }
        for line in attempt.response_body.lines() {
            self.line("body", line);
        }
        if attempt.response_truncated {
            self.line("body", "… (the rest was not kept)");
        }
    }

    fn heading(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "{name:<15}{}", harmless(value));
    }

    fn line(&mut self, name: &str, value: &str) {
        let line = format!("  {name:<13}{}", harmless(value));
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

fn standing(delivery: &Delivery, now: Timestamp) -> String {
    let status = delivery.status.as_str();
    let reason = delivery.reason.map(|reason| format!("{status}: {}", reason.as_str()));
    let next = delivery.next_attempt_at.map(|at| {
        let wait = if at > now { format!("in {}", in_words(at.since(now))) } else { "now".to_owned() };
        format!("{status}: attempt {} is due {wait}, at {at}", delivery.attempts + 1)
    });
    match delivery.status {
        Status::Held => {
            format!("{status}: its webhook holds its deliveries (see its status); resuming it goes on")
        }
        _ => reason.or(next).unwrap_or_else(|| status.to_owned()),
    }
}

fn origin(delivery: &Delivery) -> &'static str {
    use angarium_domain::event::Origin;
    match delivery.origin {
        Origin::Live => "live traffic",
        Origin::Test => "a test",
        Origin::System => "by this service itself",
        Origin::Sandbox => "a test key, so nothing was sent",
    }
}

fn parts(timing: Timing) -> Option<String> {
    let parts = [
        ("dns", timing.dns_ms),
        ("connect", timing.connect_ms),
        ("tls", timing.tls_ms),
        ("first byte", timing.first_byte_ms),
    ];
    let known: Vec<String> =
        parts.into_iter().filter_map(|(name, ms)| Some(format!("{name} {}", millis(ms?)))).collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn wait(delay: Delay) -> String {
    let span = |ms| in_words(Duration::from_millis(ms));
    let mut text =
        format!("{} later: the policy waits {}", in_words(delay.total()), span(delay.scheduled_ms));
    if let Some(asked) = delay.asked_ms {
        let capped = if delay.capped { ", capped" } else { "" };
        let _ = write!(text, ", the receiver asked for {}{capped}", span(asked));
    }
    let _ = write!(text, ", jitter {}", span(delay.jitter_ms));
    text
}

fn millis(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOON: &str = "2026-02-25T12:00:00Z";

    fn life() -> serde_json::Value {
        json!({
            "deliveryId": "dlv_01040g2081040g2081040g2081", "eventId": "evt_01040g2081040g2081040g2081",
            "eventType": "order.fulfilled", "subscriptionId": "sub_01040g2081040g2081040g2081",
            "status": "retrying", "origin": "live", "attempts": 1, "createdAt": NOON,
            "nextAttemptAt": "2026-02-25T12:01:03Z", "lastStatus": 503,
            "attemptLog": [{
                "number": 1, "startedAt": "2026-02-25T12:00:00.004Z", "durationMs": 1234.5,
                "timing": { "dnsMs": 1.25, "connectMs": 0.3, "tlsMs": null, "firstByteMs": 1200.0 },
                "endpoint": "https://crm.example/hook", "remoteAddress": "192.0.2.1:443",
                "status": 503, "error": null, "errorDetail": null,
                "responseHeaders": [["retry-after", "60"]], "responseBody": "upstream\u{1b}[2J\ndown",
                "responseTruncated": true, "class": "retry", "why": "503 is tried again",
                "advice": "restore it", "delay": { "scheduledMs": 5000, "askedMs": 60000, "capped": false, "jitterMs": 1700 },
            }],
        })
    }

    #[track_caller]
    fn check(life: serde_json::Value, expected: &str) {
        let life: DeliveryLife = serde_json::from_value(life).expect("a delivery");
        assert_eq!(page(&life, NOON.parse().expect("a time")), expected);
    }

    #[test]
    fn the_page_tells_every_attempt_and_what_comes_next() {
        check(
            life(),
            "\
delivery       dlv_01040g2081040g2081040g2081
  status       retrying: attempt 2 is due in 1 min 3 s, at 2026-02-25T12:01:03Z
  event        order.fulfilled evt_01040g2081040g2081040g2081
  webhook      sub_01040g2081040g2081040g2081
  made         2026-02-25T12:00:00Z, live traffic

attempt 1      2026-02-25T12:00:00.004Z  503 after 1.23 s
  endpoint     https://crm.example/hook at 192.0.2.1:443
  time         dns 1.2 ms, connect 0.3 ms, first byte 1.20 s
  class        retry: 503 is tried again
  what to do   restore it
  next         1 min 1 s later: the policy waits 5 s, the receiver asked for 1 min, jitter 1.7 s
  header       retry-after: 60
  body         upstream\\u{1b}[2J
  body         down
  body         … (the rest was not kept)
",
        );
    }

    #[test]
    fn a_dead_delivery_says_why_and_what_became_of_it() {
        let mut dead = life();
        let changes = json!({
            "status": "dead", "nextAttemptAt": null, "reason": "attempts_exhausted", "attemptLog": [],
            "finishedAt": "2026-02-25T12:01:20Z", "replayedBy": "dlv_02040g2081040g2081040g2081",
        });
        dead.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        check(
            dead,
            "\
delivery       dlv_01040g2081040g2081040g2081
  status       dead: attempts_exhausted
  event        order.fulfilled evt_01040g2081040g2081040g2081
  webhook      sub_01040g2081040g2081040g2081
  made         2026-02-25T12:00:00Z, live traffic
  finished     2026-02-25T12:01:20Z, 1 min 20 s after it was made
  replayed by  dlv_02040g2081040g2081040g2081
",
        );
    }
}
