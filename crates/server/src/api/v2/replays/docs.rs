//! What the routes of replays say of themselves.

use angarium_domain::replay::Target;
use serde_json::json;

use crate::api::v2::replays::{CreatedView, RATE_DEFAULT, RATE_PER_SECOND, ReplayView};
use crate::openapi::Operation;
use crate::openapi::schema::{either, flag, list as list_of, object, whole, word};
use crate::openapi::words::{
    EventId, EventType, FinishedStatus, ReplayId, ReplayTarget, SubscriptionId, Time,
};

pub(in crate::api::v2) fn create() -> Operation {
    let statuses = [word::<FinishedStatus>(), list_of(word::<FinishedStatus>(), 1..=2)];
    let filter = object()
        .optional("subscriptionId", word::<SubscriptionId>())
        .optional("eventId", word::<EventId>())
        .optional("eventType", word::<EventType>())
        .optional("status", either(statuses).about("`dead`, `delivered`, or a list of both."))
        .optional("since", word::<Time>())
        .optional("until", word::<Time>())
        .schema()
        .about("Which deliveries; `{}` for all dead letters.")
        .such_as(json!({ "status": "dead" }));
    let rate =
        whole(RATE_PER_SECOND).or(RATE_DEFAULT).about("How many deliveries a second are made at most.");
    let fields = object()
        .required("filter", filter)
        .optional("to", word::<ReplayTarget>().or(Target::default()))
        .optional("ratePerSecond", rate)
        .optional("missing", flag().or(false).about("Deliver what one webhook missed, and repeat nothing: the filter then names the webhook and the earliest acceptance, and no state."))
        .optional("dryRun", flag().or(false).about("Only count what matches."));
    Operation::new("createReplay", "Deliver many past events again")
        .about("Deliveries that are made after the replay was asked for are not included.")
        .body("NewReplay", fields)
        .answer::<CreatedView>(202, "Begun, or counted.")
        .showing("replayId")
        .conflict("the handle has as many running replays as it may have")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listReplays", "List replays")
        .about("Those that run and those that have ended, until retention forgets them.")
        .page_of::<ReplayView>("A page of them.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getReplay", "Show a replay")
        .of::<ReplayId>("replayId")
        .answer::<ReplayView>(200, "The replay, and how far it is.")
        .showing("finishedAt")
}

pub(in crate::api::v2) fn cancel() -> Operation {
    Operation::new("cancelReplay", "Cancel a replay")
        .about("What was replayed already stays.")
        .of::<ReplayId>("replayId")
        .answer::<ReplayView>(200, "The replay as it ended.")
        .showing("finishedAt")
        .showing_as("status", "cancelled")
        .conflict("the replay has ended")
}
