//! Routes that anybody may use: nobody is known there, so addresses are counted.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::{address_of, too_early, with};
use crate::rate::Class;
use crate::state::App;

/// The guard of a route without a credential.
#[derive(Clone)]
pub(crate) struct AddressGuard {
    pub(crate) app: App,
    pub(crate) class: Class,
}

/// Lets a request through that does not come too often from where it comes from.
pub(crate) async fn address_guard(
    State(guard): State<AddressGuard>,
    request: Request,
    next: Next,
) -> Response {
    let app = &guard.app;
    let address = address_of(app, &request);
    match app.callers().rates.take_of_address(guard.class, address) {
        Ok(standing) => with(next.run(request).await, standing),
        Err(refused) => too_early(app, &refused),
    }
}
