//! What the route of the audit log says of itself.

use crate::api::v2::audit::AuditView;
use crate::openapi::Operation;
use crate::openapi::schema::{text, word};
use crate::openapi::words::Time;

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listAudit", "List the audit log")
        .about("Every administrative act: who, from where, and what it changed, without secrets.")
        .filter("actor", text(), "By exactly this actor.")
        .filter("action", text(), "Exactly this action.")
        .filter("object", text(), "To exactly this object.")
        .filter("since", word::<Time>(), "At this time or later.")
        .filter("until", word::<Time>(), "Before this time.")
        .page_of::<AuditView>("A page of it.")
}
