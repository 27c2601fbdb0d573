//! Spans for whoever collects them: of requests, of appends, of attempts.
//!
//! Off, nothing is made and nothing is counted: every place asks once whether there is a tracer.
//! What is recorded names handles and ids, and never a payload, a secret, a header, or the path or
//! query of a receiver's address, which may hold the subscriber's credentials (decisions/0025).

use std::sync::Arc;

use angarium_domain::attempt::Exchange;
use angarium_domain::outcome::{Class, Outcome};
use angarium_domain::subscription::EndpointUrl;
use angarium_domain::trace_context::TraceContext;
use angarium_store::delivery_queue::Leased;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, Value};

/// Makes spans, or does nothing. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<BoxedTracer>>);

/// A span that is recorded. It ends when it is dropped.
pub struct Span(BoxedSpan);

impl Traces {
    /// Nobody collects spans.
    pub fn off() -> Traces {
        Traces(None)
    }

    /// Spans are given to a tracer, which also decides which are recorded.
    pub fn to(tracer: BoxedTracer) -> Traces {
        Traces(Some(Arc::new(tracer)))
    }

    /// Whether there is a tracer.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A request that we serve, in the trace of its caller if there is one. None if it is not recorded.
    pub fn request(&self, name: String, caller: Option<&TraceContext>) -> Option<Span> {
        let parent = caller.map(|caller| Context::new().with_remote_span_context(span_context(caller, true)));
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        self.recorded(builder, &parent.unwrap_or_default())
    }

    /// An append, if the request that asks for it is recorded.
    pub(crate) fn append(&self, request: Option<&Arc<TraceContext>>) -> Option<Span> {
        self.0.as_ref()?;
        let request = request.filter(|request| request.sampled)?;
        let parent = Context::new().with_remote_span_context(span_context(request, false));
        self.recorded(SpanBuilder::from_name("append"), &parent)
    }

    /// An attempt, if the request that published its event was recorded. It begins a trace of its own,
    /// which names that request: it may be made days later, and a hundred of them would bury it.
    pub(crate) fn attempt(&self, leased: &Leased, url: &EndpointUrl) -> Option<Span> {
        self.0.as_ref()?;
        let Leased { delivery, event, .. } = leased;
        let published = event.trace.as_ref().filter(|request| request.sampled)?;
        let builder = SpanBuilder::from_name("attempt")
            .with_kind(SpanKind::Client)
            .with_links(vec![Link::new(span_context(published, true), Vec::new(), 0)]);
        let mut span = self.recorded(builder, &Context::new())?;
        let (host, port) = host_and_port(url);
        let number = delivery.next_attempt();
        span.set("http.request.method", "POST");
        span.set("server.address", host.to_owned());
        span.set("server.port", i64::from(port));
        if number > 1 {
            span.set("http.request.resend_count", i64::from(number) - 1);
        }
        span.set("angarium.handle", delivery.handle.to_string());
        span.set("angarium.event.id", delivery.event_id.to_string());
        span.set("angarium.event.type", delivery.event_type.to_string());
        span.set("angarium.delivery.id", delivery.id.to_string());
        span.set("angarium.subscription.id", delivery.subscription_id.to_string());
        span.set("angarium.attempt", i64::from(number));
        Some(span)
    }

    fn recorded(&self, builder: SpanBuilder, parent: &Context) -> Option<Span> {
        let span = self.0.as_ref()?.build_with_context(builder, parent);
        span.is_recording().then_some(Span(span))
    }
}

impl Span {
    /// Says one thing about it. No secrets, no payloads, nothing that the caller wrote freely.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(key, value));
    }

    /// It did not succeed; `kind` is one of few words.
    pub fn fail(&mut self, kind: impl Into<Value>) {
        self.set("error.type", kind);
        self.0.set_status(Status::error(""));
    }

    /// How others name it.
    pub fn context(&self) -> TraceContext {
        let context = self.0.span_context();
        let state = context.trace_state().header();
        TraceContext {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            sampled: context.is_sampled(),
            state: (!state.is_empty()).then(|| state.into()),
        }
    }

    /// What came of an attempt. It ends here: the settlement is not the receiver's time.
    pub(crate) fn answered(mut self, exchange: &Exchange, class: Class) {
        self.set("angarium.class", class.as_str());
        match exchange.outcome {
            Outcome::Answered { status, .. } => {
                self.set("http.response.status_code", i64::from(status));
                if status >= 400 {
                    self.fail(status.to_string());
                }
            }
            Outcome::Replied { code, .. } => {
                self.set("smtp.response.status_code", i64::from(code));
                if code >= 400 {
                    self.fail(code.to_string());
                }
            }
            Outcome::Stored => {}
            Outcome::Failed { failure } => self.fail(failure.as_str()),
        }
    }
}

fn span_context(context: &TraceContext, is_remote: bool) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(context.sampled);
    let state = context.state.as_deref().and_then(|state| state.parse().ok());
    SpanContext::new(
        TraceId::from_bytes(context.trace_id),
        SpanId::from_bytes(context.span_id),
        flags,
        is_remote,
        state.unwrap_or(TraceState::NONE),
    )
}

/// Where an attempt goes, without what may hold credentials.
fn host_and_port(url: &EndpointUrl) -> (&str, u16) {
    let host = url.host();
    let default = if url.as_str().starts_with("https:") { 443 } else { 80 };
    (host.trim_matches(['[', ']']), url.port().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_port_of_an_address_are_told() {
        for (url, host, port) in [
            ("https://hooks.example.com/services/T0/secret?token=x", "hooks.example.com", 443),
            ("http://10.0.0.1:8080/a:1", "10.0.0.1", 8080),
            ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443),
            ("https://[2001:db8::1]?a", "2001:db8::1", 443),
        ] {
            assert_eq!(host_and_port(&EndpointUrl::vetted(url)), (host, port));
        }
    }
}
