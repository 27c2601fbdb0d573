//! The commands that ask a running service, as an operator types them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use angarium_server::service::Service;
use http::StatusCode;
use serde_json::json;

use crate::client::Client;
use crate::credentials::jwt;
use crate::receiver::{PATIENCE, Receiver};
use crate::restart::on_disk;
use crate::world::{World, eventually, id_of};

/// Somebody at a terminal.
struct Terminal {
    url: String,
    token: String,
}

impl Terminal {
    fn of(world: &World, token: impl Into<String>) -> Terminal {
        Terminal { url: format!("http://{}", world.service.address()), token: token.into() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_angarium"));
        command.env_clear().args(args);
        command
            .env("ANGARIUM_URL", &self.url)
            .env("ANGARIUM_TOKEN", &self.token)
            .env("ANGARIUM_HANDLE", "acme");
        command
    }

    async fn run(&self, args: &[&str]) -> Output {
        let mut command = self.command(args);
        let running = tokio::task::spawn_blocking(move || command.output());
        running.await.expect("a thread").expect("the command runs")
    }

    /// What a command prints, which must succeed.
    async fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What a command complains of, which must fail.
    async fn complains(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).expect("text")
    }
}

/// The first word of a text that begins so.
fn word(text: &str, prefix: &str) -> String {
    let found = text.split_whitespace().find(|word| word.starts_with(prefix));
    found.unwrap_or_else(|| panic!("{text:?} has no {prefix}")).to_owned()
}

