//! What compilers do not check: who may depend on whom, where SQL may stand, what may not be in the tree.
//!
//! Each rule is a pure function from what was read to findings, with a test that shows it failing.

mod arrows;
mod crates;
mod modules;
mod pages;
mod texts;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::{docs, source::Source, workspace};

/// Something to put right, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A scanned file and its path from the root.
struct ScannedFile {
    path: String,
    source: Source,
}

/// Applies every rule to the working tree.
pub(crate) fn run() -> Result<()> {
    let metadata = arrows::Metadata::read()?;
    let files = scan(&workspace::root())?;

    let mut findings = arrows::check(&metadata);
    findings.extend(crates::check(&crates::tree()?));
    findings.extend(files.iter().flat_map(texts::check));
    findings.extend(modules::check(&files, &roots(&metadata)));
    let pages = read_pages(&workspace::root())?;
    findings.extend(pages.iter().flat_map(|page| pages::check(page, &workspace::root())));

    findings
        .extend(docs::stale().map(|page| Finding::new(page, "is not what the code says: cargo xtask docs")));

    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(findings.is_empty(), "{} things are not tidy", findings.len());
    let (files, pages, crates) = (files.len(), pages.len(), metadata.packages.len());
    println!("{files} files, {pages} pages and {crates} crates are tidy");
    Ok(())
}

fn scan(root: &Path) -> Result<Vec<ScannedFile>> {
    let mut files = Vec::new();
    for folder in ["crates", "examples", "xtask"] {
        for path in workspace::rust_files(&root.join(folder))? {
            let source = Source::scan(&std::fs::read_to_string(&path)?);
            files.push(ScannedFile { path: from_root(&path, root), source });
        }
    }
    Ok(files)
}

fn read_pages(root: &Path) -> Result<Vec<pages::Page>> {
    let read = |path: PathBuf| {
        Ok(pages::Page { path: from_root(&path, root), text: std::fs::read_to_string(&path)? })
    };
    workspace::files_in(root, "md")?.into_iter().map(read).collect()
}

fn roots(metadata: &arrows::Metadata) -> BTreeSet<String> {
    let root = workspace::root();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    targets.map(|target| from_root(&PathBuf::from(&target.src_path), &root)).collect()
}

fn from_root(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
