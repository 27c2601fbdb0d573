//! Who asks, and whether they may: one guard in front of every route of a handle.
//!
//! A route states its [`Need`] in the route table and cannot be mounted without
//! one. Handlers find the result in the request and decide nothing about it.

mod admin;
mod anybody;
mod api_key;
mod bearer;
pub mod jwks;
pub mod jwt;
pub mod keys;
mod reporter;
mod standing;

use std::net::IpAddr;
use std::sync::Arc;

use angarium_domain::access::{Mode, Role, Scope, Token};
use angarium_domain::account::Handles;
use angarium_domain::handle::Handle;
use angarium_domain::quota::Draw;
use angarium_engine::{TokenRefused, Tokens};
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::api::dialect::V1_ROOT;
use crate::auth::bearer::Credential;
use crate::auth::jwt::{JwtRefused, JwtVerifier, Person};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::rate::{Class, Refused};
use crate::request_id::{ServedHandle, caller};
use crate::state::App;

pub(crate) use admin::{Admin, AdminGuard, OPERATOR, admin_guard};
pub(crate) use anybody::{AddressGuard, CallerAddress, address_guard};
pub(crate) use reporter::{ReporterGuard, Reporting, reporter_guard};
pub(crate) use standing::Standing;

/// Whoever holds one of these may set what subscribers authenticate us with.
const SETS_CREDENTIALS: [Scope; 2] = [Scope::WebhooksWrite, Scope::WebhooksManage];

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
    /// `/v2/mcp/…`: tokens only, that agents may connect with.
    Agents,
    /// `/api/v1/…`: API keys only. The path names no handle; the key says it.
    Keys,
    /// `/v2/operator/…`: platform admins only.
    Admins,
    /// `/v2/public/…` without a handle in the path: anybody. Their addresses are counted.
    Anybody,
    /// `/v2/support/…`: anybody, and people and tokens as whom they are.
    Reporters,
}

