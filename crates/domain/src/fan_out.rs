//! Which subscriptions an event goes to.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::event::Event;
use crate::subscription::Subscription;

/// An event that subscriptions are asked about.
///
/// Its payload is parsed when a schema or the first subscription with a filter asks for it, and once
/// at most: an event that meets neither costs no parsing.
pub struct Candidate<'e> {
    event: &'e Event,
    payload: OnceCell<Value>,
}

impl<'e> Candidate<'e> {
    /// An event about which nobody has been asked yet.
    pub fn new(event: &'e Event) -> Candidate<'e> {
        Candidate { event, payload: OnceCell::new() }
    }

    /// The payload as a tree.
    pub fn payload(&self) -> &Value {
        self.payload.get_or_init(|| self.event.payload.to_value())
    }

    /// Whether a subscription wants this event: its type, and its payload if there is a filter.
    ///
    /// The one place where that is decided, for what is published now and for what is looked up later.
    pub fn is_wanted_by(&self, subscription: &Subscription) -> bool {
        subscription.wants(&self.event.event_type)
            && subscription.filter.as_ref().is_none_or(|filter| filter.matches(self.payload()))
    }
}

/// The subscriptions that want an event, in the order given.
///
/// Paused ones and those switched off are included: their deliveries are held, not lost.
pub fn matching<'a, S>(
    subscriptions: &'a [Arc<S>],
    candidate: &'a Candidate<'_>,
) -> impl Iterator<Item = &'a Arc<S>>
where
    S: AsRef<Subscription>,
{
    subscriptions.iter().filter(|subscription| candidate.is_wanted_by(subscription.as_ref().as_ref()))
}
