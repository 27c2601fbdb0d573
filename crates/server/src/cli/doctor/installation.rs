//! The parts of an installation on this machine: clock, keys, store, disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_engine::ids::RandomIds;
use angarium_store::StoreError;
use angarium_store::sqlite::{self, SqliteStore};
use angarium_store::upkeep::Upkeep as _;

use super::report::Report;
use crate::auth::keys::verifier;
use crate::keyring;
use crate::settings::{Settings, StoreSettings};

/// Nobody runs this before it was written.
const CLOCK_MIN: Timestamp = Timestamp::from_seconds(1_750_000_000);
/// Below this much free space there is little time left.
const FREE_MIB_LOW: u64 = 1024;
/// Below this much the next commits may fail.
const FREE_MIB_MIN: u64 = 64;

/// Whether a service has the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InUse {
    /// Another process has it open.
    Yes,
    /// Nobody has.
    No,
}

pub(super) fn clock(report: &mut Report) {
    let now = SystemClock.now();
    if now < CLOCK_MIN {
        let text = format!("this machine believes that it is {now}");
        report.wrong(
            "clock",
            &text,
            "set the clock, best by NTP: receivers refuse signatures with a wrong time",
        );
    } else {
        report.well("clock", &format!("this machine's time is {now}"));
    }
}

/// Whether JWTs can be verified. A JWKS is fetched, as at the start of the service.
pub(super) async fn jwt_keys(report: &mut Report, settings: &Settings) {
    let auth = &settings.auth;
    let own = settings.store.path.with_file_name(keyring::JWT_SECRET);
    let outside = !auth.public_keys.is_empty() || auth.jwks.is_some();
    let secret = match keyring::configured_jwt_secret(auth) {
        Ok(None) if !outside && own.exists() => {
            keyring::own_jwt_secret(&settings.store, &RandomIds::default()).map(Some)
        }
        configured => configured,
    };
    let secret = match secret {
        Ok(secret) => secret,
        Err(error) => {
            let advice = "use a secret of 32 bytes or more that the service's user can read";
            return report.wrong("jwt keys", &explained(&error), advice);
        }
    };
    if secret.is_none() && !outside {
        let text = format!("none is set: the first `angarium serve` makes a secret at {}", own.display());
        return report.note("jwt keys", &text, None);
    }
    match verifier(auth, secret.as_ref(), Arc::new(SystemClock)).await {
        Ok(_) => {
            report.well("jwt keys", &kinds(secret.is_some(), auth.public_keys.len(), auth.jwks.as_deref()));
        }
        Err(error) => {
            report.wrong(
                "jwt keys",
                &explained(&error),
                "correct [auth]; the service does not start with it",
            );
        }
    }
}

fn kinds(secret: bool, public_keys: usize, jwks: Option<&str>) -> String {
    let kinds = [
        secret.then(|| "a secret".to_owned()),
        (public_keys > 0).then(|| format!("{public_keys} public keys")),
        jwks.map(|place| format!("the JWKS of {place}")),
    ];
    let kinds: Vec<String> = kinds.into_iter().flatten().collect();
    format!("tokens are verified with {}", kinds.join(" and "))
}

/// Whether the store opens with its key, and can be written.
pub(super) async fn store(report: &mut Report, settings: &StoreSettings) -> InUse {
    if !settings.path.exists() {
        let text = format!("there is none at {} yet: `angarium serve` makes it", settings.path.display());
        report.note("store", &text, Some("if there should be one, say where with --config or --store"));
        return InUse::No;
    }
    let key = settings.path.with_file_name(keyring::MASTER_KEY);
    if settings.key.is_none() && settings.key_file.is_none() && !key.exists() {
        let text =
            format!("{} is there, but its master key {} is not", settings.path.display(), key.display());
        report.wrong(
            "store",
            &text,
            "bring the key back from its backup: without it the secrets in the store are lost",
        );
        return InUse::No;
    }
    match open(settings).await {
        Ok(()) => {
            let text = format!(
                "{} opens with its key, its schema is current, and it can be written",
                settings.path.display()
            );
            report.well("store", &text);
            InUse::No
        }
        // The store's words for its lock.
        Err(reason) if reason.ends_with("another process has it open") => {
            let text = format!(
                "{} is in use by a service, so that only the service can look into it",
                settings.path.display()
            );
            report.note("store", &text, None);
            InUse::Yes
        }
        Err(reason) => {
            let advice =
                "check the file's owner and its master key; a damaged store is replaced by its backup";
            report.wrong("store", &reason, advice);
            InUse::No
        }
    }
}

