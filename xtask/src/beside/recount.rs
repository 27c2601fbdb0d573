//! The store of a stopped process, counted anew by a script that knows its tables and none of our code.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

use crate::workspace;

/// How finished everything must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// The process was killed in the middle of everything.
    Killed,
    /// Everything had come to its end.
    Quiet,
}

/// What differs. `interval_seconds` is the least time between two tellings of one subscription.
pub(super) fn recount(folder: &Path, interval_seconds: u64, when: When) -> Result<Vec<String>> {
    let script = workspace::root().join("xtask/python/recount.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(folder.join("angarium.db")).arg(interval_seconds.to_string());
    command.arg(match when {
        When::Killed => "killed",
        When::Quiet => "quiet",
    });
    let said = workspace::output(&mut command)?;
    serde_json::from_str(&said).with_context(|| format!("the recount said {said:?}"))
}
