//! An inbox: items by one hand, and marks by several, each of whom knows what they did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::stage::{Findings, Stage};
use crate::{
    api::{Api, HANDLE},
    asker::{Asker, text_of},
    random::Random,
};

const INBOX: &str = "/mobile/inbox";
const PAUSE: Duration = Duration::from_millis(25);
/// Items that are surely older than whatever is being written.
const SETTLED_BEHIND: usize = 3;
/// Every so many acts are one upon all items.
const ALL_EVERY: u64 = 40;
/// Every so many items are posted twice by their key.
const TWICE_EVERY: usize = 10;

/// Every item that was accepted, in order: its id, and when it was made.
pub(super) type Posted = Arc<Mutex<Vec<(String, String)>>>;

/// What a reader has done with one item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    seen: bool,
    read: bool,
    archived: bool,
}

/// A reader, and all that they did.
#[derive(Debug)]
pub(super) struct Reader {
    name: String,
    api: Api,
    marks: BTreeMap<String, Mark>,
    /// Items that were ever read.
    was_read: BTreeSet<String>,
    /// Items whose first reading was an act upon them alone: each is told of.
    first_read: BTreeSet<String>,
    acts: usize,
}

/// Posts items until it is enough.
pub(super) async fn post(stage: Arc<Stage>, posted: Posted) -> Result<()> {
    let mut asker = stage.asker(&stage.owner(HANDLE)?);
    for n in 0.. {
        if !stage.goes_on_after(PAUSE).await {
            break;
        }
        let item = json!({ "type": "order.shipped", "title": format!("Item {n}"), "data": { "number": n } });
        for _ in 0..if n % TWICE_EVERY == 0 { 2 } else { 1 } {
            let made = asker.write(INBOX, &item, &format!("item-{n}")).await?.expect(StatusCode::CREATED)?;
            let made = (text_of(&made, "itemId")?, text_of(&made, "createdAt")?);
            let mut posted = posted.lock().expect("posting does not panic");
            ensure!(posted.len() <= n || posted[n] == made, "item {n} was made twice: {made:?}");
            if posted.len() == n {
                posted.push(made);
            }
        }
    }
    Ok(())
}

/// Marks items in the name of one reader until it is enough.
pub(super) async fn read(stage: Arc<Stage>, posted: Posted, number: u32, seed: u64) -> Result<Reader> {
    let name = format!("reader-{number}");
    let api = Api::of_person(stage.address, &name)?;
    let mut reader = Reader {
        name,
        api,
        marks: BTreeMap::new(),
        was_read: BTreeSet::new(),
        first_read: BTreeSet::new(),
        acts: 0,
    };
    let mut asker = stage.asker(&reader.api);
    let mut random = Random::seeded(seed.wrapping_add(u64::from(number)));
    while stage.goes_on_after(PAUSE).await {
        let known = posted.lock().expect("posting does not panic").clone();
        let Some(settled) = known.len().checked_sub(SETTLED_BEHIND).filter(|settled| *settled > 0) else {
            continue;
        };
        let at = (random.next() % settled as u64) as usize;
        reader.acts += 1;
        let key = format!("{}-act-{}", reader.name, reader.acts);
        if random.next().is_multiple_of(ALL_EVERY) {
            reader.read_all(&mut asker, &known, at, &key).await?;
        } else {
            let act = ["seen", "read", "unread", "archive", "unarchive"][(random.next() % 5) as usize];
            reader.mark(&mut asker, &known[at].0, act, &key).await?;
        }
    }
    Ok(reader)
}

impl Reader {
    async fn mark(&mut self, asker: &mut Asker, item: &str, act: &str, key: &str) -> Result<()> {
        asker.write(&format!("{INBOX}/{item}/{act}"), &json!({}), key).await?.expect(StatusCode::OK)?;
        let mark = self.marks.entry(item.to_owned()).or_default();
        *mark = mark.after(act);
        if act == "read" && self.was_read.insert(item.to_owned()) {
            self.first_read.insert(item.to_owned());
        }
        Ok(())
    }

