//! Sources of the context store: of every kind, brought up to date by agents, removed, and searched.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Findings, QUIET_WITHIN, Stage};
use crate::{
    api::{Api, HANDLE},
    asker::{Asker, text_of},
    patience::eventually,
};

const SOURCES: &str = "/context-sources";
const PAUSE: Duration = Duration::from_millis(100);
/// Sources of one worker at a time; the oldest goes for the next.
const KEPT: usize = 12;
/// Documents of every other source, and of the ones between. The more make more pieces than one transaction takes.
const DOCUMENTS: [usize; 2] = [4, 60];

/// A source that was accepted.
#[derive(Debug)]
pub(super) struct Source {
    id: String,
    name: String,
    documents: usize,
    /// Stands once in each document, and nowhere else; none of documents that others wrote.
    word: Option<String>,
    removed: bool,
}

/// Makes sources, syncs and removes them, until it is enough.
pub(super) async fn work(stage: Arc<Stage>, worker: u32) -> Result<Vec<Source>> {
    let api = stage.owner(HANDLE)?;
    let mut asker = stage.asker(&api);
    let agent = agent(&api, &stage, worker).await?;
    let mut speaking = stage.asker(&agent);
    let (mut sources, mut kept): (Vec<Source>, VecDeque<usize>) = (Vec::new(), VecDeque::new());
    while stage.goes_on_after(PAUSE).await {
        let n = sources.len();
        let source = create(&mut asker, &stage, worker, n).await?;
        for sync in 0..n % 3 {
            let key = format!("{}-sync-{sync}", source.name);
            ask_for_sync(&mut speaking, &agent, &source.id, &key).await?;
        }
        sources.push(source);
        kept.push_back(n);
        if kept.len() > KEPT
            && let Some(oldest) = kept.pop_front().map(|at| &mut sources[at])
        {
            let path = format!("{SOURCES}/{}", oldest.id);
            let gone = asker.remove(&path, &format!("{}-gone", oldest.name)).await?;
            gone.expect(StatusCode::NO_CONTENT)?;
            oldest.removed = true;
        }
    }
    Ok(sources)
}

/// A caller as agents are: with a token of these scopes.
async fn agent(api: &Api, stage: &Stage, worker: u32) -> Result<Api> {
    let wish = json!({ "name": "agent", "scopes": ["mcp.connect", "context_store.manage"] });
    let made = stage.asker(api).write("/tokens", &wish, &format!("agent-{worker}")).await?;
    api.with_token(&text_of(&made.expect(StatusCode::CREATED)?, "token")?)
}

async fn create(asker: &mut Asker, stage: &Stage, worker: u32, n: usize) -> Result<Source> {
    let name = format!("source-{worker}-{n}");
    let word = format!("w{worker}x{n}y");
    let count = DOCUMENTS[n / 3 % 2];
    let texts = (0..count).map(|at| text(&word, at));
    let (wish, documents, word) = match n % 3 {
        0 => {
            let documents: Vec<Value> = texts.map(|text| json!({ "text": text })).collect();
            (json!({ "name": name, "kind": "inline", "documents": documents }), count, Some(word))
        }
        1 => {
            let folder = stage.folder.join("documents").join(HANDLE).join(&name);
            fs::create_dir_all(&folder)?;
            for (at, text) in texts.enumerate() {
                fs::write(folder.join(format!("{at}.md")), text)?;
            }
            (json!({ "name": name, "kind": "folder", "path": name }), count, Some(word))
        }
        _ => {
            let url = stage.receiver.url("/document");
            (json!({ "name": name, "kind": "http", "url": url }), 1, None)
        }
    };
    let made = asker.write(SOURCES, &wish, &name).await?.expect(StatusCode::CREATED)?;
    Ok(Source { id: text_of(&made, "sourceId")?, name, documents, word, removed: false })
}

/// A document of about two kilobytes, in which the word stands once.
fn text(word: &str, at: usize) -> String {
    let paragraph = "Rotate the secret twice a year, and verify what receivers get. ".repeat(8);
    format!("About {word} in part {at}.\n\n{paragraph}\n\n{paragraph}\n\n{paragraph}\n\n{paragraph}")
}

async fn ask_for_sync(asker: &mut Asker, agent: &Api, id: &str, key: &str) -> Result<()> {
    let path = format!("/v2/mcp/{HANDLE}/context-store/sources/{id}/sync");
    let request = agent.request_to(Method::POST, &path, "{}");
    asker.keyed(request, key).await?.expect(StatusCode::ACCEPTED)?;
    Ok(())
}

/// Waits until no sync runs, and compares.
pub(super) async fn judge(stage: &Stage, sources: Vec<Source>) -> Result<Findings> {
    let (mut findings, listed) = (Findings::default(), settled(stage).await?);
    let named: Vec<String> = listed.iter().filter_map(|shown| text_of(shown, "name").ok()).collect();
    let kept = sources.iter().filter(|source| !source.removed);
    findings.compare("source", &kept.map(|source| source.name.clone()).collect(), &named);
    let shown: BTreeMap<&str, &Value> =
        listed.iter().filter_map(|shown| Some((shown["sourceId"].as_str()?, shown))).collect();
    for source in sources.iter().filter(|source| !source.removed) {
        let Some(shown) = shown.get(source.id.as_str()) else { continue };
        let whole = shown["status"] == "READY" && shown["content"]["documents"] == source.documents;
        findings.expect(whole, || format!("{} is not whole: {shown}", source.name));
    }
    let asker = &mut stage.asker(&stage.owner(HANDLE)?);
    for source in &sources {
        search(asker, source, &mut findings).await?;
    }
    stage.heard().await?;
    let told: BTreeSet<String> = stage
        .ear
        .heard("context_store.synced")
        .iter()
        .filter_map(|told| text_of(told, "sourceId").ok())
        .collect();
    for source in sources.iter().filter(|source| !source.removed && !told.contains(&source.id)) {
        findings.faults.push(format!("that {} was synced was told to nobody", source.name));
    }
    findings.count("sources accepted", sources.len());
    findings.count("syncs told", stage.ear.heard("context_store.synced").len());
    Ok(findings)
}

async fn settled(stage: &Stage) -> Result<Vec<Value>> {
    let api = stage.owner(HANDLE)?;
    let runs = |shown: &Value| shown["status"] == "PENDING" || shown["status"] == "SYNCING";
    let looked = || async {
        let (listed, _) = stage.asker(&api).list(SOURCES).await?;
        Ok((!listed.iter().any(runs)).then_some(listed))
    };
    eventually("no sync runs", QUIET_WITHIN, looked).await
}

/// Each document is found once, and none of a source that was removed.
async fn search(asker: &mut Asker, source: &Source, findings: &mut Findings) -> Result<()> {
    let Some(word) = &source.word else { return Ok(()) };
    let (hits, _) = asker.list(&format!("/context-store/search?q={word}")).await?;
    let due = if source.removed { 0 } else { source.documents };
    let found = hits.iter().filter(|hit| hit["sourceId"] == source.id).count();
    findings.expect(found == due && hits.len() == due, || {
        format!(
            "{} of {due} documents is found by {} pieces, {found} of them its own",
            source.name,
            hits.len()
        )
    });
    Ok(())
}
