//! `angarium settings`: what is in effect, and where it comes from.

use clap::Args;

use crate::cli::settings_file::SettingsFile;
use crate::cli::table::{Table, show};
use crate::settings::{Effect, Environment};

/// Print the settings in effect, and where each comes from.
///
/// Reads the file, the variables and the flags as `serve` would, and refuses what it would refuse.
/// Secrets are not shown. docs/settings.md says what each setting means.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
#[expect(clippy::unused_async, reason = "the table of commands awaits all of them")]
pub(crate) async fn run(args: SettingsArgs) -> anyhow::Result<()> {
    let effects = args.settings.effects(&Environment::of_the_process())?;
    show(&listed(effects).text());
    Ok(())
}

fn listed(effects: Vec<Effect>) -> Table {
    let mut table = Table::with_headings(&["setting", "value", "from"]);
    for Effect { name, value, origin } in effects {
        table.row([name, value, origin]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_a_line_with_its_value_and_its_origin() {
        let effect = |name: &str, value: &str, origin: &str| Effect {
            name: name.to_owned(),
            value: value.to_owned(),
            origin: origin.to_owned(),
        };
        let effects =
            vec![effect("log.level", "info", "default"), effect("store.key", "(secret)", "variable X")];
        assert_eq!(
            listed(effects).text(),
            "setting    value     from\nlog.level  info      default\nstore.key  (secret)  variable X\n"
        );
    }
}
