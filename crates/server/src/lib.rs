//! Angarium's ears: settings, credentials, the HTTP APIs and the command line.
//!
//! The binary is ten lines over this library, so that tests and demonstrations
//! can start the whole service in their own process.

mod api;
pub mod auth;
mod aws;
pub mod cli;
mod exchange;
mod health;
mod idempotency;
pub mod keyring;
pub mod limits;
pub mod listener;
pub mod logging;
mod loops;
mod mail_pages;
pub mod mailing;
mod mcp;
pub mod openapi;
pub mod peer;
pub mod problem;
pub mod rate;
pub mod request_id;
mod safe_headers;
pub mod service;
pub mod settings;
mod state;
pub mod telemetry;
pub mod voice_files;
