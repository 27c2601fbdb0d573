//! What somebody does to the file, and what a walk along the chain says to it.

use angarium_domain::time::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::seal::MasterKey;
use crate::sqlite::Settings;

fn path_in(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("angarium.db")
}

fn open(folder: &TempDir) -> SqliteStore {
    let settings = Settings { cache_mib: 2, ..Settings::default() };
    SqliteStore::open(&path_in(folder), &MasterKey::from_bytes([7; 32]), settings).expect("it opens")
}

fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        at: Timestamp::from_seconds(n),
        handle: "acme".parse().expect("a handle"),
        actor: "tok_1".to_owned(),
        action: "subscription.created".into(),
        object: format!("sub_{n}"),
        request_id: "req_1".to_owned(),
        ip: Some([192, 0, 2, 1].into()),
        difference: Difference { before: None, after: Some("{}".to_owned()) },
    }
}

/// A store with five entries, closed.
async fn five_entries() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder);
    for n in 1..=5 {
        store.note(entry(n)).await.expect("it is written");
    }
    folder
}

/// Does something to the file, as somebody who may write it can.
fn tamper(folder: &TempDir, sql: &str) {
    let db = Connection::open(path_in(folder)).expect("it opens");
    let triggers = "DROP TRIGGER IF EXISTS audit_rows_do_not_change; DROP TRIGGER IF EXISTS audit_rows_stay;";
    db.execute_batch(&format!("{triggers}{sql}")).expect("it writes");
}

fn walked(folder: &TempDir) -> Walked {
    walk_audit(&path_in(folder), &[]).expect("it reads")
}

#[tokio::test]
async fn a_chain_that_nobody_touched_is_whole() {
    let folder = five_entries().await;
    let Walked { head, broken, .. } = walked(&folder);
    assert_eq!((head.number, broken), (5, None));
}

#[tokio::test]
async fn whatever_is_done_to_a_row_names_it() {
    for (sql, expected) in [
        ("UPDATE audit SET actor = 'tok_2' WHERE number = 3", Broken::Changed { number: 3 }),
        ("UPDATE audit SET after = NULL WHERE number = 3", Broken::Changed { number: 3 }),
        ("UPDATE audit SET handle = 'beta' WHERE number = 5", Broken::Changed { number: 5 }),
        ("DELETE FROM audit WHERE number = 2", Broken::Missing { expected: 2, found: 3 }),
        ("DELETE FROM audit WHERE number = 1", Broken::Missing { expected: 1, found: 2 }),
        (
            "UPDATE audit SET number = 9 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 3;
             UPDATE audit SET number = 3 WHERE number = 9",
            Broken::Changed { number: 2 },
        ),
    ] {
        let folder = five_entries().await;
        tamper(&folder, sql);
        assert_eq!(walked(&folder).broken, Some(expected), "{sql}");
    }
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    for sql in [
        "UPDATE audit SET hash = NULL WHERE number = 4",
        "UPDATE audit SET ip = 'nowhere' WHERE number = 4",
        "UPDATE audit SET handle = 'No Handle' WHERE number = 4",
    ] {
        let folder = five_entries().await;
        tamper(&folder, sql);
        let Walked { head, broken, .. } = walked(&folder);
        assert!(matches!(broken, Some(Broken::Unreadable { number: 4, .. })), "{sql}: {broken:?}");
        assert_eq!(head.number, 3);
    }
}

#[tokio::test]
async fn an_end_that_was_cut_off_shows_by_the_head() {
    let folder = five_entries().await;
    let noted = walked(&folder).head;
    tamper(&folder, "DELETE FROM audit WHERE number >= 4");
    let Walked { head, broken, .. } = walked(&folder);
    assert_eq!(broken, Some(Broken::End { expected: noted, found: head }));
}

/// Whoever writes rows and head anew leaves a chain that holds; a head that was noted elsewhere tells.
#[tokio::test]
async fn a_chain_that_was_written_anew_does_not_lead_over_a_head_that_was_noted() {
    let folder = five_entries().await;
    let noted = walked(&folder).head;
    tamper(&folder, "DELETE FROM audit; DELETE FROM meta WHERE name = 'audit head'");
    let store = open(&folder);
    for n in 1..=6 {
        store.note(entry(n + 10)).await.expect("it is written");
    }
    drop(store);
    let Walked { head, broken, noted: found } =
        walk_audit(&path_in(&folder), &[noted, Head::default()]).expect("it reads");
    assert_eq!((head.number, broken), (6, None));
    assert_eq!(found, [(noted, false), (Head::default(), true)]);
}

#[tokio::test]
async fn a_head_that_was_noted_is_found_while_the_store_is_in_use_and_grows() {
    let folder = five_entries().await;
    let noted = walked(&folder).head;
    let store = open(&folder);
    store.note(entry(6)).await.expect("it is written");
    let Walked { head, broken, noted: found } = walk_audit(&path_in(&folder), &[noted]).expect("it reads");
    assert_eq!((head.number, broken, found), (6, None, vec![(noted, true)]));
}

#[tokio::test]
async fn rows_cannot_be_changed_or_deleted_by_accident() {
    let folder = five_entries().await;
    let db = Connection::open(path_in(&folder)).expect("it opens");
    for sql in ["DELETE FROM audit", "UPDATE audit SET actor = 'x'"] {
        let error = db.execute_batch(sql).expect_err("refused").to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

/// A store as the first version wrote it, with so many audit rows.
fn old_store(folder: &TempDir, rows: u32) {
    let mut db = Connection::open(path_in(folder)).expect("it opens");
    let first = refinery::Target::Version(1);
    schema::migrations::runner().set_target(first).run(&mut db).expect("the first step");
    for n in 1..=rows {
        let sql = "INSERT INTO audit (at, handle, actor, action, object, request_id)
            VALUES (?1, 'acme', 'tok_1', 'token.created', 'tok_2', 'req_1')";
        db.execute(sql, [n]).expect("it writes");
    }
}

#[tokio::test]
async fn rows_from_before_the_chain_are_chained_once_and_new_ones_follow() {
    let folder = TempDir::new().expect("a folder");
    // More than one part of the walk.
    old_store(&folder, WALK_ROWS + 2);
    assert!(walk_audit(&path_in(&folder), &[]).is_err_and(|error| error.to_string().contains("schema is 1")));
    let store = open(&folder);
    store.note(entry(1)).await.expect("it is written");
    drop(store);
    let first = walked(&folder);
    assert_eq!((first.head.number, &first.broken), (u64::from(WALK_ROWS) + 3, &None));
    drop(open(&folder));
    assert_eq!(walked(&folder), first);
}

/// A row without a hash is no older row once the chain is there: it is not taken into it.
#[tokio::test]
async fn a_row_that_somebody_put_in_is_not_chained_at_the_next_start() {
    let folder = five_entries().await;
    tamper(
        &folder,
        "INSERT INTO audit (number, at, handle, actor, action, object, request_id)
            VALUES (6, 1, 'acme', 'a', 'b', 'c', 'd')",
    );
    drop(open(&folder));
    assert!(matches!(walked(&folder).broken, Some(Broken::Unreadable { number: 6, .. })));
}

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let folder = TempDir::new().expect("a folder");
    assert!(walk_audit(&path_in(&folder), &[]).is_err());
    assert!(!path_in(&folder).exists());
}
