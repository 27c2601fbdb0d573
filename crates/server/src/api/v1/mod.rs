//! The v1 API, for organizations: the route table.
//!
//! A dialect: the same engine as v2 in the words of others, and no behaviour of its own. A
//! subscription that is made here is seen there, and the other way round. One line a route: method,
//! address, the scope that its key must have, handler.

mod dead_letters;
mod deliveries;
pub(super) mod envelope;
mod events;
mod ids;
mod webhook_form;
mod webhooks;

use angarium_domain::access::{Role, Scope};
use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};

use crate::auth::{Door, Guard, Need, guard};
use crate::state::App;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PATCH: MethodFilter = MethodFilter::PATCH;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// Every route of this API, each behind its guard.
pub(super) fn routes(app: &App) -> Router<App> {
    let events = Scope::EventsManage;
    let webhooks = Scope::WebhooksManage;

    Table { app, router: Router::new() }
        .route(POST, "/events", events, events::publish)
        .route(GET, "/webhooks", webhooks, webhooks::list)
        .route(POST, "/webhooks", webhooks, webhooks::create)
        .route(GET, "/webhooks/{id}", webhooks, webhooks::get)
        .route(PATCH, "/webhooks/{id}", webhooks, webhooks::patch)
        .route(DELETE, "/webhooks/{id}", webhooks, webhooks::delete)
        .route(POST, "/webhooks/{id}/test", webhooks, webhooks::test)
        .route(POST, "/webhooks/{id}/rotate-secret", webhooks, webhooks::rotate)
        .route(GET, "/webhooks/{id}/deliveries", webhooks, deliveries::list)
        .route(GET, "/webhooks/dead-letters", webhooks, dead_letters::list)
        .route(POST, "/webhooks/dead-letters/{id}/replay", webhooks, dead_letters::replay)
        .router
}

struct Table<'a> {
    app: &'a App,
    router: Router<App>,
}

impl Table<'_> {
    fn route<H, T>(mut self, method: MethodFilter, path: &str, scope: Scope, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        // No role of a person opens these doors: they take keys only.
        let need = Need { role: Role::Owner, scope: Some(scope) };
        let guarded = Guard { app: self.app.clone(), need, door: Door::Keys };
        let route = on(method, handler).route_layer(from_fn_with_state(guarded, guard));
        self.router = self.router.route(&format!("{}{path}", Door::Keys.root()), route);
        self
    }
}
