//! Figures for operators, in the OpenMetrics text format. No tenant, endpoint or id in a label.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use angarium_domain::dispatch::LaneCounts;
use angarium_domain::outcome::{Class, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    class: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Every figure that the engine counts.
pub struct Metrics {
    registry: Registry,
    events: Counter,
    deliveries: Counter,
    attempts: Family<AttemptLabels, Counter>,
    finished: Family<StateLabel, Counter>,
    latency: Histogram,
    attempt_seconds: Histogram,
    oldest_due: Gauge<f64, AtomicU64>,
    lanes: Family<StateLabel, Gauge>,
    in_flight: Gauge,
    group_jobs: Histogram,
    group_seconds: Histogram,
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
            registry: Registry::with_prefix("angarium"),
            events: Counter::default(),
            deliveries: Counter::default(),
            attempts: Family::default(),
            finished: Family::default(),
            latency: Histogram::new(latencies),
            attempt_seconds: Histogram::new(latencies),
            oldest_due: Gauge::default(),
            lanes: Family::default(),
            in_flight: Gauge::default(),
            group_jobs: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]),
            group_seconds: Histogram::new(commits),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("events_accepted", "Events on stable storage", self.events.clone());
        r.register("deliveries_accepted", "Deliveries that they were fanned out to", self.deliveries.clone());
        r.register("attempts", "Attempts, by what they came to and its class", self.attempts.clone());
        r.register("deliveries_finished", "Deliveries that came to an end", self.finished.clone());
        r.register("delivery_latency_seconds", "From acceptance to the receiver's 2xx", self.latency.clone());
        r.register("attempt_seconds", "Duration of attempts", self.attempt_seconds.clone());
        r.register(
            "oldest_due_age_seconds",
            "How long the earliest due delivery has been due",
            self.oldest_due.clone(),
        );
        r.register("lanes", "Lanes, by condition", self.lanes.clone());
        r.register("attempts_in_flight", "Attempts under way", self.in_flight.clone());
        r.register("commit_group_jobs", "Writes in one commit", self.group_jobs.clone());
        r.register("commit_seconds", "Duration of commits", self.group_seconds.clone());
    }

    /// The text that a scraper reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }

    /// One commit of the store. To be called by the store's writer.
    pub fn committed(&self, jobs: usize, took: Duration) {
        self.group_jobs.observe(jobs as f64);
        self.group_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn accepted(&self, events: usize, deliveries: usize) {
        self.events.inc_by(events as u64);
        self.deliveries.inc_by(deliveries as u64);
    }

    pub(crate) fn attempted(&self, outcome: Outcome, class: Class, took: Duration) {
        self.attempts.get_or_create(&AttemptLabels { class: class.as_str(), outcome: kind(outcome) }).inc();
        self.attempt_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn delivered(&self, latency: Duration) {
        self.finished.get_or_create(&StateLabel { state: "delivered" }).inc();
        self.latency.observe(latency.as_secs_f64());
    }

    pub(crate) fn dead(&self) {
        self.finished.get_or_create(&StateLabel { state: "dead" }).inc();
    }

    pub(crate) fn oldest_due(&self, age: Option<Duration>) {
        self.oldest_due.set(age.unwrap_or_default().as_secs_f64());
    }

    pub(crate) fn dispatcher(&self, lanes: LaneCounts, in_flight: usize) {
        self.in_flight.set(in_flight as i64);
        let states =
            [("active", lanes.active), ("idle", lanes.idle), ("open", lanes.open), ("paused", lanes.paused)];
        for (state, count) in states {
            self.lanes.get_or_create(&StateLabel { state }).set(count as i64);
        }
    }
}

/// A status class or the word for a failure: few values, whatever receivers answer.
fn kind(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered { status: 200..300, .. } => "2xx",
        Outcome::Answered { status: 300..400, .. } => "3xx",
        Outcome::Answered { status: 429, .. } => "429",
        Outcome::Answered { status: 400..500, .. } => "4xx",
        Outcome::Answered { .. } => "5xx",
        Outcome::Failed { failure } => failure.as_str(),
    }
}
