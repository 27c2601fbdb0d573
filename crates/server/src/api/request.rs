//! What a handler gets of a request: who asks, for what, and with which words.

use std::net::IpAddr;

use angarium_domain::access::{Mode, Role};
use angarium_domain::chain::SessionId;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{Id, Kind};
use angarium_domain::inbox::Reader;
use angarium_domain::report::Reporter;
use angarium_engine::{Answer, Caller, Once, RepeatKey};
use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use http::header::ORIGIN;
use http::request::Parts;
use http::{Extensions, HeaderMap, Method};

use crate::api::dialect::Dialect;
use crate::api::form::Form;
use crate::api::query::Query;
use crate::auth::{Access, Admin, OPERATOR};
use crate::idempotency::repeat_key;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::request_id::{RequestId, caller};
use crate::telemetry;

/// Who asks where nobody is known.
const ANYBODY: &str = "anybody";

/// A request that changes nothing.
pub(crate) struct Read {
    /// Whose data.
    pub(crate) handle: Handle,
    /// Who asks: a token's id or a JWT's subject.
    pub(crate) actor: String,
    /// Whether the caller may see what we authenticate to subscribers with.
    pub(crate) sees_credentials: bool,
    query: Option<String>,
}

/// A request that changes something.
pub(crate) struct Write {
    /// Who asks, for whom.
    pub(crate) caller: Caller,
    /// The role of a person; none for a token.
    pub(crate) role: Option<Role>,
    body: Bytes,
    key: Option<RepeatKey>,
}

/// A request of a platform admin that changes something about a handle.
pub(crate) struct AdminWrite {
    actor: String,
    request_id: String,
    ip: Option<IpAddr>,
    body: Bytes,
    key: Option<RepeatKey>,
}

/// A request of somebody whom nobody knows. Its body names the handle.
pub(crate) struct Stranger {
    body: Bytes,
    headers: HeaderMap,
    extensions: Extensions,
    dialect: Dialect,
}

/// The parameters of a platform admin's request that changes nothing.
pub(crate) struct AdminRead {
    query: Option<String>,
}

/// The handle in the path. What cannot be one is answered like an unknown one.
pub(crate) struct PathHandle(pub(crate) Handle);

/// The id in the path. What cannot be an id names nothing, and is answered like an unknown one.
pub(crate) struct PathId<K>(pub(crate) Id<K>);

/// The id of a session in the path. What cannot be one names nothing.
pub(crate) struct PathSession(pub(crate) SessionId);

/// The name of an event type in the path, which the handler reads: what cannot be one names nothing,
/// and cannot be made.
pub(crate) struct PathEventType(pub(crate) String);

impl Read {
    /// The caller as a reader of the inbox.
    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.actor)
    }

    /// The parameters of the address.
    pub(crate) fn query(&self) -> Query<'_> {
        Query::parse(self.query.as_deref())
    }
}

impl Write {
    /// The body, which must be an object.
    pub(crate) fn form(&self) -> Result<Form<'_>, Problem> {
        Form::parse(&self.body)
    }

    /// The body of a request whose fields may all be left out.
    pub(crate) fn form_or_empty(&self) -> Result<Form<'_>, Problem> {
        Form::parse_or_empty(&self.body)
    }

    /// Refuses a body that says something where nothing is to be said.
    pub(crate) fn no_fields(&self) -> Result<(), Problem> {
        self.form_or_empty()?.finish(Some(()))
    }

    /// The same write as one that belongs to its caller alone: that of another person under the same
    /// key is another write.
    pub(crate) fn own(mut self) -> Write {
        if let Some(key) = &mut self.key {
            key.scope = key.scope.of(&self.caller.actor);
        }
        self
    }

    /// The id that every 202 repeats.
    pub(crate) fn request_id(&self) -> String {
        self.caller.request_id.clone()
    }

    /// The caller, and the promise that this write happens once under its key.
    pub(crate) fn into_parts<T>(
        self,
        answer: impl Fn(&T) -> Answer + Send + Sync + 'static,
    ) -> (Caller, Once<T>) {
        (self.caller, Once { key: self.key, answer: Box::new(answer) })
    }
}

impl AdminRead {
    /// The parameters of the address.
    pub(crate) fn query(&self) -> Query<'_> {
        Query::parse(self.query.as_deref())
    }
}

impl AdminWrite {
    /// The body, which must be an object.
    pub(crate) fn form(&self) -> Result<Form<'_>, Problem> {
        Form::parse(&self.body)
    }

    /// Refuses a body that says something where nothing is to be said.
    pub(crate) fn no_fields(&self) -> Result<(), Problem> {
        Form::parse_or_empty(&self.body)?.finish(Some(()))
    }

    /// The id that every 202 repeats.
    pub(crate) fn request_id(&self) -> String {
        self.request_id.clone()
    }

    /// The caller, about a handle, and the promise that this write happens once under its key.
    pub(crate) fn into_parts<T>(
        self,
        handle: Handle,
        answer: impl Fn(&T) -> Answer + Send + Sync + 'static,
    ) -> (Caller, Once<T>) {
        let AdminWrite { actor, request_id, ip, .. } = self;
        let caller = Caller { handle, actor, request_id, ip, mode: Mode::Live, trace: None, draw: None };
        (caller, Once { key: self.key, answer: Box::new(answer) })
    }
}

