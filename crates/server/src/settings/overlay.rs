//! Putting the layers on each other: file, environment, command line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::Settings;
use super::table::{Section, Setting};

/// What every variable of ours begins with: `ANGARIUM_LISTEN_ADDRESS` is `listen.address`.
pub(super) const PREFIX: &str = "ANGARIUM_";
/// How alike two names are, from 0 to 1, if the one is to be offered for the other.
const ALIKE: f64 = 0.6;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file {path} is not TOML: {reason}")]
    NotToml {
        /// Which file.
        path: PathBuf,
        /// Where, and what was expected.
        reason: String,
    },
    /// Nobody knows the key.
    #[error("setting {path}: there is no such setting; {advice}")]
    Unknown {
        /// The whole key, as `section.key`, or the section.
        path: String,
        /// The nearest that there is, or where all of them are listed.
        advice: String,
    },
    /// A value is not what its key needs.
    #[error("setting {path}: {reason}")]
    Invalid {
        /// The whole key, as `section.key`.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The variables of the process, as far as they are ours.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Reads the process's variables.
    pub fn of_the_process() -> Environment {
        let ours = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Environment::of(ours)
    }

    /// Takes variables from somewhere else.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Environment {
        let ours = |(name, value): (String, String)| Some((name.strip_prefix(PREFIX)?.to_lowercase(), value));
        Environment(variables.into_iter().filter_map(ours).collect())
    }

    /// One variable, by its name without our prefix.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Section, key and text of every setting. Variables with our prefix and no section of ours belong
    /// to somebody else: container platforms invent some from a service's name.
    fn settings(&self, sections: &[Section]) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let (section, key) = name.split_once('_')?;
            let is_ours = sections.iter().any(|known| known.name == section);
            is_ours.then_some((section, key, value.as_str()))
        })
    }
}

/// Reads the settings: the file, over it the environment, over it what the command line sets as
/// `section.key` and a text.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    flags: &[(&str, String)],
) -> Result<Settings, SettingsError> {
    understand(Layers::of(file, environment, flags)?.table)
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    File(PathBuf),
    /// Its whole name.
    Variable(String),
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// The layers on each other: only names that exist, and values that nobody has looked at yet.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) table: Table,
    /// By `section.key`.
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Layers {
    pub(super) fn of(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[(&str, String)],
    ) -> Result<Layers, SettingsError> {
        let sections = Settings::table();
        let mut layers = Layers::default();
        if let Some(path) = file {
            layers.table = read(path)?;
            for (section, key) in names(&layers.table) {
                layers.origins.insert(format!("{section}.{key}"), Origin::File(path.to_owned()));
            }
        }
        for (section, key, text) in environment.settings(&sections) {
            let variable = format!("{PREFIX}{section}_{key}").to_uppercase();
            layers.put(section, key, text, Origin::Variable(variable));
        }
        for (name, text) in flags {
            let (section, key) = name.split_once('.').expect("flags name a section and a key");
            layers.put(section, key, text, Origin::CommandLine);
        }
        refuse_unknown(&layers.table, &sections)?;
        Ok(layers)
    }

    fn put(&mut self, section: &str, key: &str, text: &str, origin: Origin) {
        put(&mut self.table, section, key, text);
        self.origins.insert(format!("{section}.{key}"), origin);
    }
}

/// Section and key of everything that is set.
fn names(table: &Table) -> impl Iterator<Item = (&str, &str)> {
    table.iter().flat_map(|(section, value)| {
        let keys = value.as_table().into_iter().flat_map(Table::keys);
        keys.map(move |key| (section.as_str(), key.as_str()))
    })
}

fn refuse_unknown(table: &Table, sections: &[Section]) -> Result<(), SettingsError> {
    for section in table.keys() {
        let all = || sections.iter().map(|known| known.name.to_owned());
        if !all().any(|known| known == *section) {
            return Err(unknown(section.clone(), all()));
        }
    }
    for (section, key) in names(table) {
        let path = format!("{section}.{key}");
        let all = || sections.iter().flat_map(|section| &section.settings).map(Setting::name);
        if !all().any(|known| known == path) {
            return Err(unknown(path, all()));
        }
    }
    Ok(())
}

fn unknown(path: String, all: impl Iterator<Item = String>) -> SettingsError {
    let alike = |known: String| (strsim::jaro_winkler(&known, &path), known);
    let nearest = all.map(alike).max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(alike, _)| *alike >= ALIKE);
    let advice = nearest.map_or_else(
        || "docs/settings.md lists all".to_owned(),
        |(_, known)| format!("the nearest is {known}"),
    );
    SettingsError::Unknown { path, advice }
}

fn read(path: &Path) -> Result<Table, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    text.parse().map_err(|error: toml::de::Error| SettingsError::NotToml {
        path: path.to_owned(),
        reason: at_line(&text, &error),
    })
}

/// The parser's words and the line, which is not quoted: it may hold a secret.
fn at_line(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    line.map_or_else(|| error.message().to_owned(), |line| format!("line {line}: {}", error.message()))
}

