//! Whoever reports something: with a credential, or without one.
//!
//! One that is shown must be good: a person whose token has expired is told so, and not taken for a stranger.

use std::sync::Arc;

use angarium_domain::handle::Handle;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::anybody::CallerAddress;
use super::api_key;
use super::bearer::{self, Credential};
use super::{Door, Identity, OPERATOR, address_of, not_identified, too_early, with};
use crate::auth::Authority;
use crate::problem::Problem;
use crate::rate::Class;
use crate::state::App;

/// Somebody who reports something, on every request that gets to a handler.
#[derive(Clone)]
pub(crate) enum Reporting {
    /// Nobody is known.
    Stranger,
    /// Somebody whose credential is good.
    Known(Arc<Known>),
}

/// Somebody with a good credential.
pub(crate) struct Known(Identity);

/// The guard of a route that takes a credential and needs none.
#[derive(Clone)]
pub(crate) struct ReporterGuard {
    pub(crate) app: App,
}

/// Lets whoever does not report too often through.
pub(crate) async fn reporter_guard(
    State(guard): State<ReporterGuard>,
    mut request: Request,
    next: Next,
) -> Response {
    let app = &guard.app;
    let address = address_of(app, &request);
    let rates = &app.callers().rates;
    if let Err(refused) = rates.refuses(address) {
        return too_early(app, &refused);
    }
    let reporting = match app.authority().identify_if_any(request.headers()).await {
        Ok(None) => Reporting::Stranger,
        Ok(Some(identity)) => Reporting::Known(Arc::new(Known(identity))),
        Err(problem) => return not_identified(app, address, problem),
    };
    let taken = match &reporting {
        Reporting::Stranger => rates.take_of_address(Class::Reports, address),
        Reporting::Known(known) => rates.take(Class::Write, OPERATOR, &known.actor()),
    };
    match taken {
        Ok(standing) => {
            request.extensions_mut().insert(reporting);
            request.extensions_mut().insert(CallerAddress(address));
            with(next.run(request).await, standing)
        }
        Err(refused) => too_early(app, &refused),
    }
}

impl Authority {
    /// Whom a credential speaks for, if there is one.
    async fn identify_if_any(&self, headers: &HeaderMap) -> Result<Option<Identity>, Problem> {
        // Whoever shows one believes to be known, and is not taken for a stranger.
        if headers.contains_key(api_key::API_KEY) {
            let message = "reports take no API key: show a JWT or a personal access token, or no credential";
            return Err(Problem::unauthorized("invalid_token", message));
        }
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        match bearer::credential(headers)? {
            Credential::Token(text) => self.identify_holder(text).await.map(Some),
            Credential::Jwt(text) => self.identify_person(text, Door::Handles).await.map(Some),
        }
    }
}

impl Known {
    /// Who, for the record.
    pub(crate) fn actor(&self) -> String {
        self.0.actor()
    }

    /// Whether the credential says anything about a handle.
    pub(crate) fn knows(&self, handle: &Handle) -> bool {
        match &self.0 {
            Identity::Person(person) => person.role_on(handle).is_some(),
            Identity::Token(token) => token.handle == *handle,
        }
    }

    /// The one handle that the credential is for, if it says so itself.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        match &self.0 {
            Identity::Person(_) => None,
            Identity::Token(token) => Some(&token.handle),
        }
    }
}
