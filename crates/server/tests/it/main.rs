//! Conversations over real HTTP with a real engine and a real local receiver.

mod client;
mod contract;
mod credentials;
mod receiver;
mod world;

mod access;
mod audit;
mod backup;
mod batches;
mod cli_commands;
mod cli_demo;
mod dead_letters;
mod deliveries;
mod event_types;
mod events;
mod filters;
mod idempotency;
mod jwt;
mod listener;
mod log;
mod openapi;
mod ordered;
mod paging;
mod problems;
mod public_keys;
mod replays;
mod restart;
mod standing;
mod stream;
mod tenancy;
mod tokens;
mod verification;
mod webhooks;
