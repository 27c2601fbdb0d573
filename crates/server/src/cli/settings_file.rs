//! The flags that say where the settings are: the same for every command that needs them.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::settings::{self, Effect, Environment, Settings};

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
        others: Vec<(&str, String)>,
    ) -> anyhow::Result<Settings> {
        Ok(settings::load(self.config.as_deref(), environment, &self.flags(others)?)?)
    }

    /// Every setting as [`SettingsFile::load`] reads it, and where its value comes from.
    pub(crate) fn effects(&self, environment: &Environment) -> anyhow::Result<Vec<Effect>> {
        Ok(settings::effects(self.config.as_deref(), environment, &self.flags(Vec::new())?)?)
    }

    fn flags<'a>(&self, mut others: Vec<(&'a str, String)>) -> anyhow::Result<Vec<(&'a str, String)>> {
        if let Some(path) = &self.store {
            let path = path.to_str().context("the path of the database is not UTF-8")?;
            others.push(("store.path", path.to_owned()));
        }
        Ok(others)
    }
}
