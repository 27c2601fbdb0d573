//! What the stream of deliveries says of itself.

use angarium_engine::live::Fate;

use crate::openapi::Operation;
use crate::openapi::schema::{choice, object, text, whole, word};
use crate::openapi::words::{EventType, SubscriptionId};

const FATES: [Fate; 5] = [Fate::Attempted, Fate::Delivered, Fate::Retrying, Fate::Dead, Fate::Cancelled];

pub(in crate::api::v2) fn stream() -> Operation {
    // What tools hold against the schema is one event and not the text of all of them.
    let one = object()
        .sometimes("event", text().about("`delivery.<status>`, `resync` or `end`."))
        .sometimes("id", text().about("The place in the stream, for `last-event-id`."))
        .sometimes("data", text().about("JSON: what happened, or the reason."))
        .sometimes("retry", whole(0..=u32::MAX).about("In milliseconds."));
    Operation::new("streamDeliveries", "Watch deliveries")
        .about(
            "Server-sent events `delivery.<status>` while things happen. `last-event-id` takes a stream up again; \
             `resync` says that events were missed, and `end` why there will be no more.",
        )
        .filter("subscriptionId", word::<SubscriptionId>(), "Deliveries to this webhook.")
        .filter("eventType", word::<EventType>(), "Deliveries of events of exactly this type.")
        .filter("status", choice(&FATES.map(Fate::as_str)), "What they come to.")
        .answer_in(200, "text/event-stream", one.schema(), "The stream, which does not end by itself.")
        .problem(429, "rate_limited", "there are as many listeners as there may be")
}
