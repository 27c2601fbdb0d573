//! Figures for operators, in the OpenMetrics text format. No tenant, endpoint or id in a label.

mod figures;
mod process;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use angarium_domain::delivery::DeathCause;
use angarium_domain::dispatch::LaneCounts;
use angarium_domain::outcome::{Class, Outcome};
use angarium_domain::report;
use angarium_domain::sender_domain::{Report, State};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use figures::Figure;

pub use figures::page;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    class: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToLabel {
    to: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

/// Every figure that the engine counts.
pub struct Metrics {
    registry: Registry,
    /// Without our prefix.
    process: Registry,
    events: Counter,
    deliveries: Counter,
    attempts: Family<AttemptLabels, Counter>,
    finished: Family<StateLabel, Counter>,
    dead: Family<CauseLabel, Counter>,
    alerts: Family<ToLabel, Counter>,
    latency: Histogram,
    attempt_seconds: Histogram,
    backlog: Gauge,
    oldest_due: Gauge<f64, AtomicU64>,
    lanes: Family<StateLabel, Gauge>,
    in_flight: Gauge,
    inbox: Gauge,
    listeners: Gauge,
    spans: Family<StateLabel, Counter>,
    build: Family<VersionLabel, Gauge>,
    group_jobs: Histogram,
    group_seconds: Histogram,
    rate_limited: Family<ClassLabel, Counter>,
    mail_notices: Family<WhatLabel, Counter>,
    sender_domain: Family<StateLabel, Gauge>,
    signals: Counter,
    signals_refused: Family<ReasonLabel, Counter>,
    decisions: Family<OutcomeLabel, Counter>,
    resolve_seconds: Histogram,
    sessions: Gauge,
    items: Counter,
    inbox_streams: Gauge,
    resyncs: Counter,
    reports: Family<KindLabel, Counter>,
    reports_open: Family<KindLabel, Gauge>,
    report_notices: Family<ToLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Metrics {
        let latencies = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 3600.0,
        ];
        let commits = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
        let mut metrics = Metrics {
            registry: Registry::with_prefix(figures::PREFIX),
            process: Registry::default(),
            events: Counter::default(),
            deliveries: Counter::default(),
            attempts: Family::default(),
            finished: Family::default(),
            dead: Family::default(),
            alerts: Family::default(),
            latency: Histogram::new(latencies),
            attempt_seconds: Histogram::new(latencies),
            backlog: Gauge::default(),
            oldest_due: Gauge::default(),
            lanes: Family::default(),
            in_flight: Gauge::default(),
            inbox: Gauge::default(),
            listeners: Gauge::default(),
            spans: Family::default(),
            build: Family::default(),
            group_jobs: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
            group_seconds: Histogram::new(commits),
            rate_limited: Family::default(),
            mail_notices: Family::default(),
            sender_domain: Family::default(),
            signals: Counter::default(),
            signals_refused: Family::default(),
            decisions: Family::default(),
            resolve_seconds: Histogram::new(commits),
            sessions: Gauge::default(),
            items: Counter::default(),
            inbox_streams: Gauge::default(),
            resyncs: Counter::default(),
            reports: Family::default(),
            reports_open: Family::default(),
            report_notices: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        register(r, figures::EVENTS, self.events.clone());
        register(r, figures::DELIVERIES, self.deliveries.clone());
        register(r, figures::ATTEMPTS, self.attempts.clone());
        register(r, figures::FINISHED, self.finished.clone());
        register(r, figures::DEAD, self.dead.clone());
        register(r, figures::ALERTS, self.alerts.clone());
        register(r, figures::LATENCY, self.latency.clone());
        register(r, figures::ATTEMPT_SECONDS, self.attempt_seconds.clone());
        register(r, figures::BACKLOG, self.backlog.clone());
        register(r, figures::OLDEST_DUE, self.oldest_due.clone());
        register(r, figures::LANES, self.lanes.clone());
        register(r, figures::IN_FLIGHT, self.in_flight.clone());
        register(r, figures::INBOX, self.inbox.clone());
        register(r, figures::LISTENERS, self.listeners.clone());
        register(r, figures::SPANS, self.spans.clone());
        register(r, figures::GROUP_JOBS, self.group_jobs.clone());
        register(r, figures::COMMIT_SECONDS, self.group_seconds.clone());
        register(r, figures::RATE_LIMITED, self.rate_limited.clone());
        register(r, figures::MAIL_NOTICES, self.mail_notices.clone());
        register(r, figures::SENDER_DOMAIN, self.sender_domain.clone());
        self.register_rooms();
        let r = &mut self.registry;
        register(r, figures::BUILD, self.build.clone());
        self.build.get_or_create(&VersionLabel { version: env!("CARGO_PKG_VERSION") }).set(1);
        self.process.register_collector(Box::new(process::Process));
    }

    fn register_rooms(&mut self) {
        let r = &mut self.registry;
        register(r, figures::SIGNALS, self.signals.clone());
        register(r, figures::SIGNALS_REFUSED, self.signals_refused.clone());
        register(r, figures::DECISIONS, self.decisions.clone());
        register(r, figures::RESOLVE_SECONDS, self.resolve_seconds.clone());
        register(r, figures::SESSIONS, self.sessions.clone());
        register(r, figures::ITEMS, self.items.clone());
        register(r, figures::INBOX_STREAMS, self.inbox_streams.clone());
        register(r, figures::RESYNCS, self.resyncs.clone());
        register(r, figures::REPORTS, self.reports.clone());
        register(r, figures::REPORTS_OPEN, self.reports_open.clone());
        register(r, figures::REPORT_NOTICES, self.report_notices.clone());
    }

    /// The text that a scraper reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.process))
            .and_then(|()| encode_eof(&mut text));
        written.expect("writing to a string does not fail");
        text
    }

    /// One commit of the store. To be called by the store's writer.
    pub fn committed(&self, jobs: usize, took: Duration) {
        self.group_jobs.observe(jobs as f64);
        self.group_seconds.observe(took.as_secs_f64());
    }

    /// One request that came too early. To be called by whoever refuses it, with one of few words.
    pub fn rate_limited(&self, class: &'static str) {
        self.rate_limited.get_or_create(&ClassLabel { class }).inc();
    }

    /// A provider told what became of a mail.
    pub fn mail_noticed(&self, what: &'static str) {
        self.mail_notices.get_or_create(&WhatLabel { what }).inc();
    }

    /// What the DNS says of the domain that mails come from.
    pub(crate) fn sender_domain(&self, report: &Report) {
        for state in State::ALL {
            let count = report.records.iter().filter(|record| record.state == state).count();
            self.sender_domain.get_or_create(&StateLabel { state: state.as_str() }).set(count as i64);
        }
    }

    pub(crate) fn signals_accepted(&self, count: usize) {
        self.signals.inc_by(count as u64);
    }

    pub(crate) fn signals_refused(&self, reason: &'static str, count: usize) {
        self.signals_refused.get_or_create(&ReasonLabel { reason }).inc_by(count as u64);
    }

    pub(crate) fn decided(&self, something: bool) {
        let outcome = if something { "decided" } else { "nothing" };
        self.decisions.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn resolved(&self, took: Duration) {
        self.resolve_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn sessions(&self, held: u64) {
        self.sessions.set(held as i64);
    }

    pub(crate) fn item_posted(&self) {
        self.items.inc();
    }

    pub(crate) fn resynced(&self) {
        self.resyncs.inc();
    }

    /// How many streams of inboxes are open. To be called when somebody asks for the figures.
    pub fn inbox_streams(&self, count: usize) {
        self.inbox_streams.set(count as i64);
    }

    pub(crate) fn accepted(&self, events: usize, deliveries: usize) {
        self.events.inc_by(events as u64);
        self.deliveries.inc_by(deliveries as u64);
    }

    pub(crate) fn attempted(&self, outcome: Outcome, class: Class, took: Duration) {
        self.attempts.get_or_create(&AttemptLabels { class: class.as_str(), outcome: outcome.kind() }).inc();
        if outcome != Outcome::Stored {
            // Nobody was waited for.
            self.attempt_seconds.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn delivered(&self, latency: Duration) {
        self.finished.get_or_create(&StateLabel { state: "delivered" }).inc();
        self.latency.observe(latency.as_secs_f64());
    }

    pub(crate) fn dead(&self, cause: DeathCause) {
        self.finished.get_or_create(&StateLabel { state: "dead" }).inc();
        self.dead.get_or_create(&CauseLabel { cause: cause.as_str() }).inc();
    }

    pub(crate) fn alerted(&self, somebody: bool) {
        let to = if somebody { "mail" } else { "inbox" };
        self.alerts.get_or_create(&ToLabel { to }).inc();
    }

    pub(crate) fn reported(&self, kind: report::Kind) {
        self.reports.get_or_create(&KindLabel { kind: kind.as_str() }).inc();
    }

    /// How many reports of each kind are open, the kinds without one left out.
    pub(crate) fn reports_open(&self, counted: &[(report::Kind, u32)]) {
        for kind in report::Kind::ALL {
            let open = counted.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count);
            self.reports_open.get_or_create(&KindLabel { kind: kind.as_str() }).set(i64::from(open));
        }
    }

    pub(crate) fn told_of_reports(&self, by_mail: bool) {
        let to = if by_mail { "mail" } else { "inbox" };
        self.report_notices.get_or_create(&ToLabel { to }).inc();
    }

    pub(crate) fn backlog(&self, deliveries: u64) {
        self.backlog.set(deliveries as i64);
    }

    /// How many streams of live events are open. To be called when somebody asks for the figures.
    pub fn listeners(&self, count: usize) {
        self.listeners.set(count as i64);
    }

    /// Spans that the collector took.
    pub fn spans_sent(&self, count: u64) {
        self.spans.get_or_create(&StateLabel { state: "sent" }).inc_by(count);
    }

    /// Spans that the collector did not take, or that found no room to wait for it.
    pub fn spans_dropped(&self, count: u64) {
        self.spans.get_or_create(&StateLabel { state: "dropped" }).inc_by(count);
    }

    pub(crate) fn oldest_due(&self, age: Option<Duration>) {
        self.oldest_due.set(age.unwrap_or_default().as_secs_f64());
    }

    pub(crate) fn dispatcher(&self, lanes: LaneCounts, in_flight: usize, inbox: usize) {
        self.in_flight.set(in_flight as i64);
        self.inbox.set(inbox as i64);
        let states =
            [("active", lanes.active), ("idle", lanes.idle), ("open", lanes.open), ("paused", lanes.paused)];
        for (state, count) in states {
            self.lanes.get_or_create(&StateLabel { state }).set(count as i64);
        }
    }
}

fn register(registry: &mut Registry, figure: Figure, metric: impl Metric) {
    match figure.unit {
        Some(unit) => registry.register_with_unit(figure.name, figure.help, unit, metric),
        None => registry.register(figure.name, figure.help, metric),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use angarium_domain::outcome::Failure;

    use super::*;

    /// Figures of which each has been counted at least once.
    fn busy() -> Metrics {
        let metrics = Metrics::new();
        metrics.accepted(1, 2);
        let answered = |status| Outcome::Answered { status, retry_after_seconds: None };
        metrics.attempted(answered(200), Class::Delivered, Duration::from_millis(5));
        metrics.attempted(
            Outcome::Failed { failure: Failure::Timeout },
            Class::Retry,
            Duration::from_secs(10),
        );
        metrics.delivered(Duration::from_millis(7));
        metrics.dead(DeathCause::Expired);
        metrics.alerted(true);
        metrics.backlog(3);
        metrics.oldest_due(Some(Duration::from_secs(4)));
        metrics.dispatcher(LaneCounts::default(), 1, 2);
        metrics.listeners(5);
        metrics.spans_sent(7);
        metrics.spans_dropped(8);
        metrics.rate_limited("read");
        metrics.mail_noticed("bounced");
        metrics.reported(report::Kind::Support);
        metrics.reports_open(&[]);
        metrics.told_of_reports(true);
        metrics.sender_domain(&Report {
            domain: "mail.example".to_owned(),
            state: State::Verified,
            records: Vec::new(),
        });
        metrics.signals_accepted(2);
        metrics.signals_refused("too_fast", 3);
        metrics.decided(true);
        metrics.resolved(Duration::from_millis(2));
        metrics.sessions(4);
        metrics.item_posted();
        metrics.inbox_streams(5);
        metrics.resynced();
        metrics.committed(6, Duration::from_millis(1));
        metrics
    }

    /// What a scraper is told: the kind of each family, and the names of the labels that samples have.
    fn told(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
        let mut families: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a kind");
                family = name.to_owned();
                families.insert(family.clone(), (kind.to_owned(), BTreeSet::new()));
            } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
                let labels = labels.split('}').next().unwrap_or_default().split(',');
                let names = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
                families.get_mut(&family).expect("a family").1.extend(names.filter(|name| name != "le"));
            }
        }
        families
    }

    #[test]
    fn scrapers_are_told_of_exactly_the_figures_that_the_page_lists() {
        let told = told(&busy().encode());
        let listed: BTreeMap<_, _> = figures::ALL
            .iter()
            .map(|figure| {
                let name = figure.full_name();
                let name = name.strip_suffix("_total").unwrap_or(&name).to_owned();
                let labels = figure.labels.iter().map(|(label, _)| (*label).to_owned()).collect();
                (name, (format!("{:?}", figure.kind).to_lowercase(), labels))
            })
            .collect();
        assert_eq!(told, listed);
    }

    #[test]
    fn every_figure_that_an_alert_asks_for_is_one_that_there_is() {
        let guide = include_str!("../../../docs/production.md");
        let names: BTreeSet<_> = guide
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("angarium_") || word.starts_with("process_"))
            .collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(figures::ALL.iter().any(|figure| figure.full_name() == family), "{name}");
        }
    }

    #[test]
    fn figures_have_the_values_that_were_counted() {
        let text = busy().encode();
        for line in [
            "angarium_events_accepted_total 1",
            "angarium_deliveries_accepted_total 2",
            "angarium_attempts_total{class=\"retry\",outcome=\"timeout\"} 1",
            "angarium_deliveries_dead_total{cause=\"expired\"} 1",
            "angarium_deliveries_finished_total{state=\"dead\"} 1",
            "angarium_delivery_latency_seconds_count 1",
            "angarium_backlog 3",
            "angarium_oldest_due_age_seconds 4.0",
            "angarium_dispatcher_inbox 2",
            "angarium_live_listeners 5",
            "angarium_spans_total{state=\"dropped\"} 8",
            "angarium_commit_group_jobs_sum 6.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
