//! Spans that wait for the collector: a bounded queue, and the task that empties it.
//!
//! Our own and not the SDK's batch processor, which runs in a thread without a runtime, says in no
//! figure what it drops, and logs every failure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Metrics;
use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many spans may wait: some seconds of many, and a few MiB.
const WAITING_MAX: usize = 4096;
/// How many go in one request.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const COLLECTING: Duration = Duration::from_secs(1);

/// Where spans go when they end. Never waits.
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: Arc<Metrics>,
}

/// Empties the queue.
pub(super) struct Sender {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    ending: CancellationToken,
    /// Whether the last batch was taken: the log is told when that changes.
    answers: bool,
}

/// A queue and what empties it, until `ending`.
pub(super) fn queue(
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    ending: CancellationToken,
) -> (Queue, Sender) {
    let (waiting, spans) = mpsc::channel(WAITING_MAX);
    let queue = Queue { spans: waiting, metrics: metrics.clone() };
    (queue, Sender { spans, exporter, metrics, ending, answers: true })
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        // `Telemetry::end` does it, which can wait without holding up a thread.
        Ok(())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Sender {
    /// Sends batch after batch; returns when the end has come and nothing waits.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.collect(&mut batch).await {
            let spans = batch.len() as u64;
            let taken = self.exporter.export(std::mem::take(&mut batch)).await;
            match &taken {
                Ok(()) => self.metrics.spans_sent(spans),
                Err(_) => self.metrics.spans_dropped(spans),
            }
            self.tell(taken);
        }
    }

    /// Waits for a full batch, or for a while after its first span. False: nothing comes any more.
    async fn collect(&mut self, batch: &mut Vec<SpanData>) -> bool {
        // In this order: at the end everything that waits is still taken.
        tokio::select! {
            biased;
            _ = self.spans.recv_many(batch, BATCH_MAX) => {}
            () = self.ending.cancelled() => {}
        }
        let until = Instant::now() + COLLECTING;
        while !batch.is_empty() && batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            let taken = tokio::select! {
                biased;
                taken = self.spans.recv_many(batch, room) => taken,
                () = self.ending.cancelled() => 0,
                () = tokio::time::sleep_until(until) => 0,
            };
            if taken == 0 {
                break;
            }
        }
        !batch.is_empty()
    }

    fn tell(&mut self, taken: OTelSdkResult) {
        match (taken, self.answers) {
            (Err(error), true) => {
                tracing::warn!(%error, "the collector does not take spans; they are dropped, and counted in angarium_spans_total");
                self.answers = false;
            }
            (Ok(()), false) => {
                tracing::info!("the collector takes spans again");
                self.answers = true;
            }
            (Ok(()), true) | (Err(_), false) => {}
        }
    }
}
