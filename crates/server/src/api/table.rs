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
    pub(crate) fn route<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        need: Need,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.at(Door::Handles, method, path, need, handler, describe)
    }

    /// A route for people and tokens, and its twin that takes tokens only (contract 3).
    pub(crate) fn twins<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        need: Need,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.at(Door::Public, method.clone(), path, need, handler.clone(), describe)
            .route(method, path, need, handler, describe)
    }

    /// A route for API keys, which say their handle themselves.
    pub(crate) fn keyed<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        scope: Scope,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.at(Door::Keys, method, path, no_person_with(scope), handler, describe)
    }

    /// A route for the tokens of agents (contract 8).
    pub(crate) fn agents<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        scope: Scope,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.at(Door::Agents, method, path, no_person_with(scope), handler, describe)
    }

    /// A route for platform admins.
    pub(crate) fn admin<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        // A role on a handle is not asked for.
        let need = Need { role: Role::Owner, scope: None };
        self.at(Door::Admins, method, path, need, handler, describe)
    }

    /// A route below `/v2/public` for anybody, as often as an address may ask. Its answers and problems
    /// are described like those of routes with a credential.
    pub(crate) fn anybody<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.at(Door::Anybody, method, path, NOTHING, handler, describe)
    }

    /// A route below `/v2/public` for anybody, that pages of other origins may ask in a browser. Which of
    /// them, the handler knows; a browser that asks beforehand is told whether anybody lists its page.
    pub(crate) fn pages<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.anybody(method, path, handler, describe).with_last(|line| line.pages = Pages::Listed)
    }

    /// A route below `/v2/public` by which anybody reports something.
    pub(crate) fn report_of_anybody<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.anybody(method, path, handler, describe).with_last(|line| line.class = Some(Class::Reports))
    }

    /// Says of the last route that it asks and may yet write: as often as a credential may write, and
    /// without a draw on a plan.
    pub(crate) fn deciding(self) -> Table {
        self.with_last(|line| line.class = Some(Class::Decide))
    }

    /// A route that takes a credential and needs none.
    pub(crate) fn reporter<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.at(Door::Reporters, method, path, NOTHING, handler, describe)
    }

    /// A page for anybody, as often as an address may ask: links in mails lead there.
    pub(crate) fn page<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.push(Some((NOTHING, Door::Anybody)), method, path.to_owned(), handler, describe)
    }

    /// A route of the service itself, which nobody counts.
    pub(crate) fn open<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.push(None, method, path.to_owned(), handler, describe)
    }

    /// A route that asks for nothing but its address, which is a credential: any page that has it may use it.
    pub(crate) fn files<H: Handler<T, App>, T: 'static>(
        self,
        method: Method,
        path: &str,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.open(method, path, handler, describe).with_last(|line| line.pages = Pages::Any)
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

    fn at<H: Handler<T, App>, T: 'static>(
        self,
        door: Door,
        method: Method,
        path: &str,
        need: Need,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        self.push(Some((need, door)), method, format!("{}{path}", door.root()), handler, describe)
    }

    fn push<H: Handler<T, App>, T: 'static>(
        mut self,
        access: Option<(Need, Door)>,
        method: Method,
        path: String,
        handler: H,
        describe: fn() -> Operation,
    ) -> Table {
        let filter = filter_of(&method);
        self.0.push(Line {
            route: Route { method, path, access, operation: describe() },
            pages: Pages::None,
            class: None,
            mount: Box::new(move || on(filter, handler)),
        });
        self
    }

    /// This table with its last line as an edit leaves it.
    fn with_last(mut self, edit: impl FnOnce(&mut Line)) -> Table {
        edit(self.0.last_mut().expect("a line was added"));
        self
    }
}

/// No role and no scope is asked for.
const NOTHING: Need = Need { role: Role::Creator, scope: None };

/// A scope that no role of a person stands for.
const fn no_person_with(scope: Scope) -> Need {
    Need { role: Role::Owner, scope: Some(scope) }
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
