//! Who asks, and whether they may: one guard in front of every route of a handle.
//!
//! A route states its [`Need`] in the route table and cannot be mounted without
//! one. Handlers find the result in the request and decide nothing about it.

mod api_key;
mod bearer;
pub mod jwks;
pub mod jwt;
pub mod keys;
mod standing;

use std::sync::Arc;

use angarium_domain::access::{Mode, Role, Scope, Token};
use angarium_domain::handle::Handle;
use angarium_engine::{TokenRefused, Tokens};
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::api::dialect::V1_ROOT;
use crate::auth::bearer::Credential;
use crate::auth::jwt::{JwtRefused, JwtVerifier};
use crate::problem::Problem;
use crate::request_id::{ServedHandle, caller};
use crate::state::App;

pub(crate) use standing::Standing;

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
    /// `/api/v1/…`: API keys only. The path names no handle; the key says it.
    Keys,
}

impl Door {
    /// What the addresses behind it begin with.
    pub(crate) fn root(self) -> &'static str {
        match self {
            Door::Handles => "/v2/handles/{handle}",
            Door::Public => "/v2/public/handles/{handle}",
            Door::Keys => V1_ROOT,
        }
    }
}

/// A caller who may do what the route does.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// The handle that the credential is good for: the one in the path, if it names one.
    pub(crate) handle: Handle,
    /// Who, for the audit log: a token's or a key's id, or a JWT's subject.
    pub(crate) actor: String,
    /// The role of a person; none for a token.
    pub(crate) role: Option<Role>,
    /// Whether the caller may set what subscribers authenticate us with, and so may see it.
    pub(crate) sees_credentials: bool,
    /// What the route asked for.
    pub(crate) need: Need,
    /// Where the caller came in.
    pub(crate) door: Door,
    /// Whether what the caller publishes is really sent.
    pub(crate) mode: Mode,
}

/// Why a caller is not let through.
struct Denied {
    problem: Problem,
    /// Who it is, if the credential is good and has nothing to do with the handle.
    stranger: Option<(Handle, String)>,
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
    ) -> Result<Access, Denied> {
        if door == Door::Keys {
            return Ok(self.admit_key(headers, need).await?);
        }
        let credential = bearer::credential(headers)?;
        let handle: Handle = handle.parse().map_err(|_| no_such_handle())?;
        match credential {
            Credential::Token(text) => Ok(self.admit_token(handle, text, need, door).await?),
            Credential::Jwt(text) => self.admit_jwt(handle, text, need, door).await,
        }
    }

    async fn admit_jwt(&self, handle: Handle, text: &str, need: Need, door: Door) -> Result<Access, Denied> {
        if door == Door::Public {
            return Err(invalid("this address takes an access token, not a JWT").into());
        }
        let person = self.jwt.verify(text).await.map_err(|refused| match refused {
            JwtRefused::Expired => expired(),
            JwtRefused::Invalid => invalid("the token is not valid"),
        })?;
        let actor = format!("jwt:{}", person.subject);
        match person.role_on(&handle) {
            Some(role) if role >= need.role => Ok(Access {
                handle,
                actor,
                role: Some(role),
                sees_credentials: role >= Role::Operator,
                need,
                door,
                mode: Mode::Live,
            }),
            Some(role) => Err(insufficient_role(Some(role), need.role).into()),
            None => {
                Err(Denied { problem: insufficient_role(None, need.role), stranger: Some((handle, actor)) })
            }
        }
    }

    async fn admit_token(
        &self,
        handle: Handle,
        text: &str,
        need: Need,
        door: Door,
    ) -> Result<Access, Problem> {
        let Some(scope) = need.scope else {
            return Err(invalid("this address takes a JWT, not an access token"));
        };
        let token = self.tokens.authenticate(&handle, text).await.map_err(refused_token)?;
        access_of(&token, need, scope, door)
    }

    async fn admit_key(&self, headers: &HeaderMap, need: Need) -> Result<Access, Problem> {
        let text = api_key::credential(headers)?;
        let scope = need.scope.expect("every route for keys names a scope");
        let key = self.tokens.authenticate_key(text).await.map_err(|refused| match refused {
            TokenRefused::Invalid => api_key::invalid(),
            TokenRefused::Expired => api_key::expired(),
            TokenRefused::Store(error) => error.into(),
        })?;
        access_of(&key, need, scope, Door::Keys)
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
        Err(Denied { problem, stranger }) => {
            if let Some((handle, actor)) = stranger {
                let stranger = caller(request.extensions(), handle, actor);
                guard.app.audit().refused(stranger, asked_for(&request));
            }
            problem.into_response()
        }
    }
}

/// Method and route: what a stranger wanted, without the ids that it made up.
fn asked_for(request: &Request) -> String {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    format!("{} {route}", request.method())
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Denied {
        Denied { problem, stranger: None }
    }
}

/// What the holder of a token or key may do, if it has the scope that the route needs.
fn access_of(token: &Token, need: Need, scope: Scope, door: Door) -> Result<Access, Problem> {
    if !token.scopes.contains(&scope) {
        return Err(insufficient_scope(token, scope));
    }
    let sets_credentials = [Scope::WebhooksWrite, Scope::WebhooksManage];
    Ok(Access {
        handle: token.handle.clone(),
        actor: token.public_id(),
        role: None,
        sees_credentials: sets_credentials.iter().any(|scope| token.scopes.contains(scope)),
        need,
        door,
        mode: token.kind.mode(),
    })
}

fn handle_in(params: &RawPathParams) -> Option<String> {
    params.iter().find(|(name, _)| *name == "handle").map(|(_, value)| value.to_owned())
}

fn refused_token(refused: TokenRefused) -> Problem {
    match refused {
        TokenRefused::Invalid => invalid("the token is not valid"),
        TokenRefused::Expired => expired(),
        TokenRefused::Store(error) => error.into(),
    }
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

pub(crate) fn insufficient_role(role: Option<Role>, needed: Role) -> Problem {
    let yours = role.map_or_else(
        || "you have no role here".to_owned(),
        |role| format!("your role here is {}", role.as_str()),
    );
    let message = format!("{yours}, this needs {} or more", needed.as_str());
    Problem::new(StatusCode::FORBIDDEN, "insufficient_role", message)
}

fn insufficient_scope(token: &Token, needed: Scope) -> Problem {
    let credential = if token.kind.is_key() { "key" } else { "token" };
    let message = format!("the {credential} lacks the scope {}", needed.as_str());
    Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", message)
}
