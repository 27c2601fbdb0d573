//! What the routes of sources say of themselves.

use angarium_domain::context::document::{NAME_BYTES_MAX, TITLE_CHARS_MAX};
use angarium_domain::context::source::{DOCUMENTS_MAX, NAME_CHARS_MAX, SOURCES_MAX};
use serde_json::json;

use crate::api::v2::context_sources::{SourceView, SyncView};
use crate::openapi::Operation;
use crate::openapi::schema::{Object, list as list_of, object, plain, text, text_of, word};
use crate::openapi::words::{SourceId, SourceKind};

pub(in crate::api::v2) fn create() -> Operation {
    let fields = object()
        .required("name", text_of(1..=NAME_CHARS_MAX).such_as("Guides"))
        .required("kind", word::<SourceKind>().such_as("http"));
    const { assert!(SOURCES_MAX == 50, "the description names it") };
    Operation::new("createContextSource", "Add a source of documents").under("context store")
        .about(
            "Its first sync begins at once. Read are `text/plain`, `text/markdown` and JSON in UTF-8, of a folder files \
             that end in `.txt`, `.md`, `.markdown` or `.json`.",
        )
        .body("NewContextSource", with_places(fields))
        .answer::<SourceView>(201, "Made; its first sync waits for its turn.")
        .showing_as("status", "PENDING")
        .showing_as("searchable", false)
        .conflict("the handle has fifty sources, which is the limit")
}

pub(in crate::api::v2) fn patch() -> Operation {
    let fields = object().optional("name", text_of(1..=NAME_CHARS_MAX).such_as("Guides"));
    Operation::new("changeContextSource", "Change a source")
        .under("context store")
        .about(
            "Where its documents come from may change, and not its kind. A sync of the new documents begins then; the \
             ones before stay searchable until it ends. `headers` replaces all of them; with another `url` and without \
             `headers` there are none, because they were for the other address.",
        )
        .of::<SourceId>("sourceId")
        .body("ContextSourcePatch", with_places(fields))
        .answer::<SourceView>(200, "As it is now.")
}

/// The fields of all kinds that say where documents come from.
fn with_places(fields: Object) -> Object {
    let document = object()
        .optional("name", text_of(1..=NAME_BYTES_MAX).about("Without one, its number, from 1."))
        .optional("title", text_of(0..=TITLE_CHARS_MAX).about("Without one, its name."))
        .required("text", text().such_as("Rotate the secret twice a year."))
        .schema();
    let headers = plain(json!({ "type": "object", "additionalProperties": { "type": "string" } }));
    fields
        .optional(
            "url",
            text().such_as("https://docs.example.com/guide.md").about(
                "For `http`: where one document is. Refused as the URL of a webhook is; redirects are not followed.",
            ),
        )
        .optional("headers", headers.about("For `http`: sent with the request. Sealed at rest, and never shown."))
        .optional("documents", list_of(document, 1..=DOCUMENTS_MAX).about("For `inline`."))
        .optional(
            "path",
            text().such_as("docs").about("For `folder`: below the folder that the operator has given to the handle."),
        )
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listContextSources", "List sources")
        .under("context store")
        .page_of::<SourceView>("A page of them.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getContextSource", "Show a source")
        .under("context store")
        .of::<SourceId>("sourceId")
        .answer::<SourceView>(200, "The source, and how it stands.")
        .showing("syncedAt")
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteContextSource", "Remove a source with its documents")
        .under("context store")
        .of::<SourceId>("sourceId")
        .nothing("Removed: no search finds anything of it.")
}

pub(in crate::api::v2) fn sync() -> Operation {
    synced(Operation::new("syncContextSource", "Bring a source up to date, as an agent"))
}

pub(in crate::api::v2) fn sync_by_anybody() -> Operation {
    synced(Operation::new("refreshContextSource", "Bring a source up to date"))
}

fn synced(operation: Operation) -> Operation {
    operation
        .under("context store")
        .about(
            "The documents are read again in the background; the ones before stay searchable until the new ones are \
             whole. Asked for again while it runs, it is the same sync. Trouble that may pass is met with the waits of \
             the policy `fast`. `context_store.synced` or `context_store.failed` tells of its end.",
        )
        .of::<SourceId>("sourceId")
        .answer::<SyncView>(202, "Asked for, or joined.")
        .showing_as("status", "SYNCING")
}
