//! What the routes of handles say of themselves.

use angarium_domain::account::REASON_CHARS_MAX;
use angarium_domain::quota::Plan as DomainPlan;

use crate::api::v2::handles::{HandleView, LeavingView, LifeView};
use crate::openapi::Operation;
use crate::openapi::schema::{flag, object, text_of, word};
use crate::openapi::words::{Handle, Plan, TimeZone};

const NOT_THERE: &str = "the handle in the path cannot be one, was deleted, or was never made";

pub(in crate::api::v2) fn create() -> Operation {
    let fields = object()
        .required("handle", word::<Handle>())
        .optional("plan", word::<Plan>().or(DomainPlan::default()))
        .optional("timeZone", word::<TimeZone>().or("UTC").about("Where its day begins."));
    Operation::new("createHandle", "Make a handle")
        .about("Declares one that exists by virtue of credentials, too; it keeps what it has.")
        .body("NewHandle", fields)
        .answer::<HandleView>(201, "Made.")
        .conflict("the handle was made already, or is being removed")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listHandles", "List handles by name").page_of::<HandleView>("A page of them.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getHandle", "Show a handle with what it uses")
        .answer::<LifeView>(200, "The handle.")
        .problem(404, "handle_not_found", NOT_THERE)
}

pub(in crate::api::v2) fn patch() -> Operation {
    let reason =
        text_of(1..=REASON_CHARS_MAX).about("What its people are told; with `suspended: true` only.");
    let fields = object()
        .optional("plan", word::<Plan>())
        .optional("timeZone", word::<TimeZone>())
        .optional("suspended", flag().about("Let it read and nothing else, or let it go on."))
        .optional("reason", reason);
    Operation::new("changeHandle", "Change, suspend or resume a handle")
        .about(
            "A suspended handle starts no attempt from the answer on; what waits goes out when it goes on.",
        )
        .body("HandlePatch", fields)
        .problem(404, "handle_not_found", NOT_THERE)
        .answer::<HandleView>(200, "The handle as it is now.")
        .conflict("the handle is being removed")
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteHandle", "Remove a handle with everything that it has")
        .about("Nothing is accepted for it and no attempt starts from the answer on; the rest happens in the background.")
        .answer::<LeavingView>(202, "It is being removed.")
        .problem(404, "handle_not_found", NOT_THERE)
        .conflict("the handle is being removed already")
}
