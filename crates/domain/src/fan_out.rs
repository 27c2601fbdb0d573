//! Which subscriptions an event goes to.

use std::sync::Arc;

use crate::event_type::EventType;
use crate::subscription::Subscription;

/// The subscriptions that want an event of this type, in the order given.
///
/// Paused ones and those switched off are included: their deliveries are held, not lost.
pub fn matching<'a, S>(
    subscriptions: &'a [Arc<S>],
    event_type: &'a EventType,
) -> impl Iterator<Item = &'a Arc<S>>
where
    S: AsRef<Subscription>,
{
    subscriptions.iter().filter(move |subscription| subscription.as_ref().as_ref().wants(event_type))
}
