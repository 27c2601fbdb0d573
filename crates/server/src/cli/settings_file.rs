//! The flags that say where the settings are: the same for every command that needs them.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::settings::{self, Environment, Settings};

/// Where the settings are.
#[derive(Debug, Args)]
pub(crate) struct SettingsFile {
    /// The settings file (TOML)
    #[arg(long, value_name = "FILE", env = "ANGARIUM_CONFIG")]
    config: Option<PathBuf>,
    /// The database; over `store.path`
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl SettingsFile {
    /// Reads the settings: the file, over it the environment, over it these flags and `others`,
    /// given as `section.key` and a text.
    pub(crate) fn load(
        &self,
        environment: &Environment,
        mut others: Vec<(&str, String)>,
    ) -> anyhow::Result<Settings> {
        if let Some(path) = &self.store {
            let path = path.to_str().context("the path of the database is not UTF-8")?;
            others.push(("store.path", path.to_owned()));
        }
        Ok(settings::load(self.config.as_deref(), environment, &others)?)
    }
}
