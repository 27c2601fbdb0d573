//! The decisions of Angarium, as pure functions and values.
//!
//! Nothing in this crate waits, reads a clock, draws a random number or opens
//! a socket: the time is an argument, jitter is a hash, bytes are given. That
//! is what lets the simulator run a year of deliveries in a second, and what
//! lets a reader follow a decision without following a thread.

pub mod access;
pub mod account;
pub mod advice;
pub mod alert;
pub mod attempt;
pub mod audit;
pub mod auto_disable;
pub mod catalog;
pub mod chain;
mod cloud_events;
pub mod context;
pub mod delivery;
pub mod dispatch;
pub mod event;
pub mod event_type;
pub mod fan_out;
pub mod filter;
pub mod handle;
pub mod headers;
pub mod health;
pub mod idempotency;
pub mod ids;
pub mod inbox;
pub mod letter;
pub mod mail_address;
pub mod mail_link;
pub mod mail_notice;
pub mod mailbox;
pub mod notices;
pub mod outcome;
pub mod payload;
pub mod quota;
pub mod recipient;
pub mod replay;
pub mod report;
pub mod retention;
pub mod retry;
pub mod secret;
pub mod sender_domain;
pub mod signature;
pub mod sns;
pub mod standing;
pub mod statistics;
pub mod subscription;
pub mod time;
pub mod trace_context;
pub mod verification;
pub mod voice_note;
