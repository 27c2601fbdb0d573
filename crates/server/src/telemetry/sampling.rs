//! Which spans are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// A span follows its parent; one that links to another, which is an attempt to its event's request,
/// follows that; and a part of the rest is recorded.
#[derive(Debug, Clone)]
pub(super) struct Sampling {
    by_parent: Sampler,
}

impl Sampling {
    /// `ratio`: how much of what begins here, from 0 to 1.
    pub(super) fn of(ratio: f64) -> Sampling {
        Sampling { by_parent: Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))) }
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.iter().any(|link| link.span_context.is_sampled()) {
            let decision = SamplingDecision::RecordAndSample;
            return SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::NONE };
        }
        self.by_parent.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
