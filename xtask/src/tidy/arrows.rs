//! Which of our crates may depend on which, as data, compared with what cargo says.

use anyhow::Result;
use serde::Deserialize;

use super::Finding;
use crate::workspace;

/// Each crate and the crates of ours that it may name. Arrows only point down.
const ARROWS: &[(&str, &[&str])] = &[
    ("angarium-domain", &[]),
    ("angarium-verify", &[]),
    ("angarium-store", &["angarium-domain"]),
    ("angarium-channels", &["angarium-domain"]),
    ("angarium-engine", &["angarium-domain", "angarium-store", "angarium-channels"]),
    (
        "angarium-server",
        &["angarium-domain", "angarium-verify", "angarium-store", "angarium-channels", "angarium-engine"],
    ),
    (
        "angarium-sim",
        &["angarium-domain", "angarium-verify", "angarium-store", "angarium-channels", "angarium-engine"],
    ),
    ("angarium-example-receiver", &["angarium-verify"]),
    ("xtask", &["angarium-engine", "angarium-server", "angarium-sim"]),
];

/// What the tests of a crate may use besides.
const TEST_ARROWS: &[(&str, &str)] = &[("angarium-verify", "angarium-domain")];

/// Runtimes, databases and HTTP: the decisions must not be able to reach them.
const NOT_IN_DOMAIN: &[&str] = &[
    "async-trait",
    "axum",
    "futures",
    "futures-util",
    "http",
    "hyper",
    "hyper-util",
    "refinery",
    "rusqlite",
    "rustls",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tower",
    "tracing",
];

/// The part of `cargo metadata` that the rules need.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `dev` for tests; none for the crate itself.
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    pub(super) src_path: String,
}

impl Metadata {
    /// Asks cargo.
    pub(super) fn read() -> Result<Metadata> {
        let asked = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
        Ok(serde_json::from_str(&workspace::output(workspace::cargo().args(asked))?)?)
    }
}

/// Every dependency that points the wrong way.
pub(super) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::new(&package.name, "the table of arrows in tidy does not know this crate")];
    };
    let only_tests_use = |dependency: &&Dependency| {
        let arrow = (package.name.as_str(), dependency.name.as_str());
        dependency.kind.as_deref() == Some("dev") && TEST_ARROWS.contains(&arrow)
    };
    let counted = || package.dependencies.iter().filter(|dependency| !only_tests_use(dependency));
    let names = || counted().map(|dependency| dependency.name.as_str());
    let ours = |name: &&str| ARROWS.iter().any(|(known, _)| known == name);
    let wrong = names().filter(ours).filter(|name| !allowed.contains(name));
    let in_domain = |name: &&str| package.name == "angarium-domain" && NOT_IN_DOMAIN.contains(name);
    wrong
        .map(|name| Finding::new(&package.name, format!("must not depend on {name}")))
        .chain(
            names().filter(in_domain).map(|name| {
                Finding::new(&package.name, format!("decisions must not be able to reach {name}"))
            }),
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, dependencies: &[&str]) -> Vec<String> {
        check_with(name, dependencies, None)
    }

    fn check_with(name: &str, dependencies: &[&str], kind: Option<&str>) -> Vec<String> {
        let kind = kind.map(str::to_owned);
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), kind: kind.clone() };
        let dependencies = dependencies.iter().map(dependency).collect();
        let package = Package { name: name.to_owned(), dependencies, targets: Vec::new() };
        check(&Metadata { packages: vec![package] }).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_may_point_down() {
        assert!(check_one("angarium-engine", &["angarium-domain", "angarium-store", "tokio"]).is_empty());
        assert!(check_one("xtask", &["angarium-sim"]).is_empty());
    }

    #[test]
    fn arrows_may_not_point_up_or_sideways() {
        assert_eq!(
            check_one("angarium-store", &["angarium-channels", "angarium-engine"]),
            [
                "angarium-store: must not depend on angarium-channels",
                "angarium-store: must not depend on angarium-engine"
            ]
        );
        assert_eq!(check_one("angarium-sim", &["angarium-server"]).len(), 1);
        assert_eq!(check_one("angarium-server", &["angarium-sim"]).len(), 1);
    }

    #[test]
    fn receivers_do_not_need_the_domain_and_their_tests_may_use_it() {
        assert_eq!(
            check_one("angarium-verify", &["angarium-domain"]),
            ["angarium-verify: must not depend on angarium-domain"]
        );
        assert!(check_with("angarium-verify", &["angarium-domain"], Some("dev")).is_empty());
        assert_eq!(check_with("angarium-verify", &["angarium-store"], Some("dev")).len(), 1);
    }

    #[test]
    fn nothing_may_depend_on_the_tooling() {
        for (name, _) in ARROWS {
            assert_eq!(check_one(name, &["xtask"]), [format!("{name}: must not depend on xtask")]);
        }
    }

    #[test]
    fn decisions_may_not_name_a_runtime() {
        assert_eq!(
            check_one("angarium-domain", &["serde", "tokio"]),
            ["angarium-domain: decisions must not be able to reach tokio"]
        );
    }

    #[test]
    fn a_crate_without_arrows_is_found() {
        assert_eq!(
            check_one("angarium-extra", &[]),
            ["angarium-extra: the table of arrows in tidy does not know this crate"]
        );
    }
}
