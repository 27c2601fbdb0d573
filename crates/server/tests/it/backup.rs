//! Copies of the store, as an operator makes them and puts them back.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use angarium_server::service::Service;
use angarium_server::settings::{Secret, Settings};
use http::StatusCode;
use serde_json::json;

use crate::credentials::SECRET;
use crate::receiver::Receiver;
use crate::webhooks::signature;
use crate::world::{World, settings};

fn on_disk(folder: &Path) -> Settings {
    let mut settings = settings();
    settings.store.path = store_in(folder);
    settings.auth.hs256_secret = Some(Secret(SECRET.to_owned().into()));
    settings
}

fn store_in(folder: &Path) -> PathBuf {
    folder.join("angarium.db")
}

async fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_angarium"));
    command.env_clear().args(words).arg("--store").arg(store_in(folder));
    tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("the command runs")
}

async fn prints(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

async fn complains(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words).await;
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_service_is_restored_elsewhere_and_delivers() {
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let receiver = Receiver::start().await;
    let world = World { service: Service::start(&on_disk(here.path())).await.expect("a running service") };
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let path = format!("/webhooks/{}", crate::world::id_of(&webhook));
    owner.post(&format!("{path}/pause"), &json!({})).await.expect(StatusCode::OK);
    let event_id = owner.publish("order.paid").await;

    let copy = there.path().join("copy.db");
    let copy = copy.to_str().expect("text");
    let made = prints(here.path(), &["backup", copy]).await;
    assert!(made.contains("The master key is not in it"), "{made}");
    // The copy knows of these files, and does not hold them.
    let notes = here.path().join("voice-notes");
    assert!(made.contains(&format!("copy the folder {} now", notes.display())), "{made}");
    assert!(complains(here.path(), &["backup", copy]).await.contains("is there already"));
    assert!(complains(here.path(), &["migrate"]).await.contains("another process has it open"));
    world.service.stop().await;

    let keyless = complains(there.path(), &["restore", copy]).await;
    assert!(keyless.contains("there is no master key"), "{keyless}");
    std::fs::copy(here.path().join("master.key"), there.path().join("master.key")).expect("a copied key");
    let restored = prints(there.path(), &["restore", copy]).await;
    assert!(restored.contains("is restored to"), "{restored}");
    assert!(prints(there.path(), &["migrate", "--check"]).await.contains("the current one"));
    assert!(prints(there.path(), &["migrate"]).await.contains("already"));

    let world = World { service: Service::start(&on_disk(there.path())).await.expect("a running service") };
    world.owner().post(&format!("{path}/resume"), &json!({})).await.expect(StatusCode::OK);
    let arrived = receiver.received(1).await;
    assert_eq!(arrived[0].header("webhook-id"), event_id);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_store_there_is_nothing_to_copy_and_nothing_to_migrate() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.db");
    let complaint = complains(folder.path(), &["backup", copy.to_str().expect("text")]).await;
    assert!(complaint.contains("cannot be opened"), "{complaint}");
    assert!(complains(folder.path(), &["migrate"]).await.contains("there is no store"));
    let found: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_gets_another_master_key_and_its_receivers_notice_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let mut settings = on_disk(folder.path());
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let webhook = world.owner().subscribe(&receiver, "/hook", &["*"]).await;
    let new_key = folder.path().join("second.key");
    let new_key = new_key.to_str().expect("text");
    let words = ["reseal", "--new-key-file", new_key];
    assert!(complains(folder.path(), &words).await.contains("another process has it open"));
    world.service.stop().await;

    let told = prints(folder.path(), &words).await;
    assert!(told.contains("1 subscriptions") && told.contains(new_key), "{told}");
    assert!(complains(folder.path(), &words).await.contains("it was sealed with the master key"));
    let refused = Service::start(&settings).await.err().expect("another key");
    assert!(refused.to_string().contains("it was sealed with the master key"), "{refused}");

    settings.store.key_file = Some(new_key.into());
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    world.owner().publish("a").await;
    let arrival = receiver.received(1).await.remove(0);
    let secret = webhook["secret"].as_str().expect("a secret");
    assert_eq!(arrival.header("webhook-signature"), signature(secret, &arrival));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_by_its_exit_whether_there_is_something_to_migrate_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || rusqlite::Connection::open(store_in(folder.path())).expect("a database");
    // A store that has seen no step of the schema yet.
    open().execute_batch("PRAGMA user_version = 0; VACUUM").expect("a file");
    for _ in 0..2 {
        let complaint = complains(folder.path(), &["migrate", "--check"]).await;
        assert!(complaint.contains("has schema 0, this version writes "), "{complaint}");
    }
    assert!(prints(folder.path(), &["migrate"]).await.contains("went from schema 0 to "));
    assert!(prints(folder.path(), &["migrate", "--check"]).await.contains("the current one"));
    let world = World { service: Service::start(&on_disk(folder.path())).await.expect("a running service") };
    world.owner().publish("order.paid").await;
    world.service.stop().await;

    // As a later version would leave it.
    let one_step_more = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        SELECT version + 1, 'later', applied_on, checksum FROM refinery_schema_history
        ORDER BY version DESC LIMIT 1";
    open().execute_batch(one_step_more).expect("SQL");
    for words in [&["migrate", "--check"][..], &["migrate"]] {
        let complaint = complains(folder.path(), words).await;
        assert!(complaint.contains("written by a newer version"), "{complaint}");
    }
}
