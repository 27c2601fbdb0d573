//! The v2 API: the route table.
//!
//! One line a route: method, address, what it asks of its caller, handler, description.

mod api_keys;
mod audit;
mod chain;
pub(crate) mod context_search;
pub(crate) mod context_sources;
mod credential_form;
mod dead_letters;
pub(super) mod deliveries;
mod email_subscriptions;
mod event_types;
pub(super) mod events;
mod filters;
mod handles;
mod inbox;
mod inbox_stream;
mod media;
mod notification_settings;
mod notifications;
mod owner_default_email;
mod providers;
mod public_keys;
mod replays;
mod reports;
mod stats;
mod stream;
mod telling;
mod tokens;
mod voice_notes;
mod webhook_form;
pub(super) mod webhooks;

use angarium_domain::access::Role::{Creator, Operator, Owner};
use angarium_domain::access::{Role, Scope};
use http::Method;

use crate::api::table::Table;
use crate::auth::Need;

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route of this API.
pub(crate) fn table() -> Table {
    events_and_webhooks_table()
        .and(notifications_table())
        .and(deliveries_table())
        .and(chain_table())
        .and(voice_notes_table())
        .and(context_store_table())
        .and(credentials_table())
        .and(support_table())
}

/// Events, webhooks, and the types that both speak of.
#[rustfmt::skip] // One line a route.
fn events_and_webhooks_table() -> Table {
    let events_write = token_or(Operator, Scope::EventsWrite);
    let events_read = token_or(Creator, Scope::EventsRead);
    let webhooks_write = token_or(Operator, Scope::WebhooksWrite);
    let webhooks_read = token_or(Creator, Scope::WebhooksRead);
    let event_types_write = token_or(Operator, Scope::EventTypesWrite);
    let event_types_read = token_or(Creator, Scope::EventTypesRead);

    Table::default()
        .twins(POST, "/events", events_write, events::publish, events::docs::publish)
        .twins(POST, "/events/batch", events_write, events::publish_batch, events::docs::publish_batch)
        .twins(GET, "/events", events_read, events::list, events::docs::list)
        .twins(GET, "/events/{id}", events_read, events::get, events::docs::get)
        .twins(POST, "/webhooks", webhooks_write, webhooks::create, webhooks::docs::create)
        .twins(GET, "/webhooks", webhooks_read, webhooks::list, webhooks::docs::list)
        .twins(GET, "/webhooks/{id}", webhooks_read, webhooks::get, webhooks::docs::get)
        .twins(PATCH, "/webhooks/{id}", webhooks_write, webhooks::patch, webhooks::docs::patch)
        .twins(DELETE, "/webhooks/{id}", webhooks_write, webhooks::delete, webhooks::docs::delete)
        .twins(GET, "/webhooks/stats", webhooks_read, stats::list, stats::docs::list)
        .twins(GET, "/webhooks/{id}/stats", webhooks_read, stats::get, stats::docs::get)
        .twins(POST, "/webhooks/{id}/test", webhooks_write, webhooks::test, webhooks::docs::test)
        .twins(GET, "/webhooks/{id}/public-keys", webhooks_read, public_keys::list, public_keys::docs::list)
        .twins(POST, "/webhooks/{id}/verify", webhooks_write, webhooks::verify, webhooks::docs::verify)
        .twins(POST, "/webhooks/{id}/rotate-secret", webhooks_write, webhooks::rotate, webhooks::docs::rotate)
        .twins(POST, "/webhooks/{id}/pause", webhooks_write, webhooks::pause, webhooks::docs::pause)
        .twins(POST, "/webhooks/{id}/resume", webhooks_write, webhooks::resume, webhooks::docs::resume)
        .route(PUT, "/event-types/{type}", event_types_write, event_types::put, event_types::docs::put)
        .route(GET, "/event-types", event_types_read, event_types::list, event_types::docs::list)
        .route(GET, "/event-types/{type}", event_types_read, event_types::get, event_types::docs::get)
        .route(DELETE, "/event-types/{type}", event_types_write, event_types::delete, event_types::docs::delete)
        .route(GET, "/openapi.json", event_types_read, event_types::openapi, event_types::docs::openapi)
}

