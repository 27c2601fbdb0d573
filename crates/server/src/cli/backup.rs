//! `angarium backup`: a copy of the store, while the service uses it.

use std::path::PathBuf;

use angarium_store::sqlite;
use anyhow::Context;
use clap::Args;

use crate::cli::settings_file::SettingsFile;
use crate::cli::table::show;
use crate::settings::{Environment, Settings, VoiceStore};

/// Copy the store to a file, while the service goes on using it
///
/// The copy is the store at one moment: whatever was answered with 202 before the command began is in it.
/// It is checked and synced before it has its name. Secrets are in it only in sealed form: without the
/// master key it is of no use, so keep that key too, in another place.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to make; nothing may be there
    #[arg(value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub(crate) async fn run(args: BackupArgs) -> anyhow::Result<()> {
    let settings = args.settings.load(&Environment::of_the_process(), Vec::new())?;
    let left_out = files_of_voice_notes(&settings);
    let (from, to) = (settings.store.path, args.to);
    let copied = {
        let (from, to) = (from.clone(), to.clone());
        tokio::task::spawn_blocking(move || sqlite::back_up(&from, &to)).await?
    };
    let copied = copied.with_context(|| format!("there is no backup of {}", from.display()))?;
    show(&format!(
        "{} is a copy of {}: {} bytes, schema {}.\n\
         The master key is not in it, and it cannot be restored without that key.\n{}",
        to.display(),
        from.display(),
        copied.bytes,
        copied.schema,
        left_out,
    ));
    Ok(())
}

/// What else has to be copied: the copy knows of these files, and does not hold them.
fn files_of_voice_notes(settings: &Settings) -> String {
    let folder = settings.voice_folder();
    match settings.voice.store {
        VoiceStore::Folder if folder.exists() => format!(
            "The files of voice notes are not in it: copy the folder {} now, after the store.\n",
            folder.display()
        ),
        VoiceStore::Folder => String::new(),
        VoiceStore::S3 => {
            let bucket = settings.s3.bucket.as_deref().unwrap_or_default();
            format!("The files of voice notes are not in it: they are in the bucket {bucket}.\n")
        }
    }
}
