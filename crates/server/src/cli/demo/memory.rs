//! What a demo remembers beside the service's data, to go on with them another time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use angarium_domain::ids::{EventId, SubscriptionId};
use angarium_domain::time::Timestamp;
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::receivers::Kind;
use crate::cli::answers::Accepted;

/// The receivers and their subscriptions.
const RECEIVERS: &str = "demo-receivers.json";
/// A line for each accepted event: what the service promised, apart from what the service stores.
const ACCEPTED: &str = "demo-accepted.log";

/// A receiver of an earlier demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remembered {
    /// Where it listened.
    pub(super) address: SocketAddr,
    pub(super) subscription_id: SubscriptionId,
    /// What its requests are signed with.
    pub(super) secret: String,
}

/// The memory of one folder.
pub(super) struct Memory {
    folder: PathBuf,
    receivers: BTreeMap<Kind, Remembered>,
}

/// What earlier demos were promised; grows by what this one is.
pub(super) struct Promises {
    pub(super) earlier: Vec<Accepted>,
    file: File,
}

impl Memory {
    /// Reads a folder's memory, which is empty in a new one.
    pub(super) fn of(folder: &Path) -> anyhow::Result<Memory> {
        let path = folder.join(RECEIVERS);
        let receivers = match std::fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(Memory { folder: folder.to_owned(), receivers })
    }

    pub(super) fn receiver(&self, kind: Kind) -> Option<&Remembered> {
        self.receivers.get(&kind)
    }

    /// Remembers a receiver, from now on and after a crash.
    pub(super) fn remember(&mut self, kind: Kind, receiver: Remembered) -> anyhow::Result<()> {
        self.receivers.insert(kind, receiver);
        let path = self.folder.join(RECEIVERS);
        let draft = path.with_extension("new");
        let text = serde_json::to_vec_pretty(&self.receivers).expect("the memory is JSON");
        let written = private(&draft, OpenOptions::new().truncate(true))
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| std::fs::rename(&draft, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Opens the list of promises. Of those made before `kept_since` the service may have forgotten
    /// the events, as it should.
    pub(super) fn promises(&self, kept_since: Timestamp) -> anyhow::Result<Promises> {
        let path = self.folder.join(ACCEPTED);
        let file = private(&path, OpenOptions::new().append(true).read(true));
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        let text = io::read_to_string(&file).with_context(|| format!("{} cannot be read", path.display()))?;
        let earlier = text.lines().filter_map(promise).filter(|kept| kept.event_id.made_at() >= kept_since);
        Ok(Promises { earlier: earlier.collect(), file })
    }
}

impl Promises {
    /// Writes down what was just promised.
    pub(super) fn add(&mut self, accepted: Accepted) -> io::Result<()> {
        writeln!(self.file, "{} {}", accepted.event_id, accepted.deliveries)
    }
}

/// Reads a line; a last one that a crash cut short is no promise that anybody was told of.
fn promise(line: &str) -> Option<Accepted> {
    let (event_id, deliveries) = line.split_once(' ')?;
    Some(Accepted { event_id: event_id.parse::<EventId>().ok()?, deliveries: deliveries.parse().ok()? })
}

fn private(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    how.write(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_and_promises_are_there_the_next_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let receiver = Remembered {
            address: "127.0.0.1:9000".parse().expect("an address"),
            subscription_id: SubscriptionId::from_bytes([1; 16]),
            secret: "whsec_x".to_owned(),
        };
        let accepted = |n| Accepted { event_id: EventId::from_bytes([n; 16]), deliveries: n.into() };

        let mut memory = Memory::of(folder.path()).expect("a memory");
        assert_eq!(memory.receiver(Kind::Flaky), None);
        memory.remember(Kind::Flaky, receiver.clone()).expect("written");
        let always = Timestamp::default();
        let mut promises = memory.promises(always).expect("promises");
        assert_eq!(promises.earlier, []);
        promises.add(accepted(1)).and_then(|()| promises.add(accepted(2))).expect("written");

        let memory = Memory::of(folder.path()).expect("a memory");
        assert_eq!(memory.receiver(Kind::Flaky), Some(&receiver));
        assert_eq!(memory.promises(always).expect("promises").earlier, [accepted(1), accepted(2)]);
        let since = accepted(2).event_id.made_at();
        assert_eq!(memory.promises(since).expect("promises").earlier, [accepted(2)]);
    }

    #[test]
    fn a_line_cut_short_is_no_promise() {
        assert_eq!(promise("evt_01040g2081"), None);
        assert_eq!(promise("evt_01040g2081040g2081040g2081 "), None);
    }
}
