//! Conversations over real HTTP with a real engine and a real local receiver.

mod client;
mod clock;
mod contract;
mod credentials;
mod receiver;
mod world;

mod access;
mod alerts;
mod api_keys;
mod attacks;
mod audit;
mod backup;
mod batches;
mod chain;
mod chain_limits;
mod cli_commands;
mod cli_demo;
mod context_store;
mod dead_letters;
mod deliveries;
mod emails;
mod event_types;
mod events;
mod events_document;
mod filters;
mod idempotency;
mod inbox;
mod inbox_channel;
mod inbox_stream;
mod jwt;
mod listener;
mod log;
mod mail_limits;
mod mail_notices;
mod mcp;
mod openapi;
mod ordered;
mod owner_default_email;
mod paging;
mod problems;
mod public_keys;
mod reference;
mod replays;
mod report_notices;
mod reports;
mod restart;
mod sender_domain;
mod stale_provider;
mod standing;
mod stats;
mod stream;
mod tenancy;
mod tokens;
mod traces;
mod unavailable;
mod unreadable;
mod v1_access;
mod v1_deliveries;
mod v1_webhooks;
mod verification;
mod voice_notes;
mod webhooks;

// The mail server that the channel is tried against, too.
#[path = "../../../channels/tests/it/mail_server.rs"]
#[expect(dead_code, reason = "the channel's own tests ask more of it")]
mod mail_server;

// What a caller may ask, and how often.
mod handles;
mod quotas;
mod rate_limits;
