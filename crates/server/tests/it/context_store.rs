//! The context store over HTTP: sources, syncs and searches.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use angarium_server::service::Service;
use angarium_store::memory::MemoryStore;
use axum::Router;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::receiver::Receiver;
use crate::restart::on_disk;
use crate::world::{World, eventually, fields_listed};

const MANUAL: &str = include_str!("../../../../docs/context-store.md");

/// A place on loopback where a document is.
struct Site {
    url: String,
    said: Arc<Mutex<(StatusCode, &'static str, String)>>,
    /// How many requests may be answered.
    open: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    _serving: JoinSet<()>,
}

impl Site {
    async fn saying(text: &str) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/guide.md?key=hidden", listener.local_addr().expect("an address"));
        let said = Arc::new(Mutex::new((StatusCode::OK, "text/markdown", text.to_owned())));
        let (open, asked) = (Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), Arc::default());
        let (to_say, gate, heard): (_, _, Arc<Mutex<Vec<HeaderMap>>>) =
            (said.clone(), open.clone(), Arc::clone(&asked));
        let router = Router::new().fallback(move |headers: HeaderMap| {
            let (to_say, gate, heard) = (to_say.clone(), gate.clone(), heard.clone());
            async move {
                heard.lock().expect("a lock").push(headers.clone());
                gate.acquire().await.expect("it is never closed").forget();
                let (status, content_type, text) = to_say.lock().expect("a lock").clone();
                let tag = format!("\"{}\"", text.len());
                if headers.get("if-none-match").is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
                    return StatusCode::NOT_MODIFIED.into_response();
                }
                (status, [("content-type", content_type.to_owned()), ("etag", tag)], text).into_response()
            }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("a running site") });
        Site { url, said, open, asked, _serving: serving }
    }

    fn say(&self, status: StatusCode, content_type: &'static str, text: &str) {
        *self.said.lock().expect("a lock") = (status, content_type, text.to_owned());
    }

    /// Lets so many requests be answered, and no more.
    fn answer_only(&self, count: usize) {
        self.open.forget_permits(Semaphore::MAX_PERMITS);
        self.open.add_permits(count);
    }
}

async fn add(client: &Client, source: &Value) -> String {
    client.post("/context-sources", source).await.expect(StatusCode::CREATED).text_of("sourceId")
}

async fn add_site(client: &Client, site: &Site) -> String {
    let headers = json!({ "Authorization": "Bearer inner" });
    add(client, &json!({ "name": "Guide", "kind": "http", "url": site.url, "headers": headers })).await
}

async fn add_texts(client: &Client, texts: &[&str]) -> String {
    let documents: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
    add(client, &json!({ "name": "Notes", "kind": "inline", "documents": documents })).await
}

/// Waits until a source has come to rest, and answers how it stands.
async fn settled(client: &Client, source: &str) -> Value {
    when(client, source, |shown| !["PENDING", "SYNCING"].contains(&shown["status"].as_str().unwrap_or("")))
        .await
}