impl Door {
    /// What the addresses behind it begin with.
    pub(crate) fn root(self) -> &'static str {
        match self {
            Door::Handles => "/v2/handles/{handle}",
            Door::Public => "/v2/public/handles/{handle}",
            Door::Agents => "/v2/mcp/{handle}",
            Door::Keys => V1_ROOT,
            Door::Admins => "/v2/operator",
            Door::Anybody => "/v2/public",
            Door::Reporters => "/v2/support",
        }
    }

    /// What a token must be good for to come in here at all, besides what the route needs.
    fn scope(self) -> Option<Scope> {
        match self {
            Door::Agents => Some(Scope::McpConnect),
            Door::Handles | Door::Public | Door::Keys | Door::Admins | Door::Anybody | Door::Reporters => {
                None
            }
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
    /// What a write costs the handle's plan.
    pub(crate) draw: Option<Draw>,
}

/// Why a caller is not let through.
struct Denied {
    problem: Problem,
    /// Whether the credential is good and has nothing to do with the handle.
    is_stranger: bool,
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
    /// What its requests do. Those of keys have one bucket for all of it.
    pub(crate) class: Class,
}

/// Whom a credential speaks for.
enum Identity {
    Person(Arc<Person>),
    Token(Arc<Token>),
}

impl Authority {
    pub(crate) fn new(jwt: Arc<JwtVerifier>, tokens: Tokens) -> Authority {
        Authority { jwt, tokens }
    }

    /// Says whom a credential speaks for, and which handle is asked for: the one in the path, if
    /// it names one.
    async fn identify(
        &self,
        headers: &HeaderMap,
        handle: &str,
        need: Need,
        door: Door,
    ) -> Result<(Handle, Identity), Problem> {
        if door == Door::Keys {
            let key = self.identify_key(headers).await?;
            return Ok((key.handle.clone(), Identity::Token(key)));
        }
        // Whoever shows nothing at all is told so, and learns nothing about handles.
        let credential = bearer::credential(headers)?;
        let handle: Handle = handle.parse().map_err(|_| Problem::no_such_handle())?;
        let identity = match credential {
            Credential::Token(text) => self.identify_token(&handle, text, need).await?,
            Credential::Jwt(text) => self.identify_person(text, door).await?,
        };
        Ok((handle, identity))
    }

    async fn identify_person(&self, text: &str, door: Door) -> Result<Identity, Problem> {
        if matches!(door, Door::Public | Door::Agents) {
            return Err(invalid("this address takes an access token, not a JWT"));
        }
        self.jwt.verify(text).await.map(Identity::Person).map_err(|refused| match refused {
            JwtRefused::Expired => expired(),
            JwtRefused::Invalid => invalid("the token is not valid"),
        })
    }

    async fn identify_token(&self, handle: &Handle, text: &str, need: Need) -> Result<Identity, Problem> {
        if need.scope.is_none() {
            return Err(invalid("this address takes a JWT, not an access token"));
        }
        self.tokens.authenticate(handle, text).await.map(Identity::Token).map_err(|refused| match refused {
            TokenRefused::Invalid => invalid("the token is not valid"),
            TokenRefused::Expired => expired(),
            TokenRefused::Store(error) => error.into(),
        })
    }

    /// Judges a token where nothing says whose it is.
    async fn identify_holder(&self, text: &str) -> Result<Identity, Problem> {
        self.tokens.authenticate_holder(text).await.map(Identity::Token).map_err(|refused| match refused {
            TokenRefused::Invalid => invalid("the token is not valid"),
            TokenRefused::Expired => expired(),
            TokenRefused::Store(error) => error.into(),
        })
    }

    async fn identify_key(&self, headers: &HeaderMap) -> Result<Arc<Token>, Problem> {
        let text = api_key::credential(headers)?;
        self.tokens.authenticate_key(text).await.map_err(|refused| match refused {
            TokenRefused::Invalid => api_key::invalid(),
            TokenRefused::Expired => api_key::expired(),
            TokenRefused::Store(error) => error.into(),
        })
    }

    /// Judges a credential that was let through before.
    async fn admit(&self, headers: &HeaderMap, access: &Access) -> Result<(), Problem> {
        let (handle, identity) =
            self.identify(headers, access.handle.as_str(), access.need, access.door).await?;
        let judged = identity.access(&handle, access.need, access.door);
        judged.map(drop).map_err(|denied| denied.problem)
    }
}

impl Identity {
    /// Who, for the audit log and the buckets.
    fn actor(&self) -> String {
        match self {
            Identity::Person(person) => format!("jwt:{}", person.subject),
            Identity::Token(token) => token.public_id(),
        }
    }

    /// What it may do on a handle, if that is what a route needs.
    fn access(&self, handle: &Handle, need: Need, door: Door) -> Result<Access, Denied> {
        let (role, sees_credentials, mode) = match self {
            Identity::Person(person) => match person.role_on(handle) {
                Some(role) if role >= need.role => (Some(role), role >= Role::Operator, Mode::Live),
                role => {
                    let problem = insufficient_role(role, need.role);
                    return Err(Denied { problem, is_stranger: role.is_none() });
                }
            },
            Identity::Token(token) => {
                match door.scope().into_iter().chain(need.scope).find(|it| !token.may(*it)) {
                    Some(missing) => return Err(insufficient_scope(token, missing).into()),
                    None => (
                        None,
                        SETS_CREDENTIALS.iter().any(|scope| token.scopes.contains(scope)),
                        token.kind.mode(),
                    ),
                }
            }
        };
        let (handle, actor) = (handle.clone(), self.actor());
        Ok(Access { handle, actor, role, sees_credentials, need, door, mode, draw: None })
    }
}

impl Guard {
    /// Asks who it is, whether it comes too often, and whether it may; in this order, so that a
    /// refusal costs its caller a place.
    async fn answer(&self, handle: &str, mut request: Request, next: Next) -> Response {
        let address = address_of(&self.app, &request);
        if let Err(refused) = self.app.callers().rates.refuses(address) {
            return too_early(&self.app, &refused);
        }
        let authority = self.app.authority();
        let (handle, identity) =
            match authority.identify(request.headers(), handle, self.need, self.door).await {
                Ok(identified) => identified,
                Err(problem) => return not_identified(&self.app, address, problem),
            };
        let actor = identity.actor();
        let standing = match self.app.callers().rates.take(self.bucket(), handle.as_str(), &actor) {
            Ok(standing) => standing,
            Err(refused) => return too_early(&self.app, &refused),
        };
        let access = match identity.access(&handle, self.need, self.door) {
            Ok(access) => self.open(access).await,
            Err(Denied { problem, is_stranger }) => {
                if is_stranger {
                    let stranger = caller(request.extensions(), handle.clone(), actor);
                    self.app.audit().refused(stranger, asked_for(&request));
                }
                return with(problem.into_response(), standing);
            }
        };
        let response = match access {
            Ok(access) => {
                request.extensions_mut().insert(access);
                next.run(request).await
            }
            Err(problem) => problem.into_response(),
        };
        with(with(response, standing), Some(ServedHandle(handle)))
    }

    /// Which bucket a place is taken from.
    fn bucket(&self) -> Class {
        if self.door == Door::Keys { Class::V1 } else { self.class }
    }

    /// Whether the handle may act, and what that costs. Publishing costs nothing, and its own way
    /// looks whether it may; only whether there is such a handle must be asked here.
    async fn open(&self, access: Access) -> Result<Access, Problem> {
        let rule = self.app.callers().handles;
        if self.class == Class::Publish && rule == Handles::ByCredentials {
            return Ok(access);
        }
        let account = self.app.engine().handles.account(&access.handle).await?;
        account.admits_reads(rule)?;
        if self.class == Class::Read {
            return Ok(access);
        }
        account.admits_writes()?;
        let counts = self.class == Class::Write && matches!(self.door, Door::Handles | Door::Agents);
        let now = self.app.sources().clock.now();
        let draw = Draw::for_write(&access.handle, &account, now).filter(|_| counts);
        Ok(Access { draw, ..access })
    }
}

/// Where a request comes from, if that is known.
fn address_of(app: &App, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>()?;
    app.callers().proxies.caller(*peer, request.headers())
}

fn too_early(app: &App, refused: &Refused) -> Response {
    app.engine().metrics.rate_limited(refused.standing.class.as_str());
    with(refused.problem().into_response(), Some(refused.standing))
}

/// The answer to a caller whom nobody knows; a bad credential is counted against its address.
fn not_identified(app: &App, address: Option<IpAddr>, problem: Problem) -> Response {
    let bad_credential = problem.status == StatusCode::UNAUTHORIZED;
    let standing = bad_credential.then(|| app.callers().rates.failed(address)).flatten();
    with(problem.into_response(), standing)
}

/// Lets a request through to its handler, or answers in the handler's place.
pub(crate) async fn guard<R>(
    State(guard): State<Guard>,
    params: Result<RawPathParams, R>,
    request: Request,
    next: Next,
) -> Response {
    let handle = params.ok().and_then(|params| handle_in(&params)).unwrap_or_default();
    guard.answer(&handle, request, next).await
}

/// Leaves something on a response for the layers outside.
fn with<T: Clone + Send + Sync + 'static>(mut response: Response, left: Option<T>) -> Response {
    if let Some(left) = left {
        response.extensions_mut().insert(left);
    }
    response
}

/// Method and route: what a stranger wanted, without the ids that it made up.
fn asked_for(request: &Request) -> String {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    format!("{} {route}", request.method())
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Denied {
        Denied { problem, is_stranger: false }
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
