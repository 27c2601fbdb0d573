//! Crates that may not be in any dependency tree, and crates of which there may be one version.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::Finding;
use crate::workspace;

/// One cryptography library, one TLS stack, one HTTP client of our own (decisions/0002).
const BANNED: &[&str] = &["ring", "openssl-sys", "native-tls", "reqwest", "rsa", "tonic"];

/// Two versions of one of these are two sets of types, two providers or two timers.
const SINGLE: &[&str] = &["aws-lc-rs", "http", "hyper", "rustls", "rusqlite", "tokio", "tokio-rustls"];

/// Every `name vVersion` that the product is built from, on any platform. What only other platforms need is
/// fetched if a build here has not brought it along.
pub(super) fn tree() -> Result<String> {
    let asked = ["tree", "--workspace", "--edges", "normal,build", "--target", "all", "--prefix", "none"];
    let ask = || workspace::output(workspace::cargo().args(asked).args(["--format", "{p}", "--offline"]));
    ask().or_else(|_| {
        workspace::run(workspace::cargo().args(["fetch", "--locked", "--quiet"]))?;
        ask()
    })
}

/// Banned crates and refused duplicates in the lines of `cargo tree`.
pub(super) fn check(tree: &str) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    let banned = BANNED.iter().filter(|name| versions.contains_key(**name)).map(|name| {
        Finding::new(*name, format!("is in the tree; cargo tree --workspace --target all -i {name} says why"))
    });
    let doubled = SINGLE.iter().filter_map(|name| {
        let found = versions.get(name).filter(|found| found.len() > 1)?;
        let found: Vec<_> = found.iter().copied().collect();
        Some(Finding::new(*name, format!("is in the tree in {} versions: {}", found.len(), found.join(", "))))
    });
    banned.chain(doubled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_tree(tree: &str) -> Vec<String> {
        check(tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tree_with_one_of_each_is_tidy() {
        assert!(
            check_tree("hyper v1.12.0\ntokio v1.54.0\nhyper v1.12.0 (*)\n\nuntrusted v0.9.0\n").is_empty()
        );
    }

    #[test]
    fn banned_crates_are_found_by_their_whole_name() {
        assert_eq!(
            check_tree("ring v0.17.0\nstring v1.0.0\n"),
            ["ring: is in the tree; cargo tree --workspace --target all -i ring says why"]
        );
    }

    #[test]
    fn two_versions_of_the_runtime_are_found_and_of_others_tolerated() {
        assert_eq!(
            check_tree("tokio v1.54.0\ntokio v0.2.1\nsyn v2.0.0\nsyn v3.0.0\n"),
            ["tokio: is in the tree in 2 versions: v0.2.1, v1.54.0"]
        );
    }
}
