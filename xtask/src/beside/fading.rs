//! Two inboxes with a difficulty each: one whose items end soon, and a long one that is read all at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, bail, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::stage::{Findings, Stage};
use crate::{
    api::Api,
    asker::{Asker, text_of},
    clock,
    random::Random,
};

const INBOX: &str = "/mobile/inbox";
/// Its items end; the recount knows it by this name, too.
const FADING: &str = "fading";
/// Its items stay, and are more than two steps of reading everything.
const LONG: &str = "long";
const ITEMS: usize = 1_100;
const PAUSE: Duration = Duration::from_millis(50);
/// Before somebody else reads all of the long one.
const NEXT_READER: Duration = Duration::from_millis(300);
/// For how long items last, at least and at most, in seconds.
const LASTS: (u64, u64) = (2, 12);
/// Items that readers look at, the newest.
const LOOKED_AT: usize = 30;
const READERS: usize = 3;

/// The items that were accepted, with the second in which they end.
pub(super) type Ending = BTreeMap<String, u64>;

/// Fills the long one.
pub(super) async fn prepare(stage: &Stage) -> Result<String> {
    let mut asker = stage.asker(&stage.owner(LONG)?);
    let mut last = String::new();
    for n in 0..ITEMS {
        let item = json!({ "type": "order.shipped", "title": format!("Item {n}") });
        let made = asker.write(INBOX, &item, &format!("item-{n}")).await?.expect(StatusCode::CREATED)?;
        last = text_of(&made, "createdAt")?;
    }
    Ok(last)
}

/// Posts items that end, and marks the newest in several names, until it is enough.
pub(super) async fn work(stage: Arc<Stage>, seed: u64) -> Result<Ending> {
    let mut poster = stage.asker(&stage.owner(FADING)?);
    let mut readers: Vec<Asker> = Vec::new();
    for number in 0..READERS {
        readers.push(stage.asker(&reader(&stage, number)?));
    }
    let (mut random, mut ending, mut newest) = (Random::seeded(seed), Ending::new(), Vec::new());
    for n in 0.. {
        if !stage.goes_on_after(PAUSE).await {
            break;
        }
        let ends = clock::since_epoch().as_secs() + LASTS.0 + random.next() % (LASTS.1 - LASTS.0);
        let title = format!("Item {n}");
        let item = json!({ "type": "order.shipped", "title": title, "expiresAt": clock::rfc3339(ends) });
        let made = poster.write(INBOX, &item, &format!("fading-{n}")).await?;
        if made.status == StatusCode::BAD_REQUEST && made.asked > 1 {
            // So long without an answer that it would have ended before it was made.
            continue;
        }
        let id = text_of(&made.expect(StatusCode::CREATED)?, "itemId")?;
        ending.insert(id.clone(), ends);
        newest.push(id);
        let first = newest.len().saturating_sub(LOOKED_AT);
        let at = first + random.next() as usize % (newest.len() - first);
        let act = ["seen", "read", "archive"][(random.next() % 3) as usize];
        let number = random.next() as usize % READERS;
        mark(&mut readers[number], &newest[at], act, &format!("fading-{n}-{act}")).await?;
    }
    Ok(ending)
}

/// Marks an item, which may have ended.
async fn mark(asker: &mut Asker, item: &str, act: &str, key: &str) -> Result<()> {
    let answer = asker.write(&format!("{INBOX}/{item}/{act}"), &json!({}), key).await?;
    match answer.status {
        StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
        status => bail!("{act} of {item} was answered {status}"),
    }
}

fn reader(stage: &Stage, number: usize) -> Result<Api> {
    Api::on(stage.address, FADING, &format!("reader-{number}"))
}

/// One reader after the other reads all of the long one at once, until it is enough.
pub(super) async fn skim(stage: Arc<Stage>, up_to: String) -> Result<usize> {
    for number in 0.. {
        if !stage.goes_on_after(NEXT_READER).await {
            return Ok(number);
        }
        let mut asker = stage.asker(&skimmer(&stage, number)?);
        let everything = json!({ "upTo": up_to });
        let counts =
            asker.write(&format!("{INBOX}/read-all"), &everything, &format!("skim-{number}")).await?;
        let counts = counts.expect(StatusCode::OK)?;
        ensure!(
            counts["unreadCount"] == 0 && counts["unseenCount"] == 0,
            "{counts} after reading everything"
        );
    }
    Ok(0)
}

fn skimmer(stage: &Stage, number: usize) -> Result<Api> {
    Api::on(stage.address, LONG, &format!("skimmer-{number}"))
}

/// Compares what each reader is shown with their counts, and what is there with what may be.
pub(super) async fn judge(stage: &Stage, ending: Ending, skimmers: usize) -> Result<Findings> {
    let mut findings = Findings::default();
    for number in 0..READERS {
        let now = clock::since_epoch().as_secs();
        let shown = judge_counts(&mut stage.asker(&reader(stage, number)?), &mut findings).await?;
        let ids: Vec<&str> = shown.iter().filter_map(|item| item["itemId"].as_str()).collect();
        for (id, ends) in &ending {
            let is_there = ids.contains(&id.as_str());
            findings.expect(is_there || *ends <= now, || format!("{id} is gone, and ends in {}", ends - now));
        }
    }
    for number in 0..skimmers {
        let counts = stage.asker(&skimmer(stage, number)?).read(&format!("{INBOX}?limit=1")).await?;
        let all = counts["unreadCount"] == 0 && counts["unseenCount"] == 0;
        findings.expect(all, || format!("skimmer {number} read everything, and has {counts}"));
    }
    findings.count("items that end", ending.len());
    findings.count("readings of everything", skimmers);
    Ok(findings)
}

/// What a reader is shown, twice if something ended in between.
async fn judge_counts(asker: &mut Asker, findings: &mut Findings) -> Result<Vec<Value>> {
    let path = format!("{INBOX}?archived=include");
    let mut seen = asker.list(&path).await?;
    let (items, counts) = loop {
        let again = asker.list(&path).await?;
        if again.1["version"] == seen.1["version"] {
            break again;
        }
        seen = again;
    };
    let put_by = |item: &Value| item["readAt"].is_string() || item["archivedAt"].is_string();
    let unread = items.iter().filter(|item| !put_by(item)).count();
    let unseen = items.iter().filter(|item| !put_by(item) && item["seenAt"].is_null()).count();
    let counted = counts["unreadCount"] == unread && counts["unseenCount"] == unseen;
    findings.expect(counted, || format!("{counts}, and {unread} are unread, {unseen} unseen"));
    Ok(items)
}
