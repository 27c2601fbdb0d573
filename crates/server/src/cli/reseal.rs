//! `angarium reseal`: another master key for a store.

use std::path::PathBuf;

use angarium_store::sqlite;
use anyhow::{Context, bail};
use clap::Args;

use crate::cli::settings_file::SettingsFile;
use crate::cli::table::show;
use crate::keyring;
use crate::settings::Environment;

/// Seal a store with another master key, while the service is stopped
///
/// The settings name the present key. Everything is sealed anew or nothing is, and what the old key sealed is
/// overwritten. Afterwards the store opens with the new key alone, so change the settings before the next start.
/// Backups made before still need the old key.
#[derive(Debug, Args)]
pub(crate) struct ResealArgs {
    /// The file of the new key: 64 hex digits, or base64 of 32 bytes; made if it is not there
    #[arg(long, value_name = "FILE")]
    new_key_file: PathBuf,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub(crate) async fn run(args: ResealArgs) -> anyhow::Result<()> {
    let settings = args.settings.load(&Environment::of_the_process(), Vec::new())?.store;
    let path = settings.path.clone();
    if !path.exists() {
        bail!("there is no store at {}", path.display());
    }
    let old = keyring::master_key(&settings)?;
    let new = keyring::master_key_in(&args.new_key_file)?;
    let (at, id) = (path.clone(), new.id());
    let resealed = tokio::task::spawn_blocking(move || sqlite::reseal(&at, &old, &new)).await?;
    let resealed = resealed.context("nothing was sealed anew")?;
    show(&format!(
        "{}: {} subscriptions, {} sources and {} remembered answers are sealed with the master key {id}.\n\
         It opens with the key in {} alone: name that file in store.key_file before the next start.\n",
        path.display(),
        resealed.subscriptions,
        resealed.sources,
        resealed.answers,
        args.new_key_file.display(),
    ));
    Ok(())
}