/// Opens the store and writes to it; the reason if that fails.
async fn open(settings: &StoreSettings) -> Result<(), String> {
    let key = keyring::master_key(settings).map_err(|error| explained(&error))?;
    let path = settings.path.clone();
    let opening =
        tokio::task::spawn_blocking(move || SqliteStore::open(&path, &key, sqlite::Settings::default()));
    let opened = opening.await.map_err(|error| error.to_string())?;
    let reason = |error: StoreError| match error {
        StoreError::Unavailable { reason } => reason,
        other => other.to_string(),
    };
    opened.map_err(reason)?.probe().await.map_err(reason)
}

pub(super) fn disk(report: &mut Report, database: &Path) {
    let folder = nearest_folder(database);
    let Some(free) = free_mib(&folder) else {
        return report.note("disk", &format!("the free space at {} cannot be told", folder.display()), None);
    };
    let text = format!("{free} MiB are free at {}", folder.display());
    match free {
        0..FREE_MIB_MIN => report.wrong("disk", &text, "make room: without it nothing is accepted any more"),
        FREE_MIB_MIN..FREE_MIB_LOW => report.note("disk", &text, Some("make room before it is gone")),
        FREE_MIB_LOW.. => report.well("disk", &text),
    }
}

/// The folder that the database is in, or the nearest above it that exists.
fn nearest_folder(database: &Path) -> PathBuf {
    let above = database.ancestors().skip(1).find(|folder| folder.is_dir());
    above.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Asks `df`, which every system has and the standard library has not.
fn free_mib(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg("--").arg(folder).output().ok()?;
    free_mib_in(std::str::from_utf8(&output.stdout).ok()?)
}

/// The fourth column of the last line, in the form that POSIX fixes.
fn free_mib_in(output: &str) -> Option<u64> {
    let kib: u64 = output.lines().last()?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / 1024)
}

/// An error with what caused it.
fn explained(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_in(folder: &Path) -> StoreSettings {
        StoreSettings { path: folder.join("angarium.db"), ..StoreSettings::default() }
    }

    async fn report_on(settings: &StoreSettings) -> (String, usize, InUse) {
        let mut report = Report::default();
        let in_use = store(&mut report, settings).await;
        (report.to_string(), report.wrongs(), in_use)
    }

    fn make_store(settings: &StoreSettings) -> SqliteStore {
        let key = keyring::master_key(settings).expect("a key");
        SqliteStore::open(&settings.path, &key, sqlite::Settings::default()).expect("a store")
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_is_no_fault_and_is_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, wrongs, _) = report_on(&store_in(folder.path())).await;
        assert_eq!(wrongs, 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn a_store_is_told_to_be_in_use_while_somebody_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = store_in(folder.path());
        let held = make_store(&settings);
        let (_, wrongs, in_use) = report_on(&settings).await;
        assert_eq!((wrongs, in_use), (0, InUse::Yes));
        drop(held);
        let (text, wrongs, in_use) = report_on(&settings).await;
        assert_eq!((wrongs, in_use), (0, InUse::No), "{text}");
    }

    #[tokio::test]
    async fn a_lost_or_wrong_master_key_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = store_in(folder.path());
        drop(make_store(&settings));
        let key = folder.path().join(keyring::MASTER_KEY);
        std::fs::write(&key, "ab".repeat(32)).expect("a file");
        assert_eq!(report_on(&settings).await.1, 1);
        std::fs::remove_file(&key).expect("a file");
        let (text, wrongs, _) = report_on(&settings).await;
        assert_eq!(wrongs, 1);
        assert!(text.contains("master.key") && !key.exists(), "{text}");
    }

    #[test]
    fn free_space_is_read_from_the_portable_form() {
        let output =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 100 50 2048000 50% /my data\n";
        assert_eq!(free_mib_in(output), Some(2_000));
        assert_eq!(free_mib_in(""), None);
        assert_eq!(free_mib_in("df: no such file"), None);
    }
}
