//! Angarium's ears: settings, credentials, the HTTP APIs and the command line.
//!
//! The binary is ten lines over this library, so that tests and demonstrations
//! can start the whole service in their own process.

pub mod settings;
pub mod keyring;
pub mod logging;
pub mod limits;
pub mod problem;
pub mod request_id;
mod idempotency;
pub mod auth;
mod state;
mod health;
mod api;
pub mod listener;
pub mod service;
pub mod cli;
