//! What the route of filters says of itself.

use crate::api::v2::filters::CheckedView;
use crate::openapi::Operation;
use crate::openapi::schema::{object, word};
use crate::openapi::words::{Filter, Payload};

pub(in crate::api::v2) fn check() -> Operation {
    let fields = object().required("filter", word::<Filter>()).required("payload", word::<Payload>());
    Operation::new("checkFilter", "Try a filter on a payload")
        .about("Changes nothing.")
        .only_asking()
        .body("FilterTrial", fields)
        .answer::<CheckedView>(200, "Whether the filter wants the payload.")
}
