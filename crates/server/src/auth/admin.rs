//! Platform admins: people who look after handles, and have a role on none of them by that.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::bearer::{self, Credential};
use super::{Door, Identity, address_of, invalid, not_identified, too_early, with};
use crate::problem::Problem;
use crate::rate::Class;
use crate::state::App;

/// What the requests of platform admins belong to, where those of others belong to a handle. No
/// handle has such a name.
pub(crate) const OPERATOR: &str = "operator:";

/// A platform admin, on every request that gets to a handler.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// Who, for the audit log.
    pub(crate) actor: String,
}

/// The guard of a route for platform admins.
#[derive(Clone)]
pub(crate) struct AdminGuard {
    pub(crate) app: App,
    pub(crate) class: Class,
}

/// Lets a platform admin through, or answers in the handler's place.
pub(crate) async fn admin_guard(
    State(guard): State<AdminGuard>,
    mut request: Request,
    next: Next,
) -> Response {
    let app = &guard.app;
    let address = address_of(app, &request);
    if let Err(refused) = app.callers().rates.refuses(address) {
        return too_early(app, &refused);
    }
    let identity = match guard.identify(request.headers()).await {
        Ok(identity) => identity,
        Err(problem) => return not_identified(app, address, problem),
    };
    let actor = identity.actor();
    let standing = match app.callers().rates.take(guard.class, OPERATOR, &actor) {
        Ok(standing) => standing,
        Err(refused) => return too_early(app, &refused),
    };
    let response = match identity {
        Identity::Person(person) if person.platform_admin => {
            request.extensions_mut().insert(Admin { actor });
            next.run(request).await
        }
        Identity::Person(_) | Identity::Token(_) => not_an_admin().into_response(),
    };
    with(response, standing)
}

impl AdminGuard {
    async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Problem> {
        match bearer::credential(headers)? {
            Credential::Jwt(text) => self.app.authority().identify_person(text, Door::Handles).await,
            Credential::Token(_) => Err(invalid("this address takes a JWT, not an access token")),
        }
    }
}

fn not_an_admin() -> Problem {
    let message = "this needs a platform admin, which your token does not say you are";
    Problem::new(StatusCode::FORBIDDEN, "insufficient_role", message)
}