/// Who is told: the owner, the mobile inbox, e-mail, and the settings of all of them.
#[rustfmt::skip] // One line a route.
fn notifications_table() -> Table {
    let notifications_read = token_or(Creator, Scope::NotificationsRead);
    let inbox_post = token_or(Operator, Scope::InboxWrite);
    let inbox_mark = token_or(Creator, Scope::InboxWrite);
    let inbox_read = token_or(Creator, Scope::InboxRead);
    let notification_settings_read = token_or(Operator, Scope::NotificationsRead);
    let notifications_write = token_or(Operator, Scope::NotificationsWrite);
    let owners = Need { role: Owner, scope: None };

    Table::default()
        .route(GET, "/notifications", notifications_read, notifications::get, notifications::docs::get)
        .route(GET, "/mobile/inbox", inbox_read, inbox::list, inbox::docs::list)
        .route(POST, "/mobile/inbox", inbox_post, inbox::post, inbox::docs::post)
        .route(GET, "/mobile/inbox/stream", inbox_read, inbox_stream::stream, inbox::docs::stream)
        .route(POST, "/mobile/inbox/read-all", inbox_mark, inbox::read_all, inbox::docs::read_all)
        .route(POST, "/mobile/inbox/{id}/seen", inbox_mark, inbox::see, inbox::docs::see)
        .route(POST, "/mobile/inbox/{id}/read", inbox_mark, inbox::read, inbox::docs::read)
        .route(POST, "/mobile/inbox/{id}/unread", inbox_mark, inbox::unread, inbox::docs::unread)
        .route(POST, "/mobile/inbox/{id}/archive", inbox_mark, inbox::archive, inbox::docs::archive)
        .route(POST, "/mobile/inbox/{id}/unarchive", inbox_mark, inbox::unarchive, inbox::docs::unarchive)
        .route(POST, "/notifications/email-subscriptions", notifications_write, email_subscriptions::create, email_subscriptions::docs::create)
        .route(DELETE, "/notifications/email-subscriptions/{id}", notifications_write, email_subscriptions::delete, email_subscriptions::docs::delete)
        .route(POST, "/notifications/email-subscriptions/{id}/test", notifications_write, email_subscriptions::test, email_subscriptions::docs::test)
        .route(DELETE, "/notifications/email-subscriptions/{id}/suppression", notifications_write, email_subscriptions::lift_suppression, email_subscriptions::docs::lift_suppression)
        .route(PUT, "/notifications/owner-default-email", owners, owner_default_email::put, owner_default_email::docs::put)
        .route(POST, "/notifications/owner-default-email/test", owners, owner_default_email::test, owner_default_email::docs::test)
        .route(GET, "/notification-settings", notification_settings_read, notification_settings::get, notification_settings::docs::get)
        .route(PUT, "/notification-settings", owners, notification_settings::put, notification_settings::docs::put)
}

/// What became of events, and sending them again.
#[rustfmt::skip] // One line a route.
fn deliveries_table() -> Table {
    let webhooks_read = token_or(Creator, Scope::WebhooksRead);
    let deliveries_write = token_or(Operator, Scope::DeliveriesWrite);
    let deliveries_read = token_or(Creator, Scope::DeliveriesRead);

    Table::default()
        .route(POST, "/filters/check", webhooks_read, filters::check, filters::docs::check)
        .route(GET, "/deliveries", deliveries_read, deliveries::list, deliveries::docs::list)
        .route(GET, "/deliveries/stream", deliveries_read, stream::stream, stream::docs::stream)
        .route(GET, "/deliveries/{id}", deliveries_read, deliveries::get, deliveries::docs::get)
        .route(POST, "/deliveries/{id}/replay", deliveries_write, deliveries::replay, deliveries::docs::replay)
        .route(GET, "/dead-letters", deliveries_read, dead_letters::list, dead_letters::docs::list)
        .route(GET, "/dead-letters/{id}", deliveries_read, dead_letters::get, dead_letters::docs::get)
        .route(DELETE, "/dead-letters/{id}", deliveries_write, dead_letters::discard, dead_letters::docs::discard)
        .route(POST, "/replays", deliveries_write, replays::create, replays::docs::create)
        .route(GET, "/replays", deliveries_read, replays::list, replays::docs::list)
        .route(GET, "/replays/{id}", deliveries_read, replays::get, replays::docs::get)
        .route(POST, "/replays/{id}/cancel", deliveries_write, replays::cancel, replays::docs::cancel)
}

/// The context chain, and the pages that may write to it.
#[rustfmt::skip] // One line a route.
fn chain_table() -> Table {
    let chain_write = token_or(Creator, Scope::ChainWrite);
    let chain_read = token_or(Creator, Scope::ChainRead);
    let chain_manage = token_or(Operator, Scope::ChainManage);

    Table::default()
        .pages(POST, "/chain/signals", chain::append_by_anybody, chain::docs::append_by_anybody)
        .pages(POST, "/chain/resolve", chain::resolve_by_anybody, chain::docs::resolve_by_anybody)
        .pages(POST, "/chain/prefetch", chain::prefetch_by_anybody, chain::docs::prefetch_by_anybody)
        .route(POST, "/chain/signals", chain_write, chain::append, chain::docs::append)
        .route(POST, "/chain/resolve", chain_read, chain::resolve, chain::docs::resolve)
        .deciding()
        .route(POST, "/chain/prefetch", chain_read, chain::prefetch, chain::docs::prefetch)
        .route(GET, "/chain/rules", chain_manage, chain::rules::get, chain::docs::get_rules)
        .route(PUT, "/chain/rules", chain_manage, chain::rules::put, chain::docs::put_rules)
        .route(GET, "/chain/{session}", chain_read, chain::get, chain::docs::get)
        .route(GET, "/context-origins", chain_manage, chain::rules::get_origins, chain::docs::get_origins)
        .route(PUT, "/context-origins", chain_manage, chain::rules::put_origins, chain::docs::put_origins)
}

