//! A service that runs: whether it answers, whether it can work, whether its clock agrees with ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use bytes::Bytes;
use http::header::DATE;
use http::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::installation::InUse;
use super::report::Report;
use crate::cli::client::ask_openly;

/// How far clocks may lie apart, in seconds. JWTs have a leeway of 60, signatures one of 300.
const SKEW_SECONDS_MAX: u64 = 30;

#[derive(Deserialize)]
struct Readiness {
    #[serde(default)]
    reasons: Vec<String>,
}

/// Where a service that listens at `address` can be asked from this machine.
pub(super) fn url_of(address: SocketAddr) -> Url {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Url::parse(&format!("http://{address}")).expect("a socket address makes a URL")
}

/// Asks the service at an address how it is. It should be there if the store is in use.
pub(super) async fn examine(report: &mut Report, url: &Url, store: Option<InUse>) {
    match ask_openly(url, "/readyz").await {
        Ok(answer) => {
            readiness(report, url, &answer);
            skew(report, &answer, SystemClock.now());
        }
        Err(error) if store == Some(InUse::Yes) => {
            let advice = "say where it listens with --url; if it is there, restart it and read its log";
            report.wrong("service", &error.to_string(), advice);
        }
        Err(_) => {
            let text = format!("nobody answers at {url}");
            report.note(
                "service",
                &text,
                Some("start it with `angarium serve`, or say where it is with --url"),
            );
        }
    }
}

fn readiness(report: &mut Report, url: &Url, answer: &Response<Bytes>) {
    let readiness: Result<Readiness, _> = serde_json::from_slice(answer.body());
    match (answer.status(), readiness) {
        (StatusCode::OK, Ok(_)) => report.well("service", &format!("{url} is ready")),
        (StatusCode::SERVICE_UNAVAILABLE, Ok(Readiness { reasons })) => {
            let text = format!("{url} is not ready: {}", reasons.join(", "));
            report.wrong(
                "service",
                &text,
                "read its log; a full disk and a stopping process are the usual causes",
            );
        }
        (status, _) => {
            let text = format!("{url} answers {status}, which this service does not");
            report.wrong(
                "service",
                &text,
                "something else listens there: check the address and any proxy before it",
            );
        }
    }
}

fn skew(report: &mut Report, answer: &Response<Bytes>, now: Timestamp) {
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(seconds_of);
    let Some(theirs) = date else { return };
    let apart = theirs.abs_diff(now.as_seconds());
    if apart > SKEW_SECONDS_MAX {
        let text = format!("the service's clock is {apart} s apart from this machine's");
        report.wrong("clock", &text, "set both by NTP: tokens end and signatures age by these clocks");
    }
}

/// Unix seconds of an HTTP date such as `Wed, 25 Feb 2026 12:00:00 GMT`.
fn seconds_of(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = date.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let at: Timestamp = format!("{year}-{month:02}-{day}T{time}Z").parse().ok()?;
    Some(at.as_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_772_020_800);

    fn answer(status: u16, body: &'static str) -> Response<Bytes> {
        let answer = Response::builder().status(status).header(DATE, "Wed, 25 Feb 2026 12:00:00 GMT");
        answer.body(Bytes::from(body)).expect("an answer")
    }

    #[track_caller]
    fn check(status: u16, body: &'static str, begins: &str) {
        let mut report = Report::default();
        readiness(&mut report, &url_of(([0, 0, 0, 0], 8080).into()), &answer(status, body));
        assert!(report.to_string().starts_with(begins), "{report}");
    }

    #[test]
    fn a_service_that_cannot_work_says_why() {
        check(200, r#"{"ready":true}"#, "ok     service   http://127.0.0.1:8080/ is ready");
        check(
            503,
            r#"{"ready":false,"reasons":["the dispatcher is stuck"]}"#,
            "WRONG  service   http://127.0.0.1:8080/ is not ready: the dispatcher is stuck",
        );
        check(404, "<html>", "WRONG  service   http://127.0.0.1:8080/ answers 404");
    }

    #[test]
    fn clocks_that_lie_apart_are_noticed() {
        let wrongs_at = |now| {
            let mut report = Report::default();
            skew(&mut report, &answer(200, "{}"), now);
            report.wrongs()
        };
        assert_eq!(wrongs_at(NOON), 0);
        assert_eq!(wrongs_at(Timestamp::from_seconds(NOON.as_seconds() + 31)), 1);
        assert_eq!(wrongs_at(Timestamp::from_seconds(NOON.as_seconds() - 31)), 1);
    }

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(seconds_of("Wed, 25 Feb 2026 12:00:00 GMT"), Some(NOON.as_seconds()));
        assert_eq!(seconds_of("yesterday"), None);
    }
}
