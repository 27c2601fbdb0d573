//! What the route of events says of itself.

use crate::api::v1::envelope::around;
use crate::api::v1::events::AcceptedView;
use crate::api::v2::events::docs::new_event;
use crate::openapi::Operation;

pub(in crate::api::v1) fn publish() -> Operation {
    Operation::new("publishEvent", "Publish an event")
        .about(
            "The answer means that the event and its deliveries are on stable storage. What a test key publishes is \
             recorded and matched and never sent.",
        )
        .body("NewEvent", new_event())
        .answer_around::<AcceptedView>(
            around,
            202,
            "Accepted. An event that matches no webhook is recorded too.",
        )
}
