//! Who asks, and whether they may: one guard in front of every route of a handle.
//!
//! A route states its [`Need`] in the route table and cannot be mounted without
//! one. Handlers find the result in the request and decide nothing about it.

mod bearer;
pub mod jwks;
pub mod jwt;
pub mod keys;

use std::sync::Arc;

use angarium_domain::access::{Role, Scope};
use angarium_domain::handle::Handle;
use angarium_engine::{TokenRefused, Tokens};
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::auth::bearer::Credential;
use crate::auth::jwt::{JwtRefused, JwtVerifier};
use crate::problem::Problem;
use crate::request_id::ServedHandle;
use crate::state::App;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The least role of a person.
    pub(crate) role: Role,
    /// The scope of a token; none if the route takes no tokens.
    pub(crate) scope: Option<Scope>,
}

/// Which credentials are taken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/v2/handles/…`: people and tokens.
    Handles,
    /// `/v2/public/handles/…`: tokens only.
    Public,
}

/// A caller who may do what the route does.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// The handle in the path, which the credential is good for.
    pub(crate) handle: Handle,
    /// Who, for the audit log: a token's id or a JWT's subject.
    pub(crate) actor: String,
    /// Whether the caller may set what subscribers authenticate us with, and so may see it.
    pub(crate) sees_credentials: bool,
}

/// Verifies credentials.
#[derive(Clone)]
pub(crate) struct Authority {
    jwt: Arc<JwtVerifier>,
    tokens: Tokens,
}

/// The guard of one route.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) app: App,
    pub(crate) need: Need,
    pub(crate) door: Door,
}

impl Authority {
    pub(crate) fn new(jwt: Arc<JwtVerifier>, tokens: Tokens) -> Authority {
        Authority { jwt, tokens }
    }

    async fn admit(
        &self,
        headers: &HeaderMap,
        handle: &str,
        need: Need,
        door: Door,
    ) -> Result<Access, Problem> {
        let credential = bearer::credential(headers)?;
        let handle: Handle = handle.parse().map_err(|_| no_such_handle())?;
        match credential {
            Credential::Token(text) => self.admit_token(handle, text, need).await,
            Credential::Jwt(text) => self.admit_jwt(handle, text, need, door).await,
        }
    }

    async fn admit_jwt(&self, handle: Handle, text: &str, need: Need, door: Door) -> Result<Access, Problem> {
        if door == Door::Public {
            return Err(invalid("this address takes an access token, not a JWT"));
        }
        let person = self.jwt.verify(text).await.map_err(|refused| match refused {
            JwtRefused::Expired => expired(),
            JwtRefused::Invalid => invalid("the token is not valid"),
        })?;
        match person.role_on(&handle) {
            Some(role) if role >= need.role => {
                let actor = format!("jwt:{}", person.subject);
                Ok(Access { handle, actor, sees_credentials: role >= Role::Operator })
            }
            role => Err(insufficient_role(role, need.role)),
        }
    }

    async fn admit_token(&self, handle: Handle, text: &str, need: Need) -> Result<Access, Problem> {
        let Some(scope) = need.scope else {
            return Err(invalid("this address takes a JWT, not an access token"));
        };
        let token = self.tokens.authenticate(&handle, text).await.map_err(|refused| match refused {
            TokenRefused::Invalid => invalid("the token is not valid"),
            TokenRefused::Expired => expired(),
            TokenRefused::Store(error) => error.into(),
        })?;
        if !token.scopes.contains(&scope) {
            return Err(insufficient_scope(scope));
        }
        let sees_credentials = token.scopes.contains(&Scope::WebhooksWrite);
        Ok(Access { handle, actor: token.id.to_string(), sees_credentials })
    }
}

/// Lets a request through to its handler, or answers in the handler's place.
pub(crate) async fn guard<R>(
    State(guard): State<Guard>,
    params: Result<RawPathParams, R>,
    mut request: Request,
    next: Next,
) -> Response {
    let handle = params.ok().and_then(|params| handle_in(&params)).unwrap_or_default();
    let admitted = guard.app.authority().admit(request.headers(), &handle, guard.need, guard.door).await;
    match admitted {
        Ok(access) => {
            let served = ServedHandle(access.handle.clone());
            request.extensions_mut().insert(access);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(served);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn handle_in(params: &RawPathParams) -> Option<String> {
    params.iter().find(|(name, _)| *name == "handle").map(|(_, value)| value.to_owned())
}

fn invalid(message: &'static str) -> Problem {
    Problem::unauthorized("invalid_token", message)
}

fn expired() -> Problem {
    Problem::unauthorized("token_expired", "the token's time has passed")
}

fn no_such_handle() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "handle_not_found", "there is no such handle")
}

fn insufficient_role(role: Option<Role>, needed: Role) -> Problem {
    let yours = role.map_or_else(
        || "you have no role here".to_owned(),
        |role| format!("your role here is {}", role.as_str()),
    );
    let message = format!("{yours}, this needs {} or more", needed.as_str());
    Problem::new(StatusCode::FORBIDDEN, "insufficient_role", message)
}

fn insufficient_scope(needed: Scope) -> Problem {
    let message = format!("the token lacks the scope {}", needed.as_str());
    Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", message)
}
