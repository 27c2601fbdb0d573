//! How long files and functions are, beside codebases that are pleasant to read. A mirror, not a gate.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;

use crate::{source::Source, statistics::Sorted, workspace};

/// Whole files of models, and their lines as measured.
const MODEL_FILES: &[(&str, u64)] = &[
    ("mini-redis shutdown.rs", 49),
    ("crates.io worker.rs", 120),
    ("crates.io runner.rs", 182),
    ("MAS lock.rs", 223),
    ("Omicron webhook_deliverator.rs", 371),
    ("River job_rescuer.go", 383),
    ("Oban lite.ex", 402),
];

#[derive(Debug, Default)]
struct Sizes {
    files: Vec<u64>,
    functions: Vec<u64>,
    longest: (u64, String),
}

/// Prints one line for each crate.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let mut crates: BTreeMap<String, Sizes> = BTreeMap::new();
    for folder in ["crates", "xtask"] {
        for path in workspace::rust_files(&root.join(folder))? {
            let shown = path.strip_prefix(&root)?.to_string_lossy().into_owned();
            crates.entry(crate_of(&shown)).or_default().add(shown, &fs::read_to_string(&path)?);
        }
    }
    println!(
        "{:<18} {:>5} {:>7}   {:>17}   {:>22}   longest file",
        "crate", "files", "lines", "file 50/90/99", "function 50/90/99"
    );
    for (name, sizes) in crates {
        println!("{}", sizes.line(&name));
    }
    println!(
        "\nmodels: functions of 6 to 10 lines in the middle, 30 at the ninetieth percentile, 44 at the ninety-ninth (Oban);"
    );
    let models: Vec<_> = MODEL_FILES.iter().map(|(name, lines)| format!("{name} {lines}")).collect();
    println!("files of 80 to 350 lines, 600 for a chapter that is truly one idea: {}", models.join(", "));
    Ok(())
}

impl Sizes {
    fn add(&mut self, path: String, text: &str) {
        let lines = text.lines().count() as u64;
        self.files.push(lines);
        self.functions.extend(Source::scan(text).function_lines().iter().map(|lines| *lines as u64));
        if lines > self.longest.0 {
            self.longest = (lines, path);
        }
    }

    fn line(self, name: &str) -> String {
        let total: u64 = self.files.iter().sum();
        let three = |sorted: &Sorted| {
            let [middle, most, nearly_all] = [50.0, 90.0, 99.0].map(|percent| sorted.percentile(percent));
            format!("{middle} / {most} / {nearly_all}")
        };
        let (files, functions) = (Sorted::of(self.files), Sorted::of(self.functions));
        let count = files.count();
        let (lines, path) = self.longest;
        format!(
            "{name:<18} {count:>5} {total:>7}   {:>17}   {:>22}   {path} ({lines})",
            three(&files),
            three(&functions)
        )
    }
}

/// The folder that holds a crate: `crates/store`, or `xtask`.
fn crate_of(path: &str) -> String {
    let depth = if path.starts_with("crates/") { 2 } else { 1 };
    let folder: std::path::PathBuf = Path::new(path).components().take(depth).collect();
    folder.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_with_the_crate_they_lie_in() {
        assert_eq!(crate_of("crates/store/src/sqlite/mod.rs"), "crates/store");
        assert_eq!(crate_of("xtask/src/main.rs"), "xtask");
    }

    #[test]
    fn a_line_shows_the_longest_file_and_the_percentiles() {
        let mut sizes = Sizes::default();
        sizes.add("a.rs".to_owned(), "fn a() {\n}\n");
        sizes.add("b.rs".to_owned(), "fn b() {}\n\n\nfn c() {}\n");
        let line = sizes.line("crates/a");
        assert!(
            line.contains("2 / 4 / 4") && line.contains("1 / 2 / 2") && line.ends_with("b.rs (4)"),
            "{line}"
        );
    }
}