const PUBLISH: [&str; 5] = ["publish", "--type", "order.paid", "--payload", "{}"];

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_found_understood_and_replayed() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    receiver.answer(404);
    world.owner().subscribe(&receiver, "/hook", &["order.*"]).await;
    let terminal = Terminal::of(&world, jwt("acme", "OPERATOR"));

    let published = terminal.prints(&PUBLISH).await;
    assert!(published.ends_with("  1 delivery\n"), "{published}");
    world.owner().deliveries_when("?status=dead", 1).await;

    let event = word(&published, "evt_");
    let listed =
        terminal.prints(&["deliveries", "--status", "dead", "--event", &event, "--since", "1h"]).await;
    let dead = word(&listed, "dlv_");
    let page = terminal.prints(&["deliveries", &dead]).await;
    for words in ["dead: terminal_status", "404 is final", "what to do", &event] {
        assert!(page.contains(words), "{words:?} is not in {page}");
    }
    assert_eq!(terminal.prints(&["dead-letters", "show", &dead]).await, page);

    receiver.answer(200);
    let counted = terminal.prints(&["replay", "--status", "dead", "--type", "order.paid", "--dry-run"]).await;
    assert_eq!(counted, "1 delivery would be made again; nothing was replayed\n");
    let replayed = terminal.prints(&["replay", "--status", "dead", "--type", "order.paid"]).await;
    assert_eq!(replayed, "made again: 1 of 1 delivery\n");
    world.owner().deliveries_when("?status=delivered", 1).await;
    assert_eq!(terminal.prints(&["dead-letters", "list"]).await, "no delivery matches\n");

    let webhook = word(&terminal.prints(&["deliveries", &dead]).await, "sub_");
    let stats = terminal.prints(&["stats", &webhook, "--window", "1h"]).await;
    assert!(stats.contains("came back   1 2xx, 1 4xx\n") && stats.contains("lane        "), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_webhook_is_given_what_it_missed() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let terminal = Terminal::of(&world, jwt("acme", "OPERATOR"));
    terminal.prints(&[&PUBLISH[..], &["--count", "3"]].concat()).await;
    let webhook = id_of(&world.owner().subscribe(&receiver, "/hook", &["order.*"]).await);
    let missing = ["replay", "--missing", "--subscription", &webhook, "--since", "1h"];
    let counted = terminal.prints(&[&missing[..], &["--dry-run"]].concat()).await;
    assert_eq!(counted, "3 deliveries would be made; nothing was replayed\n");
    assert_eq!(terminal.prints(&missing).await, "made: 3 of 3 deliveries\n");
    assert_eq!(receiver.received(3).await.len(), 3);
    assert_eq!(terminal.prints(&missing).await, "made: 0 of 0 deliveries\n");
    let both = ["replay", "--status", "dead", "--status", "delivered", "--dry-run"];
    assert_eq!(terminal.prints(&both).await, "3 deliveries would be made again; nothing was replayed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delivery_is_replayed_by_its_id_and_another_is_discarded() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    receiver.answer(404);
    world.owner().subscribe(&receiver, "/hook", &["order.*"]).await;
    let terminal = Terminal::of(&world, jwt("acme", "OPERATOR"));
    terminal.prints(&[&PUBLISH[..], &["--count", "2"]].concat()).await;
    world.owner().deliveries_when("?status=dead", 2).await;

    let dead = word(&terminal.prints(&["dead-letters", "list"]).await, "dlv_");
    assert_eq!(terminal.prints(&["dead-letters", "discard", &dead]).await, format!("{dead} is discarded\n"));
    let other = word(&terminal.prints(&["dead-letters", "list"]).await, "dlv_");
    assert_ne!(dead, other);

    receiver.answer(200);
    let replayed = terminal.prints(&["replay", &other]).await;
    assert!(replayed.contains(&format!("replays {other};")), "{replayed}");
    world.owner().deliveries_when("?status=delivered", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_with_the_same_key_publishes_once() {
    let world = World::start().await;
    let terminal = Terminal::of(&world, jwt("acme", "OPERATOR"));
    let publish = [&PUBLISH[..], &["--idempotency-key", "order-1", "--count", "3"]].concat();
    let first = terminal.prints(&publish).await;
    assert_eq!(first.lines().count(), 3);
    assert_eq!(terminal.prints(&publish).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_used_and_revoked() {
    let world = World::start().await;
    let owner = Terminal::of(&world, jwt("acme", "OWNER"));
    let create = ["token", "create", "--name", "shop", "--scope", "events.write", "--ttl", "1d"];
    let text = owner.prints(&create).await;
    let shop = Terminal::of(&world, text.trim());
    shop.prints(&PUBLISH).await;
    let complaint = shop.complains(&["deliveries"]).await;
    assert!(complaint.contains("403 insufficient_scope"), "{complaint}");

    let listed = owner.prints(&["token", "list"]).await;
    assert!(listed.contains("shop") && listed.contains("events.write"), "{listed}");
    owner.prints(&["token", "revoke", &word(&listed, "tok_")]).await;
    let complaint = shop.complains(&PUBLISH).await;
    assert!(complaint.contains("401 invalid_token") && complaint.contains("request id: req_"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_and_revoked() {
    let world = World::start().await;
    let owner = Terminal::of(&world, jwt("acme", "OWNER"));
    let create =
        ["key", "create", "--name", "shop", "--mode", "test", "--scope", "events:manage", "--ttl", "1d"];
    let text = owner.prints(&create).await;
    let shop = world.nobody().at("/api/v1").with("x-api-key", text.trim());
    let event = json!({ "type": "order.paid", "payload": {} });
    shop.post("/events", &event).await.data(202);

    let listed = owner.prints(&["key", "list"]).await;
    assert!(
        listed.contains("shop") && listed.contains("test") && listed.contains("events:manage"),
        "{listed}"
    );
    owner.prints(&["key", "revoke", &word(&listed, "key_")]).await;
    shop.post("/events", &event).await.expect_refusal(401, "UNAUTHORIZED");
    let operator = Terminal::of(&world, jwt("acme", "OPERATOR"));
    let complaint = operator.complains(&create).await;
    assert!(complaint.contains("403 insufficient_role"), "{complaint}");
}

/// The cells of the one row below a table's headings; none of ours has a space in it.
#[track_caller]
fn row(table: &str) -> Vec<&str> {
    table.lines().nth(1).unwrap_or_else(|| panic!("no row in {table:?}")).split_whitespace().collect()
}

/// A service that made its secret itself, a platform admin at a terminal and at the API, and the owner of
/// acme: with JWTs that were minted beside it.
async fn minted(folder: &Path) -> (World, Terminal, Client, Client) {
    let mut settings = on_disk(folder);
    settings.auth.hs256_secret = None;
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let (file, store) = (folder.join("angarium.toml"), settings.store.path.to_str().expect("text"));
    std::fs::write(&file, format!("[store]\npath = {store:?}\n")).expect("a written file");
    let file = file.to_str().expect("text");
    let beside = Terminal::of(&world, "");
    let token = beside.prints(&["token", "mint", "--platform-admin", "--config", file]).await;
    let admin = Terminal::of(&world, token.trim());
    let api = world.admin().bearing(token.trim());
    let mint = ["token", "mint", "--handle", "acme", "--role", "owner", "--config", file];
    let owner = world.owner().bearing(beside.prints(&mint).await.trim());
    (world, admin, api, owner)
}

const CREATE_HANDLE: [&str; 7] =
    ["handles", "create", "acme", "--plan", "pro", "--time-zone", "Europe/Berlin"];

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_admin_makes_changes_suspends_and_resumes_a_handle() {
    let folder = tempfile::tempdir().expect("a folder");
    let (world, admin, api, owner) = minted(folder.path()).await;
    let account = async || api.get("/handles/acme").await.expect(StatusCode::OK).json();
    let made = admin.prints(&CREATE_HANDLE).await;
    let told = account().await;
    let since = told["createdAt"].as_str().expect("a time");
    assert_eq!(row(&made), ["acme", "active", "pro", "Europe/Berlin", since]);
    assert_eq!((&told["plan"], &told["timeZone"]), (&json!("pro"), &json!("Europe/Berlin")));
    let token = json!({ "name": "shop", "scopes": ["events.write"] });
    owner.post("/tokens", &token).await.expect(StatusCode::CREATED);
    let page = admin.prints(&["handles", "show", "acme"]).await;
    assert_eq!(row(&page), row(&made));
    assert!(page.contains("webhooks: 0, tokens: 1, API keys: 0, writes on 20"), "{page}");
    assert!(page.ends_with(" of 10\n"), "{page}");

    let set = admin.prints(&["handles", "set", "acme", "--plan", "enterprise"]).await;
    assert_eq!(row(&set), ["acme", "active", "enterprise", "Europe/Berlin", since]);
    let told = account().await;
    assert_eq!((&told["plan"], &told["timeZone"]), (&json!("enterprise"), &json!("Europe/Berlin")));

    let suspend = ["handles", "suspend", "acme", "--reason", "unpaid since March"];
    assert_eq!(row(&admin.prints(&suspend).await)[..2], ["acme", "suspended"]);
    let event = json!({ "type": "order.paid", "payload": {} });
    let refused = owner.post("/events", &event).await;
    assert_eq!(refused.expect_problem(403, "handle_suspended").json()["reason"], "unpaid since March");
    let page = admin.prints(&["handles", "show", "acme"]).await;
    assert!(page.contains("suspended since 20") && page.contains("Z: unpaid since March\n"), "{page}");
    assert_eq!(row(&admin.prints(&["handles", "resume", "acme"]).await)[..2], ["acme", "active"]);
    owner.post("/events", &event).await.expect(StatusCode::ACCEPTED);
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_deleted_by_its_name_given_twice_and_begins_anew_when_it_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (world, admin, api, owner) = minted(folder.path()).await;
    admin.prints(&CREATE_HANDLE).await;
    owner.publish("order.paid").await;
    let complaint = admin.complains(&["handles", "delete", "acme", "--confirm", "beta"]).await;
    assert!(complaint.contains("--confirm names beta, and not acme: nothing was deleted"), "{complaint}");
    assert_eq!(owner.get("/events").await.items().len(), 1);

    let deleted = admin.prints(&["handles", "delete", "acme", "--confirm", "acme"]).await;
    assert_eq!(deleted, "acme is deleted; what it had is removed in the background\n");
    owner.get("/events").await.expect_problem(404, "handle_not_found");
    eventually(|| async { (api.get("/handles/acme").await.status == StatusCode::NOT_FOUND).then_some(()) })
        .await;
    let complaint = admin.complains(&["handles", "show", "acme"]).await;
    assert!(complaint.contains("404 handle_not_found"), "{complaint}");
    assert_eq!(row(&admin.prints(&CREATE_HANDLE).await)[..3], ["acme", "active", "pro"]);
    assert!(owner.get("/events").await.items().is_empty());
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_tells_the_code_the_remedy_and_the_request() {
    let world = World::start().await;
    let creator = Terminal::of(&world, jwt("acme", "CREATOR"));
    let complaint = creator.complains(&PUBLISH).await;
    for words in ["403 insufficient_role", "what to do: ", "request id: req_"] {
        assert!(complaint.contains(words), "{words:?} is not in {complaint}");
    }
    let complaint = creator.complains(&["replay"]).await;
    assert!(complaint.contains("--status dead"), "{complaint}");
    let nobody = Terminal::of(&world, "");
    let complaint = nobody.complains(&["deliveries"]).await;
    assert!(complaint.contains("401 ") && complaint.contains("ANGARIUM_TOKEN"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_listed_and_its_chain_is_walked_beside_a_running_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = on_disk(folder.path());
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let owner = Terminal::of(&world, jwt("acme", "OWNER"));
    let create = ["token", "create", "--name", "shop", "--scope", "events.write"];
    owner.prints(&create).await;
    owner.prints(&create).await;

    let listed = owner.prints(&["audit", "list", "--action", "token.created", "--since", "1h"]).await;
    assert_eq!(listed.matches("token.created").count(), 2, "{listed}");
    assert!(listed.contains("jwt:tester") && listed.contains("127.0.0.1"), "{listed}");
    let complaint = Terminal::of(&world, jwt("acme", "OPERATOR")).complains(&["audit", "list"]).await;
    assert!(complaint.contains("403 insufficient_role"), "{complaint}");

    let store = settings.store.path.to_str().expect("text");
    let walked = owner.prints(&["audit", "verify", "--store", store]).await;
    assert!(walked.starts_with("2 rows, and each is as it was written\nhead   2:"), "{walked}");
    let head = word(&walked, "2:");
    owner.prints(&create).await;
    let later = owner.prints(&["audit", "verify", "--store", store, "--noted", &head]).await;
    assert!(later.starts_with("3 rows") && later.contains(&format!("the noted head {head} is in the chain")));
    let other = format!("2:{}", "0".repeat(64));
    let complaint = owner.complains(&["audit", "verify", "--store", store, "--noted", &other]).await;
    assert!(complaint.contains("is not as it was written"), "{complaint}");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_watched_line_by_line() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.owner().subscribe(&receiver, "/hook", &["order.*"]).await;
    for (args, words) in [
        (&["tail", "--status", "delivered"][..], "  delivered  #1   204 "),
        (&["tail", "--type", "order.paid", "--json"][..], r#""eventType":"order.paid""#),
    ] {
        let terminal = Terminal::of(&world, jwt("acme", "CREATOR"));
        let mut watching = terminal.command(args).stdout(Stdio::piped()).spawn().expect("the command runs");
        eventually(|| async { (world.service.engine().live.listeners() == 1).then_some(()) }).await;
        world.owner().publish("order.paid").await;
        let output = watching.stdout.take().expect("it is piped");
        let reading = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next());
        let line = tokio::time::timeout(PATIENCE, reading).await.expect("a line comes in time");
        let line = line.expect("a thread").expect("a line").expect("text");
        assert!(line.contains(words), "{line}");
        watching.kill().expect("it runs");
        watching.wait().expect("it ends");
        // The service notices when it next speaks; another word of ours makes it.
        eventually(|| async {
            world.owner().publish("order.paid").await;
            (world.service.engine().live.listeners() == 0).then_some(())
        })
        .await;
    }
    let complaint = Terminal::of(&world, jwt("beta", "OWNER")).complains(&["tail"]).await;
    assert!(complaint.contains("403 insufficient_role"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_running_service_and_what_is_wrong() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("angarium.db");
    let store = store.to_str().expect("text");
    let terminal = Terminal::of(&world, "");
    let well = terminal.prints(&["doctor", "--store", store]).await;
    assert!(well.contains("is ready") && !well.contains("WRONG"), "{well}");
    assert!(well.contains("nobody is told of them") && well.contains("support.handle"), "{well}");
    let ill = terminal.run(&["doctor", "--store", store, "--endpoint", "https://169.254.169.254/"]).await;
    assert_eq!(ill.status.code(), Some(1));
    let report = String::from_utf8_lossy(&ill.stdout);
    assert!(report.contains("WRONG  endpoint") && report.contains("what to do: "), "{report}");
}

#[test]
fn what_is_in_effect_is_printed_with_its_origin_and_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("angarium.toml");
    std::fs::write(&file, "[retention]\ndead_days = 5\n").expect("a written file");
    let run = |variable: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_angarium"));
        command
            .env_clear()
            .env(variable, value)
            .args(["settings", "--store", "here.db", "--config"])
            .arg(&file);
        command.output().expect("the command runs")
    };
    let printed = run("ANGARIUM_STORE_KEY", "hushhush");
    assert!(printed.status.success(), "{printed:?}");
    let text = String::from_utf8(printed.stdout).expect("text");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("retention.dead_days"), format!("5 file {}", file.display()));
    assert_eq!(line("retention.finished_days"), "30 default");
    assert_eq!(line("store.path"), "here.db command line");
    assert_eq!(line("store.key "), "(secret) variable ANGARIUM_STORE_KEY");
    assert!(!text.contains("hush"), "{text}");

    let refused = run("ANGARIUM_RETENTION_DEAD_DAY", "5");
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8(refused.stderr).expect("text");
    assert!(
        complaint.contains(
            "setting retention.dead_day: there is no such setting; the nearest is retention.dead_days"
        ),
        "{complaint}"
    );
}
