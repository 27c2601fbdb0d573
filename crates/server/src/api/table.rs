//! Route tables: which routes there are, what each asks of its caller, and what it says of itself.
//!
//! A line of a table mounts a route and describes it. There is no way to do the one without the
//! other, so the documents under `/openapi/` name every route that is served.

use angarium_domain::access::{Role, Scope};
use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::api::pages::Pages;
use crate::auth::{
    AddressGuard, AdminGuard, Door, Guard, Need, ReporterGuard, address_guard, admin_guard, guard,
    reporter_guard,
};
use crate::openapi::{Operation, Route};
use crate::rate::Class;
use crate::state::App;

/// The routes of one API.
#[derive(Default)]
pub(crate) struct Table(Vec<Line>);

struct Line {
    route: Route,
    pages: Pages,
    /// What its requests are counted as, where method and scope do not say it.
    class: Option<Class>,
    mount: Box<dyn FnOnce() -> MethodRouter<App>>,
}

impl Table {
    /// A route for people and tokens.
    pub(crate) fn route<H, T>(
        self,
        method: Method,
        path: &str,
        need: Need,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.at(Door::Handles, method, path, need, handler, describe)
    }

    /// A route for people and tokens, and its twin that takes tokens only (contract 3).
    pub(crate) fn twins<H, T>(
        self,
        method: Method,
        path: &str,
        need: Need,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.at(Door::Public, method.clone(), path, need, handler.clone(), describe)
            .route(method, path, need, handler, describe)
    }

    /// A route for API keys, which say their handle themselves.
    pub(crate) fn keyed<H, T>(
        self,
        method: Method,
        path: &str,
        scope: Scope,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        // No role of a person opens these doors.
        let need = Need { role: Role::Owner, scope: Some(scope) };
        self.at(Door::Keys, method, path, need, handler, describe)
    }

    /// A route for the tokens of agents (contract 8).
    pub(crate) fn agents<H, T>(
        self,
        method: Method,
        path: &str,
        scope: Scope,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        // No role of a person opens these doors.
        let need = Need { role: Role::Owner, scope: Some(scope) };
        self.at(Door::Agents, method, path, need, handler, describe)
    }

    /// A route for platform admins.
    pub(crate) fn admin<H, T>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        // A role on a handle is not asked for.
        let need = Need { role: Role::Owner, scope: None };
        self.at(Door::Admins, method, path, need, handler, describe)
    }

    /// A route below `/v2/public` for anybody, as often as an address may ask. Its answers and problems
    /// are described like those of routes with a credential.
    pub(crate) fn anybody<H, T>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        // No role and no scope is asked for.
        let need = Need { role: Role::Creator, scope: None };
        self.at(Door::Anybody, method, path, need, handler, describe)
    }

    /// A route below `/v2/public` for anybody, that pages of other origins may ask in a browser. Which of
    /// them, the handler knows; a browser that asks beforehand is told whether anybody lists its page.
    pub(crate) fn pages<H, T>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let mut table = self.anybody(method, path, handler, describe);
        table.0.last_mut().expect("a line was added").pages = Pages::Listed;
        table
    }

    /// A route below `/v2/public` by which anybody reports something.
    pub(crate) fn report_of_anybody<H, T>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let mut table = self.anybody(method, path, handler, describe);
        table.0.last_mut().expect("a line was added").class = Some(Class::Reports);
        table
    }

    /// Says of the last route that it asks and may yet write: as often as a credential may write, and
    /// without a draw on a plan.
    pub(crate) fn deciding(mut self) -> Table {
        self.0.last_mut().expect("a line was added").class = Some(Class::Decide);
        self
    }

    /// A route that takes a credential and needs none.
    pub(crate) fn reporter<H, T>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        // No role and no scope is asked for.
        let need = Need { role: Role::Creator, scope: None };
        self.at(Door::Reporters, method, path, need, handler, describe)
    }

    /// A page for anybody, as often as an address may ask: links in mails lead there.
    pub(crate) fn page<H, T>(
        mut self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = filter_of(&method);
        // No role and no scope is asked for.
        let access = Some((Need { role: Role::Creator, scope: None }, Door::Anybody));
        let route = Route { method, path: path.to_owned(), access, operation: describe() };
        self.0.push(Line {
            route,
            pages: Pages::None,
            class: None,
            mount: Box::new(move || on(filter, handler)),
        });
        self
    }

    /// A route of the service itself, which nobody counts.
    pub(crate) fn open<H, T>(
        mut self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = filter_of(&method);
        let route = Route { method, path: path.to_owned(), access: None, operation: describe() };
        self.0.push(Line {
            route,
            pages: Pages::None,
            class: None,
            mount: Box::new(move || on(filter, handler)),
        });
        self
    }

    /// A route that asks for nothing but its address, which is a credential: any page that has it may use it.
    pub(crate) fn files<H, T>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let mut table = self.open(method, path, handler, describe);
        table.0.last_mut().expect("a line was added").pages = Pages::Any;
        table
    }

    /// The routes of this table and then those of another.
    pub(crate) fn and(mut self, other: Table) -> Table {
        self.0.extend(other.0);
        self
    }

    /// The routes as they are described.
    pub(crate) fn described(self) -> Vec<Route> {
        self.0.into_iter().map(|line| line.route).collect()
    }

    /// The routes as they are served, each behind its guard.
    pub(crate) fn router(self, app: &App) -> Router<App> {
        self.0.into_iter().fold(Router::new(), |router, Line { route, pages, class, mount }| {
            // The guard stands before what browsers ask beforehand, too: it is a look into the store.
            let mounted = pages.layered(mount(), &route.method, app);
            let mounted = match route.access {
                Some((need, Door::Admins)) => {
                    let guarded = AdminGuard { app: app.clone(), class: class_of(&route.method, need) };
                    mounted.route_layer(from_fn_with_state(guarded, admin_guard))
                }
                Some((_, Door::Anybody)) => {
                    let class = class.unwrap_or(Class::Public);
                    let for_pages = pages == Pages::Listed;
                    let guarded = AddressGuard { app: app.clone(), class, for_pages };
                    mounted.route_layer(from_fn_with_state(guarded, address_guard))
                }
                Some((_, Door::Reporters)) => {
                    let guarded = ReporterGuard { app: app.clone() };
                    mounted.route_layer(from_fn_with_state(guarded, reporter_guard))
                }
                Some((need, door)) => {
                    let class = class.unwrap_or_else(|| class_of(&route.method, need));
                    let guarded = Guard { app: app.clone(), need, door, class };
                    mounted.route_layer(from_fn_with_state(guarded, guard))
                }
                None => mounted,
            };
            router.route(&route.path, mounted)
        })
    }

    fn at<H, T>(
        mut self,
        door: Door,
        method: Method,
        path: &str,
        need: Need,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = filter_of(&method);
        let path = format!("{}{path}", door.root());
        let route = Route { method, path, access: Some((need, door)), operation: describe() };
        self.0.push(Line {
            route,
            pages: Pages::None,
            class: None,
            mount: Box::new(move || on(filter, handler)),
        });
        self
    }
}

/// What the requests of a route do: read, publish, or change anything else. A question that needs a
/// body is a question.
fn class_of(method: &Method, need: Need) -> Class {
    match need.scope {
        _ if *method == Method::GET => Class::Read,
        Some(scope) if !scope.changes_something() => Class::Read,
        Some(Scope::EventsWrite | Scope::EventsManage) => Class::Publish,
        _ => Class::Write,
    }
}

fn filter_of(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the tables use the methods that every server knows")
}
