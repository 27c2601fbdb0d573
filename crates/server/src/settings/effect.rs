//! What is in effect, and where each value comes from.

use std::path::Path;

use super::overlay::{Environment, Layers, SettingsError, understand};
use super::{Settings, table};

/// One setting as it is in effect.
pub(crate) struct Effect {
    /// `section.key`.
    pub(crate) name: String,
    /// Its value, for people; secrets are not shown.
    pub(crate) value: String,
    /// Where it comes from.
    pub(crate) origin: String,
}

/// Every setting, with the value that [`super::load`] would give it.
pub(crate) fn effects(
    file: Option<&Path>,
    environment: &Environment,
    flags: &[(&str, String)],
) -> Result<Vec<Effect>, SettingsError> {
    let Layers { table, origins } = Layers::of(file, environment, flags)?;
    let settings = understand(table)?;
    let effect = |setting: table::Setting| {
        let origin = origins.get(&setting.name());
        Effect {
            name: setting.name(),
            value: (setting.shown)(&settings),
            origin: origin.map_or_else(|| "default".to_owned(), ToString::to_string),
        }
    };
    Ok(Settings::table().into_iter().flat_map(|section| section.settings).map(effect).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_says_where_it_comes_from_and_secrets_are_not_shown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = "[listen]\nconnections_max = 7\naddress = \"127.0.0.1:1\"\n[store]\nkey = \"hush\"";
        std::fs::write(file.path(), text).expect("a written file");
        let variables = [("ANGARIUM_LISTEN_ADDRESS", "127.0.0.1:2"), ("ANGARIUM_AUTH_HS256_SECRET", "hush")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = [("store.path", "here.db".to_owned())];
        let found = effects(Some(file.path()), &Environment::of(variables), &flags).expect("settings");
        let of = |name: &str| {
            let effect = found.iter().find(|effect| effect.name == name).expect("it is there");
            (effect.value.as_str(), effect.origin.as_str())
        };
        let in_file = format!("file {}", file.path().display());
        assert_eq!(of("listen.connections_max"), ("7", in_file.as_str()));
        assert_eq!(of("listen.address"), ("127.0.0.1:2", "variable ANGARIUM_LISTEN_ADDRESS"));
        assert_eq!(of("store.path"), ("here.db", "command line"));
        assert_eq!(of("store.key"), ("(secret)", in_file.as_str()));
        assert_eq!(of("auth.hs256_secret"), ("(secret)", "variable ANGARIUM_AUTH_HS256_SECRET"));
        assert_eq!(of("egress.allow"), ("empty", "default"));
    }
}
