//! Module names that say nothing, and files that no module leads to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Finding, ScannedFile};

/// Drawers. A function without a home is a concept without a name: find the noun.
const DRAWERS: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc", "types"];

/// Drawers among the names, and files that cannot be reached from `roots`.
pub(super) fn check(files: &[ScannedFile], roots: &BTreeSet<String>) -> Vec<Finding> {
    let reached = reachable(files, roots);
    let drawers = files.iter().filter_map(|file| {
        let name = module_name(&file.path);
        DRAWERS.contains(&name).then(|| Finding::new(&file.path, format!("{name} is a drawer, not a module")))
    });
    let dead = files.iter().filter(|file| !reached.contains(&file.path));
    drawers.chain(dead.map(|file| Finding::new(&file.path, "no module leads to this file"))).collect()
}

fn reachable(files: &[ScannedFile], roots: &BTreeSet<String>) -> BTreeSet<String> {
    let by_path: BTreeMap<&str, &ScannedFile> = files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = roots.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(file) = by_path.get(path.as_str()) else { continue };
        if !reached.insert(path.clone()) {
            continue;
        }
        let folder = children_folder(&path, roots.contains(&path));
        for module in file.source.declared_modules() {
            open.extend([format!("{folder}/{module}.rs"), format!("{folder}/{module}/mod.rs")]);
        }
    }
    reached
}

/// Where the modules that a file declares are looked for.
fn children_folder(path: &str, is_root: bool) -> String {
    let path = Path::new(path);
    let beside = path.parent().unwrap_or(Path::new(""));
    let folder =
        if is_root || path.ends_with("mod.rs") { beside.to_owned() } else { path.with_extension("") };
    folder.to_string_lossy().into_owned()
}

fn module_name(path: &str) -> &str {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn check_files(files: &[(&str, &str)]) -> Vec<String> {
        let scan = |(path, text): &(&str, &str)| ScannedFile {
            path: (*path).to_owned(),
            source: Source::scan(text),
        };
        let files: Vec<_> = files.iter().map(scan).collect();
        let roots = BTreeSet::from(["a/src/lib.rs".to_owned()]);
        check(&files, &roots).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn modules_are_found_beside_their_root_and_below_their_parents() {
        let files = [
            ("a/src/lib.rs", "mod b;\nmod c;"),
            ("a/src/b.rs", "mod d;"),
            ("a/src/b/d.rs", ""),
            ("a/src/c/mod.rs", "mod e;"),
            ("a/src/c/e.rs", ""),
        ];
        assert!(check_files(&files).is_empty());
    }

    #[test]
    fn a_file_that_nobody_declares_is_dead() {
        assert_eq!(
            check_files(&[("a/src/lib.rs", "// mod b;"), ("a/src/b.rs", "")]),
            ["a/src/b.rs: no module leads to this file"]
        );
    }

    #[test]
    fn drawers_are_found_as_files_and_as_folders() {
        assert_eq!(
            check_files(&[
                ("a/src/lib.rs", "mod utils; mod misc;"),
                ("a/src/utils.rs", ""),
                ("a/src/misc/mod.rs", "")
            ]),
            [
                "a/src/utils.rs: utils is a drawer, not a module",
                "a/src/misc/mod.rs: misc is a drawer, not a module"
            ]
        );
    }
}
