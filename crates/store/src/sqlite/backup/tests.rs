use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::event_log::EventLog;
use crate::sqlite::tests::{acme, event, key, of, open, open_empty, path_in};
use crate::upkeep::Upkeep;

async fn backed_up(source: PathBuf, target: PathBuf) -> Result<Copied, StoreError> {
    tokio::task::spawn_blocking(move || back_up(&source, &target)).await.expect("no panic")
}

#[tokio::test]
async fn a_backup_under_load_holds_everything_that_was_answered_before_it() {
    let (folder, store) = open_empty();
    let answered = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    load.spawn({
        let (store, answered, stop) = (store.clone(), answered.clone(), stop.clone());
        async move {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                store.append(of(vec![event(n)])).await.expect("it is written");
                answered.store(n + 1, Ordering::Release);
            }
        }
    });
    while answered.load(Ordering::Acquire) < 100 {
        tokio::task::yield_now().await;
    }

    let copy = folder.path().join("copy.db");
    for round in 1..=3 {
        let before = answered.load(Ordering::Acquire);
        let copied = backed_up(path_in(&folder), copy.clone()).await.expect("a backup");
        assert_eq!(copied.bytes, fs::metadata(&copy).expect("a file").len());
        let elsewhere = TempDir::new().expect("a folder");
        restore(&copy, &path_in(&elsewhere), &key()).expect("it is restored");
        let restored = open(&path_in(&elsewhere)).expect("it opens");
        for n in 0..before {
            let found = restored.event(&acme(), event(n).id).await.expect("it reads");
            assert!(found.is_some(), "round {round}: event {n} of {before} is missing");
        }
        fs::remove_file(&copy).expect("it is there");
    }
    stop.store(true, Ordering::Relaxed);
    load.join_next().await.expect("it was spawned").expect("no panic");
}

#[tokio::test]
async fn a_store_that_nobody_has_open_is_backed_up_too() {
    let (folder, store) = open_empty();
    store.append(of(vec![event(1)])).await.expect("it is written");
    drop(store);
    let copy = folder.path().join("copy.db");
    backed_up(path_in(&folder), copy.clone()).await.expect("a backup");
    assert_eq!(fs::metadata(&copy).expect("a file").permissions().mode() & 0o777, 0o600);
    let elsewhere = TempDir::new().expect("a folder");
    restore(&copy, &path_in(&elsewhere), &key()).expect("it is restored");
    let census = open(&path_in(&elsewhere)).expect("it opens").census().await.expect("it counts");
    assert_eq!(census.events, 1);
}

#[tokio::test]
async fn a_backup_leaves_nothing_but_itself_beside_it() {
    let (folder, store) = open_empty();
    store.append(of(vec![event(1)])).await.expect("it is written");
    let backups = TempDir::new().expect("a folder");
    backed_up(path_in(&folder), backups.path().join("copy.db")).await.expect("a backup");
    let elsewhere = TempDir::new().expect("a folder");
    restore(&backups.path().join("copy.db"), &path_in(&elsewhere), &key()).expect("it is restored");
    let names = |folder: &TempDir| {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&backups), ["copy.db"]);
    assert_eq!(names(&elsewhere), ["angarium.db", "angarium.db.lock"]);
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let (folder, store) = open_empty();
    let copy = folder.path().join("copy.db");
    backed_up(path_in(&folder), copy.clone()).await.expect("a backup");
    let again = backed_up(path_in(&folder), copy.clone()).await.expect_err("refused").to_string();
    assert!(again.contains("is there already"), "{again}");

    let open_still = restore(&copy, &path_in(&folder), &key()).expect_err("refused").to_string();
    assert!(open_still.contains("another process has it open"), "{open_still}");
    drop(store);
    let closed = restore(&copy, &path_in(&folder), &key()).expect_err("refused").to_string();
    assert!(closed.contains("is there already"), "{closed}");

    let elsewhere = TempDir::new().expect("a folder");
    fs::write(elsewhere.path().join("angarium.db-wal"), b"of another database").expect("a file");
    let stale = restore(&copy, &path_in(&elsewhere), &key()).expect_err("refused").to_string();
    assert!(stale.contains("angarium.db-wal is there already"), "{stale}");
}

#[tokio::test]
async fn a_copy_that_is_damaged_or_of_another_key_is_not_restored() {
    let (folder, store) = open_empty();
    for n in 0..500 {
        store.append(of(vec![event(n)])).await.expect("it is written");
    }
    let copy = folder.path().join("copy.db");
    backed_up(path_in(&folder), copy.clone()).await.expect("a backup");

    let elsewhere = TempDir::new().expect("a folder");
    let target = path_in(&elsewhere);
    let other = restore(&copy, &target, &MasterKey::from_bytes([8; 32])).expect_err("refused").to_string();
    assert!(other.contains("it was sealed with the master key"), "{other}");

    let mut bytes = fs::read(&copy).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    let damaged = folder.path().join("damaged.db");
    fs::write(&damaged, &bytes).expect("a file");
    restore(&damaged, &target, &key()).expect_err("refused");
    fs::write(&damaged, b"this is no database, but long enough to be looked at as one").expect("a file");
    restore(&damaged, &target, &key()).expect_err("refused");
    assert!(!target.exists() && !with_ending(&target, ".part").exists());
}

#[test]
fn a_database_without_our_tables_is_not_restored() {
    let folder = TempDir::new().expect("a folder");
    let strange = folder.path().join("strange.db");
    Connection::open(&strange).expect("opens").execute_batch("CREATE TABLE t (a)").expect("a table");
    let error = restore(&strange, &path_in(&folder), &key()).expect_err("refused").to_string();
    assert!(error.contains("it is not a store of Angarium"), "{error}");
}

#[test]
fn a_migration_says_what_it_finds_and_is_safe_to_repeat() {
    let folder = TempDir::new().expect("a folder");
    let path = path_in(&folder);
    Connection::open(&path).expect("opens").execute_batch("PRAGMA user_version = 0; VACUUM").expect("a file");
    let newest = schema::newest();
    assert_eq!(pending_migration(&path).expect("it reads"), Migrated { from: 0, to: newest });
    assert_eq!(migrate(&path, &key()).expect("it migrates"), Migrated { from: 0, to: newest });
    assert_eq!(migrate(&path, &key()).expect("it migrates"), Migrated { from: newest, to: newest });
    let missing = pending_migration(&folder.path().join("missing.db")).expect_err("refused").to_string();
    assert!(missing.contains("cannot be opened"), "{missing}");
}
