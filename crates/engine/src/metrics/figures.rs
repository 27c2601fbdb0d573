//! The figures that there are: what scrapers are told about them, and the page in the docs.

use std::fmt::Write as _;

use angarium_domain::delivery::DeathCause;
use prometheus_client::registry::Unit;

/// What every name begins with, those of the process excepted.
pub(super) const PREFIX: &str = "angarium";

/// One figure. Its name, kind and labels are a promise to whoever has dashboards.
pub(super) struct Figure {
    /// Without the prefix, the unit and the endings that a kind has.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<Unit>,
    /// Each label and the values that it may have: few, whatever callers and receivers do.
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) help: &'static str,
    /// Whether it is named as every process names it, without our prefix.
    pub(super) of_the_process: bool,
}

/// How a figure moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, and begins at zero with the process.
    Counter,
    /// It is what it is at the moment.
    Gauge,
    /// How often which values were seen.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

macro_rules! figures {
    ($($name:ident = $kind:ident $text:literal $(in $unit:ident)? $(by $labels:expr)? , $help:literal $(, $process:ident)?;)*) => {
        $(pub(super) const $name: Figure = Figure {
            name: $text,
            kind: Kind::$kind,
            unit: figures!(@unit $($unit)?),
            labels: figures!(@labels $($labels)?),
            help: $help,
            of_the_process: figures!(@process $($process)?),
        };)*

        /// Every figure, in the order of the page.
        pub(super) const ALL: &[Figure] = &[$($name),*];
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
    (@labels) => { &[] };
    (@labels $labels:expr) => { $labels };
    (@process) => { false };
    (@process $process:ident) => { true };
}

const STATES_OF_LANES: &str = "`active`, `idle`, `open` (the receiver is out, only probes go), `paused`";
const OUTCOMES: &str = "`2xx`, `3xx`, `429`, other `4xx`, `5xx`; of mail servers `mail_2xx`, `mail_4xx`, `mail_5xx`; `stored` for an item of an inbox; or the word for a failure such as `timeout`, or `outcome_unknown` for a mail that may have arrived";
const NOTICES: &str =
    "`bounced`, `bounced_for_now`, `complained`, or `other`, such as that one was delivered";
const REFUSALS: &str = "`session_full`, `handle_full`, `too_fast`, `closed` (the handle may not write), `key` (of another request), `overloaded`";
const KINDS_OF_REPORTS: &str = "`support`, `escalation`, `content`";
const CLASSES: &str = "`read`, `write`, `publish`, `v1`, or `unauthenticated` for addresses whose credentials were refused too often";

figures! {
    EVENTS = Counter "events_accepted",
        "Events on stable storage";
    DELIVERIES = Counter "deliveries_accepted",
        "Deliveries that they were fanned out to; tests, replays and our own events are not counted";
    ATTEMPTS = Counter "attempts" by &[("class", "`delivered`, `retry`, `terminal`"), ("outcome", OUTCOMES)],
        "Attempts, by what they came to and its class";
    FINISHED = Counter "deliveries_finished" by &[("state", "`delivered`, `dead`")],
        "Deliveries that came to an end";
    DEAD = Counter "deliveries_dead" by &[("cause", "the reasons of the delivery log, such as `attempts_exhausted`")],
        "Deliveries that were given up, by why";
    ALERTS = Counter "owner_alerts" by &[("to", "`mail`, `inbox` (the handle has no address)")],
        "Times that an owner was told of deliveries that were given up, by whom it reached";
    LATENCY = Histogram "delivery_latency" in Seconds,
        "From the making of a delivery, which for a published event is its acceptance, to the receiver's 2xx";
    ATTEMPT_SECONDS = Histogram "attempt" in Seconds,
        "How long attempts at receivers took";
    BACKLOG = Gauge "backlog",
        "Deliveries that wait for an attempt, those of paused subscriptions included, those behind an older one of their ordering key not; counted every five seconds, and up to 100000";
    OLDEST_DUE = Gauge "oldest_due_age" in Seconds,
        "How long the earliest due delivery has been due, those of paused subscriptions and of receivers that are down included";
    LANES = Gauge "lanes" by &[("state", STATES_OF_LANES)],
        "Subscriptions that the dispatcher knows, by condition";
    IN_FLIGHT = Gauge "attempts_in_flight",
        "Attempts under way";
    INBOX = Gauge "dispatcher_inbox",
        "Messages that wait for the dispatcher, of 16384 that may";
    LISTENERS = Gauge "live_listeners",
        "Open streams of live events, of 200 that may be";
    SPANS = Counter "spans" by &[("state", "`sent`, `dropped` (the collector did not take them, or more than 4096 waited for it)")],
        "Spans of traces, by what became of them; none unless `telemetry.otlp_endpoint` is set";
    COMMIT_SECONDS = Histogram "commit" in Seconds,
        "How long commits took to be on stable storage; its count is the number of commits";
    GROUP_JOBS = Histogram "commit_group_jobs",
        "Writes that shared a commit; where many commits have 1024, writes wait for one another";
    RATE_LIMITED = Counter "rate_limited" by &[("class", CLASSES)],
        "Requests answered 429";
    MAIL_NOTICES = Counter "mail_notices" by &[("what", NOTICES)],
        "What Amazon SES told of mails after it took them, by SNS";
    SENDER_DOMAIN = Gauge "sender_domain_records" by &[("state", "`pending`, `verified`, `failed`, `temporarily_failed`")],
        "DNS records of the domain that mails come from, by what the last look found; none where no mails are sent";
    SIGNALS = Counter "chain_signals",
        "Signals on stable storage";
    SIGNALS_REFUSED = Counter "chain_signals_refused" by &[("reason", REFUSALS)],
        "Signals that were not taken, by why";
    DECISIONS = Counter "chain_decisions" by &[("outcome", "`decided`, `nothing` (no rule holds)")],
        "Decisions that were asked for by `resolve`; those that were only given again, and prefetched ones, are not counted";
    RESOLVE_SECONDS = Histogram "chain_resolve" in Seconds,
        "How long a decision took, with whatever had to be written for it";
    SESSIONS = Gauge "chain_sessions",
        "Sessions with a signal, of all handles; counted every five seconds";
    ITEMS = Counter "inbox_items",
        "Items posted to inboxes";
    INBOX_STREAMS = Gauge "inbox_streams",
        "Open streams of inboxes, of as many as `inbox.streams_percent` lets be";
    RESYNCS = Counter "inbox_resyncs",
        "Times that a listener was told that it missed items, and reads its inbox anew";
    REPORTS = Counter "reports" by &[("kind", KINDS_OF_REPORTS)],
        "Reports that came, by kind";
    REPORTS_OPEN = Gauge "reports_open" by &[("kind", KINDS_OF_REPORTS)],
        "Reports that nobody closed; counted every five seconds, and up to 100000";
    REPORT_NOTICES = Counter "report_notices" by &[("to", "`mail`, `inbox` (no address is set at `support.handle`)")],
        "Times that whoever runs the service was told of reports, by whom it reached; none unless `support.handle` is set";
    BUILD = Gauge "build_info" by &[("version", "of this binary")],
        "1, with the version that runs";
    PROCESS_MEMORY = Gauge "process_resident_memory" in Bytes,
        "Memory that the process has", process;
    PROCESS_CPU = Counter "process_cpu" in Seconds,
        "Processor time that the process has used", process;
    PROCESS_FILES = Gauge "process_open_fds",
        "Files and sockets that the process has open", process;
    PROCESS_START = Gauge "process_start_time" in Seconds,
        "When the process began, in seconds since 1970", process;
}

impl Figure {
    /// The name under which a query finds it; a histogram's has `_bucket`, `_sum` and `_count` after it.
    pub(super) fn full_name(&self) -> String {
        let prefix = if self.of_the_process { String::new() } else { format!("{PREFIX}_") };
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let ending = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{prefix}{}{unit}{ending}", self.name)
    }
}

/// The page `docs/metrics.md`, from what the code says. `cargo xtask docs` writes it.
pub fn page() -> String {
    let mut page = "\
# Figures

This page is written by `cargo xtask docs` from what the code says; do not edit it.

`GET /metrics` answers in the OpenMetrics text format.
No label names a handle, an address or an id.
A histogram has `_bucket`, `_sum` and `_count` after its name.

| name | kind | unit | labels | what it tells |
|---|---|---|---|---|
"
    .to_owned();
    for figure in ALL {
        let unit = figure.unit.as_ref().map_or("", |unit| unit.as_str());
        let labels: Vec<String> =
            figure.labels.iter().map(|(label, values)| format!("`{label}`: {values}")).collect();
        let (name, kind) = (figure.full_name(), figure.kind.as_str());
        writeln!(page, "| `{name}` | {kind} | {unit} | {} | {} |", labels.join("; "), figure.help)
            .expect("writing to a string does not fail");
    }
    writeln!(
        page,
        "\nThe reasons of deaths are {}.",
        words(DeathCause::ALL.iter().map(|cause| cause.as_str()))
    )
    .expect("writing to a string does not fail");
    page
}

fn words(words: impl Iterator<Item = &'static str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
