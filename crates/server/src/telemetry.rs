//! Spans on their way to a collector, over OTLP (decisions/0025).
//!
//! Off unless the settings name a collector. Nothing waits for it: what it does not take is dropped
//! and counted, and the log says once that it does not answer.

mod collector;
mod queue;
pub(crate) mod request;
mod sampling;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Metrics;
use angarium_engine::traces::Traces;
use http::{HeaderName, HeaderValue};
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::TelemetrySettings;
use collector::Collector;
use sampling::Sampling;

/// What the path of a collector's address ends with, for spans.
const SPANS_PATH: &str = "/v1/traces";
/// The longest that the end of the process waits for the collector.
const FAREWELL: Duration = Duration::from_secs(5);

/// The way to the collector, if there is one.
pub(crate) struct Telemetry {
    traces: Traces,
    sending: Option<Sending>,
}

struct Sending {
    ending: CancellationToken,
    tasks: TaskTracker,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The system's certificates cannot be used.
    #[error("the certificates for the collector of spans cannot be loaded")]
    Certificates(#[from] rustls::Error),
    /// The headers for the collector are not headers. They may be secret, so they are not repeated.
    #[error(
        "telemetry.otlp_headers, entry {number}: must be name=value, with the name and value of a header"
    )]
    Header {
        /// Which of the entries, from 1.
        number: usize,
    },
    /// The exporter refuses what it was told, here or in a variable of OpenTelemetry's own.
    #[error("spans cannot be sent to telemetry.otlp_endpoint: {0}")]
    Exporter(String),
}

impl Telemetry {
    /// Starts what sends spans, if the settings name a collector. It need not be there.
    pub(crate) fn start(
        settings: &TelemetrySettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Telemetry, TelemetryError> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Telemetry { traces: Traces::off(), sending: None });
        };
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(spans_address(endpoint))
            .with_timeout(collector::DEADLINE)
            // With its waits it would hold up a thread of the runtime.
            .with_retry_policy(RetryPolicy::disabled())
            .with_headers(headers(settings.otlp_headers.as_ref().map(|headers| &headers.0))?)
            .with_http_client(Collector::at(endpoint)?)
            .build()
            .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        exporter.set_resource(&resource);
        let (ending, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (queue, sender) = queue::queue(exporter, metrics.clone(), ending.clone());
        tasks.spawn(sender.run());
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampling::of(settings.sampling_ratio))
            .with_span_processor(queue)
            .build();
        let scope = InstrumentationScope::builder("angarium").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = BoxedTracer::new(Box::new(provider.tracer_with_scope(scope)));
        Ok(Telemetry { traces: Traces::to(tracer), sending: Some(Sending { ending, tasks }) })
    }

    /// What makes the spans.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Sends what waits, for as long as `grace` and five seconds both allow.
    pub(crate) async fn end(&self, grace: Duration) {
        let Some(Sending { ending, tasks }) = &self.sending else { return };
        ending.cancel();
        tasks.close();
        if tokio::time::timeout(grace.min(FAREWELL), tasks.wait()).await.is_err() {
            tracing::warn!("the collector of spans did not take the last ones in time; they are lost");
        }
    }
}

/// The address for spans, from that of a collector as everybody configures it.
fn spans_address(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    if base.ends_with(SPANS_PATH) { base.to_owned() } else { format!("{base}{SPANS_PATH}") }
}

/// The headers in `name=value,name=value`.
fn headers(text: Option<&SecretString>) -> Result<HashMap<String, String>, TelemetryError> {
    let text = text.map_or("", ExposeSecret::expose_secret);
    let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
    entries.map(|(at, entry)| header(entry).ok_or(TelemetryError::Header { number: at + 1 })).collect()
}

fn header(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_header = name.parse::<HeaderName>().is_ok() && value.parse::<HeaderValue>().is_ok();
    is_header.then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_collector_may_name_the_path_for_spans_or_leave_it_out() {
        for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
            assert_eq!(spans_address(endpoint), "http://c:4318/v1/traces");
        }
        assert_eq!(spans_address("https://c/otlp"), "https://c/otlp/v1/traces");
    }

    #[test]
    fn headers_are_read_and_a_broken_one_is_named_by_its_place_alone() {
        let read = |text: &str| headers(Some(&text.to_owned().into()));
        let found = read("x-team = a=b , authorization=Basic eDp5,").expect("headers");
        assert_eq!((found["x-team"].as_str(), found["authorization"].as_str()), ("a=b", "Basic eDp5"));
        for text in ["x-a=1,secret", "x-a=1,sec ret=1", "x-a=1,secret=\u{7}"] {
            let error = read(text).expect_err("refused").to_string();
            assert!(error.contains("entry 2") && !error.contains("sec"), "{error}");
        }
    }
}
