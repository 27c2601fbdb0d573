//! What the search says of itself.

use angarium_domain::context::search::QUERY_BYTES_MAX;

use crate::api::v2::context_search::HitView;
use crate::openapi::Operation;
use crate::openapi::schema::{text, word};
use crate::openapi::words::SourceId;

pub(in crate::api::v2) fn search() -> Operation {
    Operation::new("searchContextStore", "Search the documents of a handle")
        .about(
            "A piece is found if it holds one of the words; those come first that hold more and rarer ones for their \
             length. A question has no other grammar: any text is one, and signs between words mean nothing. At most \
             five hundred results, over all pages.",
        )
        .asking("q", text().with_length_max(QUERY_BYTES_MAX).such_as("rotate secret"), "What to look for.")
        .filter("sourceId", word::<SourceId>(), "Only in this source.")
        .page_of::<HitView>("The best pieces first.")
}
