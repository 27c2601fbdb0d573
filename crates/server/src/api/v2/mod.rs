//! The v2 API: the route table.
//!
//! One line a route: method, address, what it asks of its caller, handler.

mod audit;
mod dead_letters;
mod deliveries;
mod events;
mod filters;
mod public_keys;
mod replays;
mod stream;
mod tokens;
mod webhook_form;
mod webhooks;

use angarium_domain::access::Role::{Creator, Operator, Owner};
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
pub(crate) fn routes(app: &App) -> Router<App> {
    let events_write = token_or(Operator, Scope::EventsWrite);
    let events_read = token_or(Creator, Scope::EventsRead);
    let webhooks_write = token_or(Operator, Scope::WebhooksWrite);
    let webhooks_read = token_or(Creator, Scope::WebhooksRead);
    let deliveries_write = token_or(Operator, Scope::DeliveriesWrite);
    let deliveries_read = token_or(Creator, Scope::DeliveriesRead);
    let audit_read = token_or(Owner, Scope::AuditRead);
    let people = Need { role: Operator, scope: None };

    Table::new(app)
        .twins(POST, "/events", events_write, events::publish)
        .twins(POST, "/events/batch", events_write, events::publish_batch)
        .twins(GET, "/events", events_read, events::list)
        .twins(GET, "/events/{id}", events_read, events::get)
        .twins(POST, "/webhooks", webhooks_write, webhooks::create)
        .twins(GET, "/webhooks", webhooks_read, webhooks::list)
        .twins(GET, "/webhooks/{id}", webhooks_read, webhooks::get)
        .twins(PATCH, "/webhooks/{id}", webhooks_write, webhooks::patch)
        .twins(DELETE, "/webhooks/{id}", webhooks_write, webhooks::delete)
        .twins(POST, "/webhooks/{id}/test", webhooks_write, webhooks::test)
        .twins(GET, "/webhooks/{id}/public-keys", webhooks_read, public_keys::list)
        .twins(POST, "/webhooks/{id}/verify", webhooks_write, webhooks::verify)
        .twins(POST, "/webhooks/{id}/rotate-secret", webhooks_write, webhooks::rotate)
        .twins(POST, "/webhooks/{id}/pause", webhooks_write, webhooks::pause)
        .twins(POST, "/webhooks/{id}/resume", webhooks_write, webhooks::resume)
        .route(POST, "/filters/check", webhooks_read, filters::check)
        .route(GET, "/deliveries", deliveries_read, deliveries::list)
        .route(GET, "/deliveries/stream", deliveries_read, stream::stream)
        .route(GET, "/deliveries/{id}", deliveries_read, deliveries::get)
        .route(POST, "/deliveries/{id}/replay", deliveries_write, deliveries::replay)
        .route(GET, "/dead-letters", deliveries_read, dead_letters::list)
        .route(GET, "/dead-letters/{id}", deliveries_read, dead_letters::get)
        .route(DELETE, "/dead-letters/{id}", deliveries_write, dead_letters::discard)
        .route(POST, "/replays", deliveries_write, replays::create)
        .route(GET, "/replays/{id}", deliveries_read, replays::get)
        .route(POST, "/replays/{id}/cancel", deliveries_write, replays::cancel)
        .route(GET, "/audit", audit_read, audit::list)
        .route(POST, "/tokens", people, tokens::create)
        .route(GET, "/tokens", people, tokens::list)
        .route(DELETE, "/tokens/{id}", people, tokens::revoke)
        .router
}

const fn token_or(role: Role, scope: Scope) -> Need {
    Need { role, scope: Some(scope) }
}

struct Table<'a> {
    app: &'a App,
    router: Router<App>,
}

impl Table<'_> {
    fn new(app: &App) -> Table<'_> {
        Table { app, router: Router::new() }
    }

    /// A route for people and tokens.
    fn route<H, T>(self, method: MethodFilter, path: &str, need: Need, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.mount(Door::Handles, method, path, need, handler)
    }

    /// A route for people and tokens, and its twin that takes tokens only (contract 3).
    fn twins<H, T>(self, method: MethodFilter, path: &str, need: Need, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.mount(Door::Public, method, path, need, handler.clone()).route(method, path, need, handler)
    }

    fn mount<H, T>(mut self, door: Door, method: MethodFilter, path: &str, need: Need, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let guarded = Guard { app: self.app.clone(), need, door };
        let route = on(method, handler).route_layer(from_fn_with_state(guarded, guard));
        let root = match door {
            Door::Handles => "/v2/handles/{handle}",
            Door::Public => "/v2/public/handles/{handle}",
        };
        self.router = self.router.route(&format!("{root}{path}"), route);
        self
    }
}
