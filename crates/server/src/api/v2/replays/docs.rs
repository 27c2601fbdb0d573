//! What the routes of replays say of themselves.

use angarium_domain::replay::Target;
use serde_json::json;

use crate::api::v2::replays::{CreatedView, RATE_DEFAULT, RATE_PER_SECOND, ReplayView};
use crate::openapi::Operation;
use crate::openapi::schema::{flag, object, whole, word};
use crate::openapi::words::{DeliveryFilter, ReplayId, ReplayTarget};

pub(in crate::api::v2) fn create() -> Operation {
    let filter = word::<DeliveryFilter>()
        .about("Which deliveries; `{}` for all.")
        .such_as(json!({ "status": "dead" }));
    let rate =
        whole(RATE_PER_SECOND).or(RATE_DEFAULT).about("How many deliveries a second are made at most.");
    let fields = object()
        .required("filter", filter)
        .optional("to", word::<ReplayTarget>().or(Target::default()))
        .optional("ratePerSecond", rate)
        .optional("dryRun", flag().or(false).about("Only count what matches."));
    Operation::new("createReplay", "Deliver many past events again")
        .about("Deliveries that are made after the replay was asked for are not included.")
        .body("NewReplay", fields)
        .answer::<CreatedView>(202, "Begun, or counted.")
        .conflict("the handle has as many running replays as it may have")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getReplay", "Show a replay")
        .of::<ReplayId>("replayId")
        .answer::<ReplayView>(200, "The replay, and how far it is.")
}

pub(in crate::api::v2) fn cancel() -> Operation {
    Operation::new("cancelReplay", "Cancel a replay")
        .about("What was replayed already stays.")
        .of::<ReplayId>("replayId")
        .answer::<ReplayView>(200, "The replay as it ended.")
        .conflict("the replay has ended")
}
