//! The v1 API, for organizations: the route table.
//!
//! A dialect: the same engine as v2 in the words of others, and no behaviour of its own. A
//! subscription that is made here is seen there, and the other way round. One line a route: method,
//! address, the scope that its key must have, handler, description.

mod dead_letters;
mod deliveries;
pub(crate) mod envelope;
mod events;
pub(crate) mod ids;
mod webhook_form;
mod webhooks;

use angarium_domain::access::Scope;
use http::Method;

use crate::api::table::Table;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route of this API.
#[rustfmt::skip] // One line a route.
pub(crate) fn table() -> Table {
    let events = Scope::EventsManage;
    let webhooks = Scope::WebhooksManage;

    Table::default()
        .keyed(POST, "/events", events, events::publish, events::docs::publish)
        .keyed(POST, "/webhooks", webhooks, webhooks::create, webhooks::docs::create)
        .keyed(GET, "/webhooks", webhooks, webhooks::list, webhooks::docs::list)
        .keyed(GET, "/webhooks/{id}", webhooks, webhooks::get, webhooks::docs::get)
        .keyed(PATCH, "/webhooks/{id}", webhooks, webhooks::patch, webhooks::docs::patch)
        .keyed(DELETE, "/webhooks/{id}", webhooks, webhooks::delete, webhooks::docs::delete)
        .keyed(POST, "/webhooks/{id}/test", webhooks, webhooks::test, webhooks::docs::test)
        .keyed(POST, "/webhooks/{id}/rotate-secret", webhooks, webhooks::rotate, webhooks::docs::rotate)
        .keyed(GET, "/webhooks/{id}/deliveries", webhooks, deliveries::list, deliveries::docs::list)
        .keyed(GET, "/webhooks/dead-letters", webhooks, dead_letters::list, dead_letters::docs::list)
        .keyed(POST, "/webhooks/dead-letters/{id}/replay", webhooks, dead_letters::replay, dead_letters::docs::replay)
}
