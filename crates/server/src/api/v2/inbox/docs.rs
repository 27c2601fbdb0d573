//! What the routes of the inbox say of themselves.

use angarium_domain::inbox::{BODY_CHARS_MAX, TITLE_CHARS_MAX};

use super::{Archived, CountsView, InboxView, ItemView, MarkedView};
use crate::openapi::Operation;
use crate::openapi::schema::{choice, object, text, text_of, whole, word};
use crate::openapi::words::{EventType, ItemId, Payload, Time};

const HEADING: &str = "inbox";
const ARCHIVED: [Archived; 3] = [Archived::Exclude, Archived::Include, Archived::Only];

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listInbox", "List the inbox")
        .under(HEADING)
        .about(
            "Newest first, as the caller has read it: a person by the subject of their JWT, a token by its id. \
             Items go when they expire, or after the days that the operator has set.",
        )
        .filter("unread", choice(&["true", "false"]), "Those that the caller has not read, or those that they have.")
        .filter("archived", choice(&ARCHIVED).or("exclude"), "What of those that the caller has archived.")
        .filter("type", word::<EventType>(), "Exactly this type.")
        .paged()
        .answer::<InboxView>(200, "A page, and the caller's counts.")
}

pub(in crate::api::v2) fn post() -> Operation {
    let fields = object()
        .required("type", word::<EventType>())
        .required("title", text_of(1..=TITLE_CHARS_MAX).about("One line of plain text."))
        .optional("body", text_of(1..=BODY_CHARS_MAX).about("Plain text."))
        .optional("data", word::<Payload>().about("For programs: an object of at most 4,096 bytes."))
        .optional(
            "actionUrl",
            text()
                .such_as("https://app.example.com/orders/42")
                .about("`https`, or the scheme of an app that the operator has named; at most 2,048 bytes."),
        )
        .optional("expiresAt", word::<Time>().about("When the item goes. It may take a minute longer."));
    Operation::new("postInboxItem", "Put an item into the inbox")
        .under(HEADING)
        .about("Everybody who reads the inbox of the handle has it as unread.")
        .body("NewInboxItem", fields)
        .answer::<ItemView>(201, "The item.")
}

pub(in crate::api::v2) fn stream() -> Operation {
    // What tools hold against the schema is one event and not the text of all of them.
    let one = object()
        .sometimes("event", text().about("`item`, `counts`, `resync` or `end`."))
        .sometimes("id", text().about("The place in the stream, for `last-event-id`."))
        .sometimes(
            "data",
            text().about("JSON: the item without its body and data, the counts, or the reason."),
        )
        .sometimes("retry", whole(0..=u32::MAX).about("In milliseconds."));
    Operation::new("streamInbox", "Hear of new items and counts")
        .under(HEADING)
        .about(
            "Server-sent events: `item` for each that comes, `counts` when the caller's counts are others. \
             `last-event-id` takes a stream up again, for a day and a thousand items; `resync` says that more was missed, \
             and `end` why there will be no more.",
        )
        .answer_in(200, "text/event-stream", one.schema(), "The stream, which does not end by itself.")
        .problem(400, "invalid_<field>", "the stream takes no parameters")
        .problem(429, "rate_limited", "the caller has as many streams as a reader may have")
}

pub(in crate::api::v2) fn see() -> Operation {
    marked("seeInboxItem", "Mark an item as seen", "It came into view. Counts as unread still.")
}

pub(in crate::api::v2) fn read() -> Operation {
    marked(
        "readInboxItem",
        "Mark an item as read",
        "And so as seen. The first time it is the caller's, `inbox.item.read` is published.",
    )
}

pub(in crate::api::v2) fn unread() -> Operation {
    marked("unreadInboxItem", "Mark an item as unread", "It stays seen, and archived if it is.")
}

pub(in crate::api::v2) fn archive() -> Operation {
    marked("archiveInboxItem", "Put an item away", "It is listed on request only, and counted no longer.")
}

pub(in crate::api::v2) fn unarchive() -> Operation {
    marked("unarchiveInboxItem", "Take an item out of the archive", "As it was before.")
}

pub(in crate::api::v2) fn read_all() -> Operation {
    let fields = object().required("upTo", word::<Time>().about("Items made by then."));
    Operation::new("readAllInboxItems", "Mark everything as read")
        .under(HEADING)
        .about(
            "What comes while it is done is not touched. `inbox.items.read` is published if anything was unread. \
             A repetition does the rest of one that was cut short.",
        )
        .body("ReadAll", fields)
        .answer::<CountsView>(200, "The caller's counts from then on.")
}

fn marked(id: &'static str, summary: &'static str, about: &'static str) -> Operation {
    Operation::new(id, summary).under(HEADING).about(about).of::<ItemId>("itemId").answer::<MarkedView>(
        200,
        "The item, and the caller's counts from then on. The same act again changes nothing.",
    )
}
