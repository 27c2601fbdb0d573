//! The scripts in `examples/`: run against a fresh installation, each checks its own answers.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    api::HANDLE,
    product::{self, Installation},
    workspace,
};

/// Which binary to try.
#[derive(Debug, clap::Args)]
pub(crate) struct ExamplesArgs {
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

const SCRIPTS: &[&str] = &["lifecycle.sh", "uc-17.sh", "context-bridge.sh"];

/// Runs each script as its reader would: over HTTP, with tokens that the binary has minted.
pub(crate) async fn run(args: ExamplesArgs) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    for script in SCRIPTS {
        try_script(&binary, script).await.with_context(|| format!("examples/{script}"))?;
    }
    Ok(())
}

async fn try_script(binary: &Path, script: &str) -> Result<()> {
    let installation = Installation::new(binary, 100)?;
    let mails = installation.with_mail_folder()?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let minted = |role: &str| {
        let words = ["token", "mint", "--handle", HANDLE, "--role", role];
        installation.command(&words).map(|token| token.trim().to_owned())
    };
    let mut command = Command::new("sh");
    command.arg(workspace::root().join("examples").join(script));
    command
        .env("API_BASE", format!("http://{}", installation.address()))
        .env("HANDLE", HANDLE)
        .env("JWT_TOKEN", minted("OPERATOR")?)
        .env("OWNER_TOKEN", minted("OWNER")?)
        .env("MAIL_FOLDER", mails)
        .env("CREATOR_TOKEN", minted("CREATOR")?)
        // Nobody listens there: the test of a webhook is accepted before it is attempted.
        .env("ENDPOINT_URL", format!("http://{}/in", product::free_address()?));
    workspace::run(&mut command)
}