async fn when(client: &Client, source: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(async || {
        let shown = client.get(&format!("/context-sources/{source}")).await.expect(StatusCode::OK).json();
        fits(&shown).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn the_sources_of_a_handle_share_their_room() {
    let world = World::with(|settings| settings.context.bytes_per_handle_max = 1_000).await;
    let (owner, other) = (world.owner(), world.person("other", "OWNER"));
    let (large, small) = ("word ".repeat(160), "a few words".to_owned());
    let first = add_texts(&owner, &[&large]).await;
    assert_eq!(settled(&owner, &first).await["status"], "READY");
    let second = add_texts(&owner, &[&small, &large]).await;
    let shown = settled(&owner, &second).await;
    assert_eq!(
        (&shown["status"], &shown["content"]["skippedDocuments"][0]["reason"]),
        (&json!("PREVIEW"), &json!("too_large")),
        "{shown}"
    );
    let third = add_texts(&owner, &[&large]).await;
    let shown = settled(&owner, &third).await;
    assert_eq!(
        (&shown["status"], &shown["failure"]["reason"]),
        (&json!("FAILED"), &json!("too_large")),
        "{shown}"
    );
    let message = shown["failure"]["message"].as_str().expect("words");
    assert!(message.contains("all sources of the handle together have at most 1000 bytes"), "{message}");
    // Another handle has room of its own, and what goes makes room.
    assert_eq!(settled(&other, &add_texts(&other, &[&large]).await).await["status"], "READY");
    owner.delete(&format!("/context-sources/{first}")).await.expect(StatusCode::NO_CONTENT);
    owner.post(&format!("/context-sources/{third}/sync"), &json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(settled(&owner, &third).await["status"], "READY");
    // What a source has itself is in nobody's way when it is brought up to date.
    owner.post(&format!("/context-sources/{third}/sync"), &json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!(settled(&owner, &third).await["status"], "READY");
}

async fn sync(holder: &Client, source: &str) -> Value {
    let asked =
        holder.at("/v2/mcp/acme").post(&format!("/context-store/sources/{source}/sync"), &json!({})).await;
    asked.expect(StatusCode::ACCEPTED).json()
}

async fn found(client: &Client, question: &str) -> Vec<String> {
    let path = format!("/context-store/search?q={}", question.replace(' ', "+"));
    let items = client.get(&path).await.items();
    items.iter().map(|item| item["text"].as_str().expect("text").to_owned()).collect()
}

async fn events(client: &Client, name: &str) -> Vec<Value> {
    let mut payloads = Vec::new();
    for item in client.get(&format!("/events?type={name}")).await.items() {
        let id = item["eventId"].as_str().expect("an id");
        payloads.push(client.get(&format!("/events/{id}")).await.json()["payload"].clone());
    }
    payloads
}

const AGENT: [&str; 2] = ["mcp.connect", "context_store.manage"];

#[tokio::test]
async fn a_document_is_fetched_searched_and_told_of() {
    let (world, receiver) = (World::start().await, Receiver::start().await);
    let site = Site::saying("# Webhooks\n\nRotate the signing secret twice a year.").await;
    let owner = world.owner();
    owner.subscribe(&receiver, "/hook", &["context_store.*"]).await;
    let source = add_site(&owner, &site).await;
    let ready = settled(&owner, &source).await;
    assert_eq!(
        (&ready["status"], &ready["searchable"], &ready["failure"]),
        (&json!("READY"), &json!(true), &json!(null))
    );
    assert_eq!((&ready["content"]["documents"], &ready["content"]["chunks"]), (&json!(1), &json!(1)));
    assert!(ready["location"].as_str().is_some_and(|shown| !shown.contains("hidden")), "{ready}");
    assert_eq!(site.asked.lock().expect("a lock")[0]["authorization"], "Bearer inner");

    let item = owner.get("/context-store/search?q=how+to+ROTATE+a+secret").await.items().remove(0);
    assert_eq!(
        (&item["sourceId"], &item["title"], &item["chunk"]),
        (&json!(source), &json!("Webhooks"), &json!(0))
    );
    let snippet = item["snippet"]["text"].as_str().expect("text");
    let marks = item["snippet"]["marks"].as_array().expect("marks");
    let marked: Vec<String> = marks
        .iter()
        .map(|mark| {
            let at = |name: &str| mark[name].as_u64().expect("a number") as usize;
            snippet.chars().skip(at("start")).take(at("end") - at("start")).collect()
        })
        .collect();
    assert_eq!(marked, ["Rotate", "secret", "a"]);
    let told = receiver.received(1).await.remove(0).json();
    assert_eq!(
        (&told["type"], &told["payload"]["sourceId"]),
        (&json!("context_store.synced"), &json!(source))
    );
    assert_eq!((&told["payload"]["changed"], &told["payload"]["documents"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn the_published_recipe_brings_a_source_up_to_date() {
    let world = World::start().await;
    let site = Site::saying("the old text").await;
    let (owner, agent) = (world.owner(), world.token_holder(&AGENT).await);
    let source = add_site(&owner, &site).await;
    settled(&owner, &source).await;
    site.say(StatusCode::OK, "text/plain", "an entirely new text");
    let asked = sync(&agent, &source).await;
    assert_eq!((&asked["sourceId"], &asked["status"]), (&json!(source), &json!("SYNCING")));
    settled(&owner, &source).await;
    assert_eq!(found(&agent, "text").await, ["an entirely new text"]);
    // Nothing new: the address says so, and what is there stays.
    sync(&agent, &source).await;
    let ready = settled(&owner, &source).await;
    assert_eq!(ready["status"], "READY");
    assert_eq!(found(&agent, "text").await, ["an entirely new text"]);
    let changes: Vec<_> =
        events(&owner, "context_store.synced").await.iter().map(|told| told["changed"].clone()).collect();
    assert_eq!(changes, [json!(false), json!(true), json!(true)]);
}

#[tokio::test]
async fn the_recipe_takes_a_token_with_both_scopes_and_nothing_else() {
    let world = World::start().await;
    let source = add_texts(&world.owner(), &["text"]).await;
    let path = format!("/context-store/sources/{source}/sync");
    let ask = async |client: Client| client.at("/v2/mcp/acme").post(&path, &json!({})).await;
    ask(world.owner()).await.expect_problem(401, "invalid_token");
    ask(world.nobody()).await.expect_problem(401, "missing_bearer_token");
    for one in AGENT {
        let refused = ask(world.token_holder(&[one]).await).await;
        let missing = if one == "mcp.connect" { "context_store.manage" } else { "mcp.connect" };
        assert!(refused.expect_problem(403, "insufficient_scope").text.contains(missing), "{}", refused.text);
    }
    let reader = world.token_holder(&["mcp.connect", "context_store.read"]).await;
    ask(reader).await.expect_problem(403, "insufficient_scope");
    let agent = world.token_holder(&AGENT).await;
    ask(agent.clone()).await.expect(StatusCode::ACCEPTED);
    let elsewhere = agent.at("/v2/mcp/beta").post(&path, &json!({})).await;
    elsewhere.expect_problem(401, "invalid_token");
    let odd = agent.at("/v2/mcp/acme").post(&path, &json!({ "odd": 1 })).await;
    odd.expect_problem(400, "invalid_odd");
    let unknown = agent.at("/v2/mcp/acme");
    unknown
        .post("/context-store/sources/src_01arz3ndektsv4rrffq69g5fav/sync", &json!({}))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_second_call_joins_the_sync_that_runs() {
    let world = World::start().await;
    let site = Site::saying("the text").await;
    let (owner, agent) = (world.owner(), world.token_holder(&AGENT).await);
    let source = add_site(&owner, &site).await;
    settled(&owner, &source).await;
    site.answer_only(0);
    site.say(StatusCode::OK, "text/plain", "a newer text");
    let keyed = agent.with("idempotency-key", "one");
    sync(&keyed, &source).await;
    let joining = agent.with("idempotency-key", "two");
    for holder in [&agent, &joining, &agent] {
        assert_eq!(sync(holder, &source).await["status"], "SYNCING");
    }
    let searchable = owner.get(&format!("/context-sources/{source}")).await.json();
    assert_eq!((&searchable["status"], &searchable["searchable"]), (&json!("SYNCING"), &json!(true)));
    assert_eq!(found(&owner, "text").await, ["the text"]);
    site.open.add_permits(10);
    settled(&owner, &source).await;
    assert_eq!(found(&owner, "text").await, ["a newer text"]);
    assert_eq!(site.asked.lock().expect("a lock").len(), 2);
    // The same key is the same call, also when it is over, and also of one that began nothing.
    for holder in [&keyed, &joining] {
        assert_eq!(sync(holder, &source).await["status"], "SYNCING", "as it was answered");
        settled(&owner, &source).await;
    }
    assert_eq!(site.asked.lock().expect("a lock").len(), 2);
}

#[tokio::test]
async fn a_sync_goes_on_after_a_restart() {
    let store = MemoryStore::new();
    let site = Site::saying("the text").await;
    site.answer_only(0);
    let world = World::on(&store).await;
    let source = add_site(&world.owner(), &site).await;
    when(&world.owner(), &source, |shown| shown["status"] == "SYNCING").await;
    world.service.stop().await;
    site.open.add_permits(10);
    let world = World::on(&store).await;
    assert_eq!(settled(&world.owner(), &source).await["status"], "READY");
    assert_eq!(found(&world.owner(), "text").await, ["the text"]);
    assert_eq!(events(&world.owner(), "context_store.synced").await.len(), 1);
}

#[tokio::test]
async fn trouble_is_tried_again_shown_and_told_of_and_old_documents_stay() {
    let world = World::start().await;
    let site = Site::saying("the text").await;
    let (owner, agent) = (world.owner(), world.token_holder(&AGENT).await);
    let source = add_site(&owner, &site).await;
    settled(&owner, &source).await;
    site.say(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "busy");
    sync(&agent, &source).await;
    let trying = when(&owner, &source, |shown| shown["nextAttemptAt"].is_string()).await;
    assert_eq!((&trying["status"], &trying["failure"]["reason"]), (&json!("SYNCING"), &json!("http_status")));
    let failed = settled(&owner, &source).await;
    assert_eq!((&failed["status"], &failed["searchable"]), (&json!("READY"), &json!(true)));
    assert_eq!(failed["failure"]["message"], "the address answered 503 Service Unavailable");
    assert_eq!(found(&owner, "text").await, ["the text"]);
    assert_eq!(site.asked.lock().expect("a lock").len(), 1 + 5);
    let told = events(&owner, "context_store.failed").await.remove(0);
    assert_eq!((&told["reason"], &told["status"]), (&json!("http_status"), &json!("READY")));

    site.say(StatusCode::OK, "image/png", "x");
    let other = add_site(&owner, &site).await;
    let failed = settled(&owner, &other).await;
    assert_eq!((&failed["status"], &failed["searchable"]), (&json!("FAILED"), &json!(false)));
    assert_eq!(failed["failure"]["reason"], "unsupported_type");
    assert_eq!(site.asked.lock().expect("a lock").len(), 7);
}

#[tokio::test]
async fn a_folder_with_a_broken_file_is_a_preview() {
    let root = TempDir::new().expect("a folder");
    std::fs::create_dir_all(root.path().join("acme/docs")).expect("a folder");
    std::fs::write(root.path().join("acme/docs/good.md"), "# Good\n\nbanana").expect("it writes");
    std::fs::write(root.path().join("acme/docs/bad.md"), b"\xff").expect("it writes");
    let folders = root.path().to_owned();
    let world = World::with(|settings| settings.context.folders = Some(folders)).await;
    let owner = world.owner();
    let source = add(&owner, &json!({ "name": "Docs", "kind": "folder", "path": "docs" })).await;
    let preview = settled(&owner, &source).await;
    assert_eq!((&preview["status"], &preview["searchable"]), (&json!("PREVIEW"), &json!(true)));
    assert_eq!(preview["content"]["skippedDocuments"][0]["document"], "docs/bad.md");
    assert_eq!(found(&owner, "banana").await.len(), 1);
    // Another handle has no such folder, and none of anybody's.
    let beta = world.person("beta", "OWNER");
    let theirs = add(&beta, &json!({ "name": "Docs", "kind": "folder", "path": "docs" })).await;
    assert_eq!(settled(&beta, &theirs).await["failure"]["reason"], "folder_missing");
    for path in ["../acme/docs", "/etc"] {
        let wish = json!({ "name": "Docs", "kind": "folder", "path": path });
        beta.post("/context-sources", &wish).await.expect_problem(400, "invalid_path");
    }
}

#[tokio::test]
async fn faults_are_named_by_their_fields() {
    let world = World::start().await;
    let owner = world.owner();
    for (source, code, fields) in [
        (json!({}), "validation_error", vec!["name", "kind"]),
        (json!({ "name": "", "kind": "http" }), "validation_error", vec!["name", "url"]),
        (json!({ "name": "x", "kind": "ftp" }), "invalid_kind", vec!["kind"]),
        (
            json!({ "name": "x", "kind": "inline", "url": "https://a.example/" }),
            "validation_error",
            vec!["url", "documents"],
        ),
        (json!({ "name": "x", "kind": "inline", "documents": [] }), "invalid_documents", vec!["documents"]),
        (
            json!({ "name": "x", "kind": "inline", "documents": [{ "text": " " }, { "odd": 1, "text": "x" }, { "title": "t" }] }),
            "validation_error",
            vec!["documents[0].text", "documents[1]", "documents[2]"],
        ),
        (json!({ "name": "x", "kind": "http", "url": "https://10.0.0.1/" }), "invalid_url", vec!["url"]),
        (
            json!({ "name": "x", "kind": "http", "url": "https://a.example/", "headers": { "host": "x" } }),
            "invalid_headers",
            vec!["headers"],
        ),
        (json!({ "name": "x", "kind": "folder" }), "invalid_kind", vec!["kind"]),
        (json!({ "name": "x", "kind": "folder", "path": ".." }), "invalid_path", vec!["path"]),
    ] {
        let refused = owner.post("/context-sources", &source).await;
        refused.expect_problem(400, code);
        assert_eq!(refused.fields_at_fault(), fields, "{source}");
    }
    for (query, code) in [
        ("", "invalid_q"),
        ("?q=x&limit=0", "invalid_limit"),
        ("?q=x&sourceId=evt_1", "invalid_sourceId"),
        ("?q=x&cursor=x", "invalid_cursor"),
        ("?q=x&odd=1", "invalid_odd"),
    ] {
        owner.get(&format!("/context-store/search{query}")).await.expect_problem(400, code);
    }
    let long = format!("/context-store/search?q={}", "x".repeat(1_001));
    owner.get(&long).await.expect_problem(400, "invalid_q");
    assert!(owner.get("/context-sources").await.items().is_empty());
}

#[tokio::test]
async fn any_text_is_a_question() {
    let world = World::start().await;
    let owner = world.owner();
    let source = add_texts(&owner, &["a plain text"]).await;
    settled(&owner, &source).await;
    for odd in [
        "%22",
        "plain%22%20OR",
        "text:*",
        "NEAR(a,b)",
        "%00",
        "%27%3B--",
        "%F0%9F%98%80",
        "^",
        "(((",
        "AND",
        "%ff",
    ] {
        owner.get(&format!("/context-store/search?q={odd}")).await.expect(StatusCode::OK);
    }
    assert_eq!(found(&owner, "%22plain%22").await.len(), 1);
    assert!(found(&owner, "%2A%2A").await.is_empty());
}

#[tokio::test]
async fn results_come_in_pages_that_belong_to_their_question() {
    let world = World::start().await;
    let owner = world.owner();
    let source = add_texts(&owner, &["apple one", "apple two", "apple three"]).await;
    settled(&owner, &source).await;
    let mut texts = Vec::new();
    let mut path = "/context-store/search?q=apple&limit=1".to_owned();
    loop {
        let page = owner.get(&path).await.expect(StatusCode::OK).json();
        texts.extend(page["items"].as_array().expect("items").iter().map(|item| item["text"].to_string()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        let other = owner.get(&format!("/context-store/search?q=pear&limit=1&cursor={next}")).await;
        other.expect_problem(400, "invalid_cursor");
        path = format!("/context-store/search?q=apple&limit=1&cursor={next}");
    }
    texts.sort();
    assert_eq!(texts, ["\"apple one\"", "\"apple three\"", "\"apple two\""]);
}

#[tokio::test]
async fn a_search_has_five_hundred_results_over_all_of_its_pages_and_no_more() {
    let world = World::start().await;
    let owner = world.owner();
    let texts: Vec<String> = (0..600).map(|n| format!("apple {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let source = add_texts(&owner, &texts).await;
    assert_eq!(settled(&owner, &source).await["content"]["documents"], 600);
    let (mut pages, mut found) = (Vec::new(), BTreeSet::new());
    let mut cursor = String::new();
    loop {
        let page = owner.get(&format!("/context-store/search?q=apple&limit=90{cursor}")).await;
        let page = page.expect(StatusCode::OK).json();
        let items = page["items"].as_array().expect("items");
        pages.push(items.len());
        found.extend(items.iter().map(|item| item["text"].to_string()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((pages, found.len()), (vec![90, 90, 90, 90, 90, 50], 500));
}

#[tokio::test]
async fn the_end_of_a_sync_is_told_with_the_fields_that_the_manual_lists() {
    let (world, site) = (World::start().await, Site::saying("the text").await);
    let owner = world.owner();
    site.say(StatusCode::OK, "image/png", "x");
    let good = add_texts(&owner, &["the text"]).await;
    assert_eq!(settled(&owner, &good).await["status"], "READY");
    let bad = add_site(&owner, &site).await;
    assert_eq!(settled(&owner, &bad).await["status"], "FAILED");
    for (event_type, source) in [("context_store.synced", good), ("context_store.failed", bad)] {
        let told = events(&owner, event_type).await;
        assert_eq!((told.len(), &told[0]["sourceId"]), (1, &json!(source)));
        let mut fields: Vec<_> = told[0].as_object().expect("an object").keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, fields_listed(MANUAL, event_type), "{event_type}");
        owner.expect_described(event_type).await;
    }
}

#[tokio::test]
async fn a_removed_source_is_gone_at_once_and_so_is_that_of_a_removed_handle() {
    let world = World::start().await;
    let owner = world.owner();
    let (kept, removed) =
        (add_texts(&owner, &["apple kept"]).await, add_texts(&owner, &["apple gone"]).await);
    settled(&owner, &kept).await;
    settled(&owner, &removed).await;
    assert_eq!(found(&owner, "apple").await.len(), 2);
    let keyed = owner.with("idempotency-key", "away");
    keyed.delete(&format!("/context-sources/{removed}")).await.expect(StatusCode::NO_CONTENT);
    let again = keyed.delete(&format!("/context-sources/{removed}")).await;
    assert_eq!(again.expect(StatusCode::NO_CONTENT).header("idempotent-replayed"), Some("true"));
    owner.delete(&format!("/context-sources/{removed}")).await.expect_problem(404, "not_found");
    assert_eq!(found(&owner, "apple").await, ["apple kept"]);
    assert_eq!(owner.get("/context-sources").await.items().len(), 1);
    let audit = owner.get("/audit").await.items();
    let actions: Vec<_> = audit.iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["context_source.removed", "context_source.created", "context_source.created"]);
}

#[tokio::test]
async fn a_handle_has_so_many_sources_and_no_more() {
    let world = World::start().await;
    let owner = world.owner();
    for _ in 0..50 {
        add_texts(&owner, &["text"]).await;
    }
    let wish = json!({ "name": "x", "kind": "inline", "documents": [{ "text": "x" }] });
    owner.post("/context-sources", &wish).await.expect_problem(409, "conflict");
    world.person("beta", "OWNER").post("/context-sources", &wish).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn tenants_find_nothing_of_each_other() {
    let world = World::start().await;
    let (acme, beta) = (world.owner(), world.person("beta", "OWNER"));
    let source = add_texts(&acme, &["apple of acme"]).await;
    settled(&acme, &source).await;
    assert!(found(&beta, "apple").await.is_empty());
    assert!(beta.get(&format!("/context-store/search?q=apple&sourceId={source}")).await.items().is_empty());
    assert!(beta.get("/context-sources").await.items().is_empty());
    let agent = world.token_holder_of("beta", &AGENT).await.at("/v2/mcp/beta");
    let foreign = agent.post(&format!("/context-store/sources/{source}/sync"), &json!({})).await;
    foreign.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_source_is_changed_and_keeps_its_id() {
    let world = World::start().await;
    let owner = world.owner();
    let source = add_texts(&owner, &["the old guide"]).await;
    settled(&owner, &source).await;
    let path = format!("/context-sources/{source}");
    let renamed = owner.patch(&path, &json!({ "name": "Handbook" })).await.expect(StatusCode::OK).json();
    assert_eq!((&renamed["name"], &renamed["status"]), (&json!("Handbook"), &json!("READY")));

    let documents = json!({ "documents": [{ "text": "the new handbook" }] });
    let keyed = owner.with("idempotency-key", "once");
    let changed = keyed.patch(&path, &documents).await.expect(StatusCode::OK).json();
    assert_eq!((&changed["sourceId"], &changed["searchable"]), (&json!(source), &json!(true)));
    assert_eq!(keyed.patch(&path, &documents).await.header("idempotent-replayed"), Some("true"));
    when(&owner, &source, |source| source["status"] == "READY").await;
    assert_eq!((found(&owner, "guide").await.len(), found(&owner, "handbook").await.len()), (0, 1));

    // A person brings it up to date, too.
    owner.post(&format!("{path}/sync"), &json!({})).await.expect(StatusCode::ACCEPTED);
    when(&owner, &source, |source| source["status"] == "READY").await;
    assert_eq!(events(&owner, "context_store.synced").await.len(), 3);

    for (body, code) in [
        (json!({ "url": "https://docs.example/" }), "invalid_url"),
        (json!({ "path": "docs" }), "invalid_path"),
        (json!({ "name": "" }), "invalid_name"),
        (json!({ "documents": [] }), "invalid_documents"),
        (json!({ "kind": "http" }), "invalid_kind"),
    ] {
        owner.patch(&path, &body).await.expect_problem(400, code);
    }
    let audit = owner.get("/audit?action=context_source.changed").await.items();
    assert_eq!(audit.len(), 2);
    owner
        .patch("/context-sources/src_01arz3ndektsv4rrffq69g5fav", &documents)
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn another_address_is_asked_without_the_headers_of_the_old_one() {
    let (world, old, new) = (World::start().await, Site::saying("old").await, Site::saying("new").await);
    let owner = world.owner();
    let made = json!({ "name": "Guide", "kind": "http", "url": old.url, "headers": { "x-secret": "s" } });
    let source = add(&owner, &made).await;
    settled(&owner, &source).await;
    owner
        .patch(&format!("/context-sources/{source}"), &json!({ "url": new.url }))
        .await
        .expect(StatusCode::OK);
    when(&owner, &source, |source| source["status"] == "READY").await;
    assert_eq!((found(&owner, "old").await.len(), found(&owner, "new").await.len()), (0, 1));
    assert!(new.asked.lock().expect("a lock").iter().all(|headers| !headers.contains_key("x-secret")));
}

/// A service whose store others can write to, with a source that was synced; and the store.
async fn on_disk_with_a_source(folder: &TempDir, site: &Site) -> (World, String, rusqlite::Connection) {
    let settings = on_disk(folder.path());
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let source = add_site(&world.owner(), site).await;
    settled(&world.owner(), &source).await;
    let db = rusqlite::Connection::open(&settings.store.path).expect("the store");
    (world, source, db)
}

#[tokio::test]
async fn a_sync_that_cannot_be_run_fails_and_can_be_asked_for_again() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::saying("the text").await);
    let (world, source, db) = on_disk_with_a_source(&folder, &site).await;
    let (owner, agent) = (world.owner(), world.token_holder(&AGENT).await);
    let config: Vec<u8> =
        db.query_row("SELECT config FROM context_sources", [], |row| row.get(0)).expect("a row");
    db.execute("UPDATE context_sources SET config = x'00'", []).expect("SQL");
    for failed in 1..=2 {
        sync(&agent, &source).await;
        let shown = settled(&owner, &source).await;
        assert_eq!(
            (&shown["status"], &shown["failure"]["reason"]),
            (&json!("READY"), &json!("internal_error"))
        );
        let told = events(&owner, "context_store.failed").await;
        assert_eq!((told.len(), &told[0]["reason"]), (failed, &json!("internal_error")));
    }
    db.execute("UPDATE context_sources SET config = ?1", [config]).expect("SQL");
    sync(&agent, &source).await;
    assert_eq!(settled(&owner, &source).await["failure"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_stored_is_an_attempt_and_the_address_is_not_asked_for_ever() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::saying("the text").await);
    let (world, source, db) = on_disk_with_a_source(&folder, &site).await;
    let (owner, agent) = (world.owner(), world.token_holder(&AGENT).await);
    // As a disk that has room for a row and not for documents.
    db.execute_batch("CREATE TRIGGER full BEFORE INSERT ON context_chunks BEGIN SELECT json('{'); END")
        .expect("SQL");
    site.say(StatusCode::OK, "text/plain", "a newer text");
    sync(&agent, &source).await;
    let shown = settled(&owner, &source).await;
    assert_eq!((&shown["status"], &shown["failure"]["reason"]), (&json!("READY"), &json!("internal_error")));
    assert_eq!(site.asked.lock().expect("a lock").len(), 1 + 5);
    assert_eq!(events(&owner, "context_store.failed").await.len(), 1);
    assert_eq!(found(&owner, "text").await, ["the text"]);
    db.execute_batch("DROP TRIGGER full").expect("SQL");
    sync(&agent, &source).await;
    settled(&owner, &source).await;
    assert_eq!(found(&owner, "text").await, ["a newer text"]);
}
