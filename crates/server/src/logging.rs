//! The log: one line a happening, on standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// A library that has three lines for each request of an agent's, with the agent's own words in them as
/// they came. Ours is the line that counts, and holds nobody's words. The settings may say otherwise.
const QUIET: &str = "rmcp=off";

/// The settings' level is not one.
#[derive(Debug, thiserror::Error)]
#[error("log.level {level:?} is not a level or a filter such as info,angarium::access=warn: {reason}")]
pub struct InvalidLevel {
    level: String,
    reason: String,
}

/// Starts logging. The second call in a process changes nothing.
pub fn start(settings: &LogSettings) -> Result<(), InvalidLevel> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.level))
        .map_err(|error| InvalidLevel { level: settings.level.clone(), reason: error.to_string() })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// A panic belongs in the log like everything else, on one line and with its place.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, panic = panic.payload_as_str().unwrap_or("not a text"), "a panic");
}
