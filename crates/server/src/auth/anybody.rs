//! Routes that anybody may use: nobody is known there, so addresses are counted.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::{address_of, too_early, with};
use crate::api::pages;
use crate::rate::Class;
use crate::state::App;

/// Where a request of somebody whom nobody knows comes from, as far as that is known: behind a proxy that names
/// nobody, it is not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerAddress(pub(crate) Option<IpAddr>);

/// The guard of a route without a credential.
#[derive(Clone)]
pub(crate) struct AddressGuard {
    pub(crate) app: App,
    pub(crate) class: Class,
    /// Whether pages of other origins may ask, and so may read that they asked too often.
    pub(crate) for_pages: bool,
}

/// Lets a request through that does not come too often from where it comes from.
pub(crate) async fn address_guard(
    State(guard): State<AddressGuard>,
    mut request: Request,
    next: Next,
) -> Response {
    let app = &guard.app;
    let address = address_of(app, &request);
    match app.callers().rates.take_of_address(guard.class, address) {
        Ok(standing) => {
            request.extensions_mut().insert(CallerAddress(address));
            with(next.run(request).await, standing)
        }
        Err(refused) if guard.for_pages => pages::readable(too_early(app, &refused)),
        Err(refused) => too_early(app, &refused),
    }
}