/// Voice notes and their files.
#[rustfmt::skip] // One line a route.
fn voice_notes_table() -> Table {
    let mobile_write = token_or(Creator, Scope::MobileWrite);
    let mobile_read = token_or(Creator, Scope::MobileRead);
    let mobile_remove = token_or(Operator, Scope::MobileWrite);

    Table::default()
        .route(POST, "/mobile/voice-notes", mobile_write, voice_notes::create, voice_notes::docs::create)
        .route(GET, "/mobile/voice-notes", mobile_read, voice_notes::list, voice_notes::docs::list)
        .route(GET, "/mobile/voice-notes/{id}", mobile_read, voice_notes::get, voice_notes::docs::get)
        .route(DELETE, "/mobile/voice-notes/{id}", mobile_remove, voice_notes::delete, voice_notes::docs::delete)
        .route(POST, "/mobile/voice-notes/{id}/upload-complete", mobile_write, voice_notes::complete, voice_notes::docs::complete)
        .files(PUT, "/v2/uploads/{token}", media::upload, media::docs::upload)
        .files(GET, "/v2/media/{token}", media::read, media::docs::read)
}

/// The audit log and the context store.
#[rustfmt::skip] // One line a route.
fn context_store_table() -> Table {
    let audit_read = token_or(Owner, Scope::AuditRead);
    let context_manage = token_or(Operator, Scope::ContextStoreManage);
    let context_read = token_or(Creator, Scope::ContextStoreRead);

    Table::default()
        .route(GET, "/audit", audit_read, audit::list, audit::docs::list)
        .route(POST, "/context-sources", context_manage, context_sources::create, context_sources::docs::create)
        .route(GET, "/context-sources", context_read, context_sources::list, context_sources::docs::list)
        .route(GET, "/context-sources/{id}", context_read, context_sources::get, context_sources::docs::get)
        .route(PATCH, "/context-sources/{id}", context_manage, context_sources::patch, context_sources::docs::patch)
        .route(POST, "/context-sources/{id}/sync", context_manage, context_sources::sync, context_sources::docs::sync_by_anybody)
        .route(DELETE, "/context-sources/{id}", context_manage, context_sources::delete, context_sources::docs::delete)
        .route(GET, "/context-store/search", context_read, context_search::search, context_search::docs::search)
        .agents(POST, "/context-store/sources/{id}/sync", Scope::ContextStoreManage, context_sources::sync, context_sources::docs::sync)
}

/// Credentials.
#[rustfmt::skip] // One line a route.
fn credentials_table() -> Table {
    let people = Need { role: Operator, scope: None };
    let owners = Need { role: Owner, scope: None };

    Table::default()
        .route(POST, "/tokens", people, tokens::create, tokens::docs::create)
        .route(GET, "/tokens", people, tokens::list, tokens::docs::list)
        .route(DELETE, "/tokens/{id}", people, tokens::revoke, tokens::docs::revoke)
        .route(POST, "/api-keys", owners, api_keys::create, api_keys::docs::create)
        .route(GET, "/api-keys", owners, api_keys::list, api_keys::docs::list)
        .route(DELETE, "/api-keys/{id}", owners, api_keys::revoke, api_keys::docs::revoke)
}

/// What strangers, providers and the platform's admins have to say.
#[rustfmt::skip] // One line a route.
fn support_table() -> Table {
    Table::default()
        .reporter(POST, "/report", reports::support, reports::docs::support)
        .report_of_anybody(POST, "/content-report", reports::content, reports::docs::content)
        .admin(POST, "/escalations", reports::escalate, reports::docs::escalate)
        .admin(GET, "/reports", reports::list, reports::docs::list)
        .admin(GET, "/reports/{id}", reports::get, reports::docs::get)
        .admin(PATCH, "/reports/{id}", reports::patch, reports::docs::patch)
        .admin(DELETE, "/reports/{id}", reports::delete, reports::docs::delete)
        .anybody(POST, "/providers/sns", providers::sns, providers::docs::sns)
        .admin(POST, "/handles", handles::create, handles::docs::create)
        .admin(GET, "/handles", handles::list, handles::docs::list)
        .admin(GET, "/handles/{handle}", handles::get, handles::docs::get)
        .admin(PATCH, "/handles/{handle}", handles::patch, handles::docs::patch)
        .admin(DELETE, "/handles/{handle}", handles::delete, handles::docs::delete)
}

const fn token_or(role: Role, scope: Scope) -> Need {
    Need { role, scope: Some(scope) }
}
