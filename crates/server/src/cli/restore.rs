//! `angarium restore`: a backup in the store's place.

use std::path::PathBuf;

use angarium_store::sqlite;
use anyhow::{Context, bail};
use clap::Args;

use crate::cli::settings_file::SettingsFile;
use crate::cli::table::show;
use crate::keyring;
use crate::settings::{Environment, StoreSettings};

/// Put a backup in the store's place, where there must be none
///
/// The master key must be the one of the store that was copied. Deliveries that ended after the backup
/// was made are made again: receivers see the same event ids a second time.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A file that `angarium backup` made
    #[arg(value_name = "FILE")]
    from: PathBuf,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub(crate) async fn run(args: RestoreArgs) -> anyhow::Result<()> {
    let settings = args.settings.load(&Environment::of_the_process(), Vec::new())?.store;
    require_key_file(&settings)?;
    let key = keyring::master_key(&settings)?;
    let (from, to) = (args.from, settings.path);
    let copied = {
        let (from, to) = (from.clone(), to.clone());
        tokio::task::spawn_blocking(move || sqlite::restore(&from, &to, &key)).await?
    };
    let copied = copied.with_context(|| format!("{} was not restored", from.display()))?;
    show(&format!(
        "{} is restored to {}: {} bytes, schema {}.\n",
        from.display(),
        to.display(),
        copied.bytes,
        copied.schema,
    ));
    Ok(())
}

/// A key that the first start would make cannot be the one of a store that was.
fn require_key_file(settings: &StoreSettings) -> anyhow::Result<()> {
    let beside = settings.path.with_file_name(keyring::MASTER_KEY);
    if settings.key.is_none() && settings.key_file.is_none() && !beside.exists() {
        bail!(
            "there is no master key: put the one of the store that was copied at {}, or name it with \
             store.key or store.key_file",
            beside.display(),
        );
    }
    Ok(())
}