    /// Reads everything up to one item; others that were made in the same millisecond are read, too.
    async fn read_all(
        &mut self,
        asker: &mut Asker,
        known: &[(String, String)],
        at: usize,
        key: &str,
    ) -> Result<()> {
        let up_to = &known[at].1;
        let body = json!({ "upTo": up_to });
        asker.write(&format!("{INBOX}/read-all"), &body, key).await?.expect(StatusCode::OK)?;
        for (place, (item, made_at)) in known.iter().enumerate() {
            if place <= at || made_at == up_to {
                let mark = self.marks.entry(item.clone()).or_default();
                if !mark.read && !mark.archived {
                    *mark = mark.after("read");
                    self.was_read.insert(item.clone());
                }
            }
        }
        Ok(())
    }

    /// Compares with what this reader is shown, and with what was told of them.
    async fn judge(&self, stage: &Stage, posted: &BTreeSet<String>, findings: &mut Findings) -> Result<()> {
        let (items, counts) = stage.asker(&self.api).list(&format!("{INBOX}?archived=include")).await?;
        let ids: Vec<String> = items.iter().filter_map(|item| text_of(item, "itemId").ok()).collect();
        findings.compare("item", posted, &ids);
        let (mut unread, mut unseen) = (0, 0);
        for item in &items {
            let shown = Mark::shown(item);
            unread += usize::from(!shown.read && !shown.archived);
            unseen += usize::from(!shown.read && !shown.archived && !shown.seen);
            let due =
                self.marks.get(item["itemId"].as_str().unwrap_or_default()).copied().unwrap_or_default();
            findings.expect(shown == due, || format!("{} did {due:?} with {item}", self.name));
        }
        let counted = counts["unreadCount"] == unread && counts["unseenCount"] == unseen;
        findings.expect(counted, || {
            format!("{} has {counts}, and {unread} are unread, {unseen} unseen", self.name)
        });
        findings.count("marks answered", self.acts);
        Ok(())
    }
}

impl Mark {
    fn after(self, act: &str) -> Mark {
        match act {
            "seen" => Mark { seen: true, ..self },
            "read" => Mark { seen: true, read: true, ..self },
            // Nothing is unread again that was not looked at.
            "unread" if self.read => Mark { seen: true, read: false, ..self },
            "archive" => Mark { archived: true, ..self },
            "unarchive" => Mark { archived: false, ..self },
            _ => self,
        }
    }

    fn shown(item: &Value) -> Mark {
        let is_set = |field: &str| item[field].is_string();
        Mark { seen: is_set("seenAt"), read: is_set("readAt"), archived: is_set("archivedAt") }
    }
}

/// Compares the inbox as every reader has it.
pub(super) async fn judge(stage: &Stage, readers: Vec<Reader>, posted: Posted) -> Result<Findings> {
    let mut findings = Findings::default();
    let posted: BTreeSet<String> =
        posted.lock().expect("posting does not panic").iter().map(|(id, _)| id.clone()).collect();
    findings.count("items accepted", posted.len());
    for reader in &readers {
        reader.judge(stage, &posted, &mut findings).await?;
    }
    let told = stage.ear.heard("inbox.item.read");
    let told = told.iter().map(|told| format!("{} by {}", told["itemId"], told["reader"]));
    let due = readers.iter().flat_map(|reader| {
        let by = Value::from(format!("jwt:{}", reader.name));
        reader.first_read.iter().map(move |item| format!("{} by {by}", Value::from(item.as_str())))
    });
    findings.compare("first reading of", &due.collect(), &told.collect::<Vec<_>>());
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mark_becomes_is_as_documented() {
        let after = |acts: &[&str]| acts.iter().fold(Mark::default(), |mark, act| mark.after(act));
        assert_eq!(after(&["unread"]), Mark::default());
        assert_eq!(after(&["read", "unread"]), Mark { seen: true, ..Mark::default() });
        assert_eq!(after(&["archive", "unarchive"]), Mark::default());
    }
}
