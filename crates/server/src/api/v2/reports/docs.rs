//! What the routes of reports say of themselves.

use angarium_domain::report::{
    ARTIFACT_CHARS_MAX, DETAILS_CHARS_MAX, Kind, NOTE_CHARS_MAX, STRANGERS_ARTIFACT_CHARS_MAX,
    STRANGERS_DETAILS_CHARS_MAX, SUMMARY_CHARS_MAX, Status, WORD_CHARS_MAX,
};

use crate::api::v2::reports::{ReportView, TakenView};
use crate::openapi::Operation;
use crate::openapi::schema::{Object, choice, object, text_of, word};
use crate::openapi::words::ReportId;

pub(in crate::api::v2) fn support() -> Operation {
    Operation::new("reportToSupport", "Tell whoever runs the service that something does not work")
        .about("With a credential, the webhook and the event that the report names are looked up, and what the log says about them is attached: endpoint, deliveries, attempts, statuses and times. Without one they are words, `details` has at most 4,000 characters and `reproArtifact` 1,000.")
        .under("support")
        .body("SupportReport", about_something())
        .answer::<TakenView>(201, "It was taken.")
        .problem(404, "handle_not_found", "the handle was deleted")
}

pub(in crate::api::v2) fn escalate() -> Operation {
    Operation::new("escalate", "Tell whoever looks after the service that somebody has to look")
        .about("What the handle that is named has is looked up.")
        .body("Escalation", about_something().optional("reportId", word::<ReportId>()))
        .answer::<TakenView>(201, "It was taken.")
        .problem(404, "handle_not_found", "the handle was deleted")
}

pub(in crate::api::v2) fn content() -> Operation {
    let fields = told(STRANGERS_DETAILS_CHARS_MAX)
        .optional("handle", text_of(0..=WORD_CHARS_MAX))
        .optional("url", text_of(0..=STRANGERS_ARTIFACT_CHARS_MAX).about("Where the content is."))
        .optional("contact", text_of(0..=WORD_CHARS_MAX).about("Where an answer would go."));
    Operation::new("reportContent", "Tell that something published is not right")
        .about("For everybody. Nothing that is named is looked up.")
        .under("support")
        .body("ContentReport", fields)
        .answer::<TakenView>(201, "It was taken.")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listReports", "List reports")
        .filter("kind", choice(&Kind::ALL), "Those of one kind.")
        .filter("status", choice(&Status::ALL), "Those that are open, or those that are closed.")
        .page_of::<ReportView>("A page of them.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getReport", "Show a report")
        .of::<ReportId>("reportId")
        .answer::<ReportView>(200, "The report, with its evidence.")
}

pub(in crate::api::v2) fn patch() -> Operation {
    let fields = object()
        .required("status", choice(&Status::ALL))
        .optional("note", text_of(0..=NOTE_CHARS_MAX).about("What came of it; for one that is closed."));
    Operation::new("updateReport", "Close a report, or open it again")
        .about("Repeating it changes nothing; another note replaces the one before.")
        .of::<ReportId>("reportId")
        .body("ReportPatch", fields)
        .answer::<ReportView>(200, "The report as it is now.")
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteReport", "Remove a report").of::<ReportId>("reportId").nothing("It is gone.")
}

fn told(details_chars_max: usize) -> Object {
    object()
        .required(
            "summary",
            text_of(1..=SUMMARY_CHARS_MAX).about("One line.").such_as("Deliveries stopped at noon"),
        )
        .required("details", text_of(1..=details_chars_max))
}

fn about_something() -> Object {
    let named = || text_of(0..=WORD_CHARS_MAX);
    told(DETAILS_CHARS_MAX)
        .optional("handle", named().about("Needed where a JWT names webhooks or events."))
        .optional("sessionId", named())
        .optional("subscriptionId", named())
        .optional("eventId", named())
        .optional("requestId", named().about("The `x-request-id` of an answer."))
        .optional(
            "reproArtifact",
            text_of(0..=ARTIFACT_CHARS_MAX).about("What shows it again: an address, or a few lines."),
        )
}
