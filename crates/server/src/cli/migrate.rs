//! `angarium migrate`: the store's schema, looked at or brought up to date before the service starts.

use std::path::{Path, PathBuf};

use angarium_store::sqlite::{self, Migrated};
use anyhow::{Context, bail};
use clap::Args;

use crate::cli::settings_file::SettingsFile;
use crate::cli::table::show;
use crate::keyring;
use crate::settings::Environment;

/// Bring the store's schema up to date
///
/// `serve` does the same at its start. As a step of its own it can be timed and watched, and with --check
/// an upgrade can be planned. Safe to repeat; an older binary refuses the store afterwards, so make a
/// backup before.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Change nothing; exit with 1 if there is something to do
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub(crate) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let settings = args.settings.load(&Environment::of_the_process(), Vec::new())?.store;
    let path = settings.path.clone();
    if !path.exists() {
        bail!("there is no store at {}; `angarium serve` makes one with the current schema", path.display());
    }
    if args.check {
        return check(path).await;
    }
    let key = keyring::master_key(&settings)?;
    let at = path.clone();
    let migrated = tokio::task::spawn_blocking(move || sqlite::migrate(&at, &key)).await?;
    show(&told(&path, migrated.context("the schema is as it was")?));
    Ok(())
}

async fn check(path: PathBuf) -> anyhow::Result<()> {
    let at = path.clone();
    let Migrated { from, to } = tokio::task::spawn_blocking(move || sqlite::pending_migration(&at)).await??;
    match from.cmp(&to) {
        std::cmp::Ordering::Equal => show(&format!("{} has schema {to}, the current one\n", path.display())),
        std::cmp::Ordering::Less => bail!("{} has schema {from}, this version writes {to}", path.display()),
        std::cmp::Ordering::Greater => {
            bail!(
                "{} was written by a newer version: schema {from}, this one knows up to {to}",
                path.display()
            )
        }
    }
    Ok(())
}

fn told(path: &Path, Migrated { from, to }: Migrated) -> String {
    if from == to {
        format!("{} had schema {to} already\n", path.display())
    } else {
        format!("{} went from schema {from} to {to}\n", path.display())
    }
}