/// The settings that layers spell.
pub(super) fn understand(table: Table) -> Result<Settings, SettingsError> {
    let settings: Result<Settings, _> = serde_path_to_error::deserialize(Value::Table(table));
    let settings = settings.map_err(|error| SettingsError::Invalid {
        path: error.path().to_string(),
        reason: error.into_inner().message().to_owned(),
    })?;
    settings.check()?;
    Ok(settings)
}

fn put(table: &mut Table, section: &str, key: &str, text: &str) {
    let value = value_of(section, key, text);
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    // What is not a section is left for the error message that it deserves.
    if let Value::Table(section) = entry {
        section.insert(key.to_owned(), value);
    }
}

/// The text itself where the key wants a text, else the TOML value that the text spells.
fn value_of(section: &str, key: &str, text: &str) -> Value {
    let as_text = Value::String(text.to_owned());
    let alone = Table::from_iter([(key.to_owned(), as_text.clone())]);
    let wants_text =
        Settings::deserialize(Table::from_iter([(section.to_owned(), Value::Table(alone))])).is_ok();
    if wants_text {
        return as_text;
    }
    format!("value = {text}")
        .parse()
        .ok()
        .and_then(|mut table: Table| table.remove("value"))
        .unwrap_or(as_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn of_file(
        text: &str,
        variables: &[(&str, &str)],
        flags: &[(&str, String)],
    ) -> Result<Settings, SettingsError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("a written file");
        load(Some(file.path()), &environment(variables), flags)
    }

    #[test]
    fn nothing_at_all_makes_the_default_settings() {
        let settings = load(None, &Environment::default(), &[]).expect("settings");
        assert_eq!(settings.listen.address.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.limits.payload_bytes_max, 262_144);
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_win_over_both() {
        let file = "[listen]\naddress = \"127.0.0.1:1\"\nconnections_max = 7\n[retention]\ndead_days = 5";
        let variables = [("ANGARIUM_LISTEN_ADDRESS", "127.0.0.1:2"), ("ANGARIUM_RETENTION_DEAD_DAYS", "6")];
        let settings =
            of_file(file, &variables, &[("listen.address", "127.0.0.1:3".to_owned())]).expect("settings");
        assert_eq!(settings.listen.address.port(), 3);
        assert_eq!((settings.listen.connections_max, settings.retention.dead_days), (7, 6));
    }

    #[test]
    fn a_variable_names_a_list_as_one_or_with_commas_between_its_parts() {
        for text in [r#"["10.1.0.0/16:443", "127.0.0.0/8:*"]"#, "10.1.0.0/16:443, 127.0.0.0/8:*"] {
            let settings =
                load(None, &environment(&[("ANGARIUM_EGRESS_ALLOW", text)]), &[]).expect("settings");
            let rules: Vec<String> = settings.egress.allow.iter().map(ToString::to_string).collect();
            assert_eq!(rules, ["10.1.0.0/16:443", "127.0.0.0/8:*"]);
        }
        for text in [r#"["a.example", "b.example"]"#, "a.example, b.example"] {
            let settings =
                load(None, &environment(&[("ANGARIUM_EGRESS_OWN_HOSTS", text)]), &[]).expect("settings");
            assert_eq!(settings.egress.own_hosts, ["a.example", "b.example"]);
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused_with_the_line_and_without_its_text() {
        let file = "[auth]\nroles_claim = \"roles\"\nhs256_secret = hushhushhush";
        let error = of_file(file, &[], &[]).expect_err("refused").to_string();
        assert!(error.contains("line 3"), "{error}");
        assert!(!error.contains("hushhush"), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_path() {
        for (file, path) in [
            ("[listen]\nadress = \"x\"", "listen.adress"),
            ("[listen]\naddress = \"x\"", "listen"),
            ("[listen]\naddress = 3", "listen.address"),
            ("[egress]\nallow = [\"10.0.0.0/8:*\", \"nonsense\"]", "egress.allow"),
            ("[delivery]\nretry_waits_percent = 0", "delivery.retry_waits_percent"),
            ("listen = 3", "listen"),
        ] {
            let error = of_file(file, &[], &[]).expect_err("refused").to_string();
            assert!(error.contains(path), "{file}: {error}");
        }
    }

    #[test]
    fn streams_of_inboxes_leave_connections_for_others() {
        let settings = of_file("[listen]\nconnections_max = 100", &[], &[]).expect("settings");
        assert_eq!(settings.engine().inbox_streams.all_max, 50);
        let file = "[listen]\nconnections_max = 200\n[inbox]\nstreams_percent = 90";
        let settings = of_file(file, &[], &[]).expect("settings");
        assert_eq!(settings.engine().inbox_streams.all_max, 180);
    }

    #[test]
    fn a_collector_is_an_address_and_a_ratio_is_a_part_of_all() {
        for (variable, text) in [
            ("ANGARIUM_TELEMETRY_OTLP_ENDPOINT", "127.0.0.1:4318"),
            ("ANGARIUM_TELEMETRY_OTLP_ENDPOINT", "ftp://collector"),
            ("ANGARIUM_TELEMETRY_OTLP_ENDPOINT", "http://me:password@collector"),
            ("ANGARIUM_TELEMETRY_OTLP_ENDPOINT", "http://collector?token=x"),
            ("ANGARIUM_TELEMETRY_SAMPLING_RATIO", "1.5"),
            ("ANGARIUM_TELEMETRY_SAMPLING_RATIO", "nan"),
        ] {
            let error = load(None, &environment(&[(variable, text)]), &[]).expect_err("refused").to_string();
            assert!(error.contains("setting telemetry."), "{error}");
        }
        let variables = [
            ("ANGARIUM_TELEMETRY_OTLP_ENDPOINT", "https://collector.example.com:4318/otlp"),
            ("ANGARIUM_TELEMETRY_SAMPLING_RATIO", "0"),
        ];
        let settings = load(None, &environment(&variables), &[]).expect("settings");
        assert!(settings.telemetry.sampling_ratio.abs() < f64::EPSILON);
    }

    fn every_setting() -> Vec<Setting> {
        Settings::table().into_iter().flat_map(|section| section.settings).collect()
    }

    #[test]
    fn every_setting_of_the_page_is_one_that_the_parser_knows() {
        for setting in every_setting() {
            // Not every text fits, and none is unknown.
            let loaded = load(None, &environment(&[(&setting.variable(), "?")]), &[]);
            assert!(!matches!(loaded, Err(SettingsError::Unknown { .. })), "{}", setting.name());
            if let Err(error) = loaded {
                assert!(error.to_string().contains(&setting.name()), "{error}");
            }
            assert!(super::super::page().contains(&format!(
                "| `{}` | `{}` |",
                setting.key,
                setting.variable()
            )));
        }
    }

    #[test]
    fn the_defaults_and_the_limits_of_the_page_are_those_of_the_parser() {
        for setting in every_setting() {
            let with = |text: &str| load(None, &environment(&[(&setting.variable(), text)]), &[]);
            let default = (setting.shown)(&Settings::default());
            if !["none", "empty"].contains(&default.as_str()) {
                let settings = with(&default).expect("the default fits");
                assert_eq!((setting.shown)(&settings), default, "{}", setting.name());
            }
            let Some((least, most)) = setting.limits.split_once(" to ") else { continue };
            assert!(with(least).is_ok() && with(most).is_ok(), "{}", setting.name());
            let beyond = most.parse::<u64>().expect("limits are whole numbers") + 1;
            let error = with(&beyond.to_string()).expect_err("beyond the limit").to_string();
            assert!(error.contains(&setting.name()) && error.contains(most), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_nearest_that_there_is() {
        for (file, told) in [
            (
                "[listen]\nadress = \"x\"",
                "setting listen.adress: there is no such setting; the nearest is listen.address",
            ),
            ("[listen]\ndrain_second = 1", "the nearest is listen.drain_seconds"),
            ("[listn]\naddress = \"x\"", "setting listn: there is no such setting; the nearest is listen"),
            ("[zzz]\nx = 1", "docs/settings.md lists all"),
        ] {
            let error = of_file(file, &[], &[]).expect_err("refused").to_string();
            assert!(error.contains(told), "{error}");
        }
        let variable = [("ANGARIUM_TELEMETRY_OTLP_ENDPOIN", "http://c")];
        let error = load(None, &environment(&variable), &[]).expect_err("refused").to_string();
        assert!(error.contains("telemetry.otlp_endpoint"), "{error}");
    }

    #[test]
    fn a_mistyped_variable_of_a_section_is_refused_and_strangers_are_ignored() {
        assert!(load(None, &environment(&[("ANGARIUM_LISTEN_ADRESS", "x")]), &[]).is_err());
        assert!(
            load(
                None,
                &environment(&[("ANGARIUM_SERVICE_HOST", "10.0.0.1"), ("ANGARIUM_PORT", "tcp://x")]),
                &[]
            )
            .is_ok()
        );
    }

    #[test]
    fn texts_of_digits_stay_texts_where_a_text_is_wanted() {
        use secrecy::ExposeSecret;
        let variables = [
            ("ANGARIUM_AUTH_HS256_SECRET", "00700"),
            ("ANGARIUM_EGRESS_ALLOW", "[\"127.0.0.0/8:*\"]"),
            ("ANGARIUM_EGRESS_ALLOW_HTTP", "true"),
        ];
        let settings = load(None, &environment(&variables), &[]).expect("settings");
        assert_eq!(
            settings.auth.hs256_secret.map(|s| s.0.expose_secret().to_owned()).as_deref(),
            Some("00700")
        );
        assert_eq!((settings.egress.allow.len(), settings.egress.allow_http), (1, true));
    }
}