impl Stranger {
    /// The body, which must be an object.
    pub(crate) fn form(&self) -> Result<Form<'_>, Problem> {
        Form::parse(&self.body)
    }

    /// Whose page asks, if a browser says so. What cannot be read is nobody's page.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.headers.get(ORIGIN).map(|value| value.to_str().unwrap_or_default())
    }

    /// The id that every 202 repeats.
    pub(crate) fn request_id(&self) -> String {
        self.extensions.get::<RequestId>().expect("observe runs before every handler").as_str().to_owned()
    }

    /// The caller, about a session of a handle, and the promise that this write happens once under its key.
    /// `route` keeps keys of one route apart from those of others. Each session has keys of its own: pages
    /// number their requests, and nobody takes the keys of all visitors.
    pub(crate) fn into_parts<T>(
        self,
        handle: Handle,
        route: &str,
        session_id: &SessionId,
        answer: impl Fn(&T) -> Answer + Send + Sync + 'static,
    ) -> Result<(Caller, Once<T>), Problem> {
        let Stranger { body, headers, extensions, dialect } = self;
        let header = dialect.idempotency_key();
        let mut key = repeat_key(&header, &headers, handle.as_str(), &Method::POST, route, &body)?;
        if let Some(key) = &mut key {
            key.scope = key.scope.of(session_id.as_str());
        }
        let trace = telemetry::request::trace(&extensions, &headers);
        let caller = Caller { trace, ..caller(&extensions, handle, ANYBODY.to_owned()) };
        Ok((caller, Once { key, answer: Box::new(answer) }))
    }
}

impl<S> FromRequest<S> for Stranger
where
    S: Send + Sync,
    Limits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Stranger, Problem> {
        let (parts, body) = request.into_parts();
        let body = Limits::from_ref(state).of_strangers().read(&parts.headers, body).await?;
        let dialect = dialect_of(&parts);
        Ok(Stranger { body, headers: parts.headers, extensions: parts.extensions, dialect })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathSession, Problem> {
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        let id = params.iter().find(|(name, _)| *name == "session").map(|(_, value)| value);
        id.expect("the route has a session").parse().map(PathSession).map_err(|_| Problem::not_found())
    }
}

impl AdminWrite {
    /// Who reports something, and the promise that it is taken once.
    pub(crate) fn into_report<T>(
        self,
        answer: impl Fn(&T) -> Answer + Send + Sync + 'static,
    ) -> (Reporter, Once<T>) {
        let AdminWrite { actor, request_id, ip, key, .. } = self;
        let reporter = Reporter { actor: Some(actor), ip, request_id };
        (reporter, Once { key, answer: Box::new(answer) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AdminRead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<AdminRead, Problem> {
        Ok(AdminRead { query: parts.uri.query().map(str::to_owned) })
    }
}

impl<S> FromRequest<S> for AdminWrite
where
    S: Send + Sync,
    Limits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<AdminWrite, Problem> {
        let (parts, body) = request.into_parts();
        let body = Limits::from_ref(state).read(&parts.headers, body).await?;
        // The path names the handle.
        let header = dialect_of(&parts).idempotency_key();
        let key = repeat_key(&header, &parts.headers, OPERATOR, &parts.method, parts.uri.path(), &body)?;
        let Admin { actor } = parts.extensions.get().cloned().expect("the route table puts a guard here");
        let request_id = parts.extensions.get::<RequestId>().expect("observe runs before every handler");
        let ip = parts.extensions.get::<Peer>().map(|peer| peer.0);
        Ok(AdminWrite { actor, request_id: request_id.as_str().to_owned(), ip, body, key })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathHandle {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathHandle, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Problem::no_such_handle())?;
        let text = params.iter().find(|(name, _)| *name == "handle").map(|(_, value)| value);
        let text = text.expect("the route has a handle");
        text.parse().map(PathHandle).map_err(|_| Problem::no_such_handle())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Read {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Read, Problem> {
        let Access { handle, actor, sees_credentials, .. } = access(parts).clone();
        Ok(Read { handle, actor, sees_credentials, query: parts.uri.query().map(str::to_owned) })
    }
}

impl<S> FromRequest<S> for Write
where
    S: Send + Sync,
    Limits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Write, Problem> {
        let (mut parts, body) = request.into_parts();
        let route = route_of(&mut parts, state).await?;
        let body = Limits::from_ref(state).read(&parts.headers, body).await?;
        let Access { handle, actor, role, mode, draw, .. } = access(&parts).clone();
        let header = dialect_of(&parts).idempotency_key();
        let key = repeat_key(&header, &parts.headers, handle.as_str(), &parts.method, &route, &body)?;
        let trace = telemetry::request::trace(&parts.extensions, &parts.headers);
        let caller = Caller { mode, draw, trace, ..caller(&parts.extensions, handle, actor) };
        Ok(Write { caller, role, body, key })
    }
}

impl<S: Send + Sync, K: Kind> FromRequestParts<S> for PathId<K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathId<K>, Problem> {
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        let text = params.iter().find(|(name, _)| *name == "id").map(|(_, value)| value);
        let id = text.expect("the route has an id").parse().map_err(|_| Problem::not_found())?;
        Ok(PathId(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathEventType {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathEventType, Problem> {
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        let name = params.iter().find(|(name, _)| *name == "type").map(|(_, value)| value);
        Ok(PathEventType(name.expect("the route has a type").to_owned()))
    }
}

/// What a write is done to, in one spelling: the route below the handle and the ids in it. The two
/// doors to a route, and the ways to escape a path, are the same write.
async fn route_of<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let mut route = template.split_once("{handle}").map_or(template, |(_, below)| below).to_owned();
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
    for (_, id) in params.iter().filter(|(name, _)| *name != "handle") {
        route.push(' ');
        route.push_str(id);
    }
    Ok(route)
}

fn dialect_of(parts: &Parts) -> Dialect {
    *parts.extensions.get::<Dialect>().expect("observe runs before every handler")
}

fn access(parts: &Parts) -> &Access {
    parts.extensions.get::<Access>().expect("the route table puts a guard before every handler")
}
