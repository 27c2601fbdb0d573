//! The page `docs/settings.md`, from the table. `cargo xtask docs` writes it.

use std::fmt::Write as _;

use super::Settings;
use super::table::{Section, Setting};

const HEAD: &str = "\
# Settings

This page is written by `cargo xtask docs` from what the code says; do not edit it.

Settings are a file in TOML (`--config`, or the variable `ANGARIUM_CONFIG`), over it variables, over them flags.
The file has a table for each section below; a variable is `ANGARIUM_`, the section, `_` and the key.
Where a setting takes a number or a list, the variable's text is read as TOML; a list may also stand with commas between its parts, as in `ANGARIUM_EGRESS_ALLOW='10.1.0.0/16:443,127.0.0.0/8:*'`.
A setting that does not exist is refused, with its whole name and the nearest one that does.

`angarium settings` prints what is in effect, and where each value comes from.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in Settings::table() {
        write(&mut page, &section).expect("writing to a string does not fail");
    }
    page
}

fn write(page: &mut String, section: &Section) -> std::fmt::Result {
    writeln!(page, "\n## `[{}]`\n", section.name)?;
    for line in section.about {
        writeln!(page, "{}", line.trim())?;
    }
    writeln!(page, "\n| key | variable | type | default | limits | meaning |\n|---|---|---|---|---|---|")?;
    let defaults = Settings::default();
    for setting in &section.settings {
        let Setting { key, kind, limits, .. } = setting;
        let (variable, default) = (setting.variable(), default(setting, &defaults));
        writeln!(page, "| `{key}` | `{variable}` | {kind} | {default} | {limits} | {} |", meaning(setting))?;
    }
    Ok(())
}

/// Words for what is not there, and code for what is.
fn default(setting: &Setting, defaults: &Settings) -> String {
    match (setting.shown)(defaults) {
        absent if ["none", "empty"].contains(&absent.as_str()) => absent,
        value => format!("`{value}`"),
    }
}

fn meaning(setting: &Setting) -> String {
    let lines: Vec<&str> = setting.about.iter().map(|line| line.trim()).collect();
    lines.join(" ").replace('|', "\\|")
}
