//! What all parts of the trial share: one installation, a mail server, an ear, and whether to stop.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use hyper::{StatusCode, http::request::Parts};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    api::{Api, HANDLE},
    asker::Asker,
    mail_peer::MailPeer,
    receiver::{Guest, Receiver, Reply},
};

/// How long everything may take to come to its end once nobody asks for more.
pub(super) const QUIET_WITHIN: Duration = Duration::from_mins(2);

/// A document behind an address: long enough for several pieces.
const DOCUMENT: &str = include_str!("document.txt");
/// Every so many questions for it are answered 503.
const BUSY_EVERY: u32 = 4;

/// The world around the installation.
pub(super) struct Stage {
    pub(super) address: SocketAddr,
    pub(super) folder: PathBuf,
    pub(super) peer: MailPeer,
    pub(super) ear: Arc<Ear>,
    pub(super) receiver: Receiver,
    stopping: AtomicBool,
}

/// What came of one part.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What was done, by its name.
    pub(super) done: BTreeMap<&'static str, usize>,
    /// What is wrong.
    pub(super) faults: Vec<String>,
}

impl Stage {
    pub(super) async fn new(address: SocketAddr, folder: PathBuf, peer: MailPeer) -> Result<Stage> {
        let ear = Arc::new(Ear::default());
        let receiver = Receiver::start(Arc::clone(&ear)).await?;
        Ok(Stage { address, folder, peer, ear, receiver, stopping: AtomicBool::new(false) })
    }

    /// Somebody with every right on a handle.
    pub(super) fn owner(&self, handle: &str) -> Result<Api> {
        Api::on(self.address, handle, "xtask")
    }

    /// Somebody who asks in their name until they are answered.
    pub(super) fn asker(&self, api: &Api) -> Asker {
        Asker::of(self.address, api)
    }

    /// Waits until the ear has heard everything that happened.
    pub(super) async fn heard(&self) -> Result<()> {
        self.owner(HANDLE)?.quiet_within(QUIET_WITHIN).await
    }

    /// Tells everybody that this is enough.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Waits a little between two acts, and says whether there is to be another.
    pub(super) async fn goes_on_after(&self, pause: Duration) -> bool {
        sleep(pause).await;
        !self.stopping.load(Relaxed)
    }
}

impl Findings {
    /// Notes that something was done.
    pub(super) fn count(&mut self, what: &'static str, times: usize) {
        *self.done.entry(what).or_default() += times;
    }

    /// Notes a fault unless something holds.
    pub(super) fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Adds those of another part.
    pub(super) fn absorb(&mut self, other: Findings) {
        for (what, times) in other.done {
            self.count(what, times);
        }
        self.faults.extend(other.faults);
    }

    /// Notes what is listed twice, missing, or was never accepted.
    pub(super) fn compare(&mut self, what: &str, accepted: &BTreeSet<String>, listed: &[String]) {
        let mut seen = BTreeSet::new();
        for one in listed {
            self.expect(seen.insert(one.clone()), || format!("{what} {one} is there twice"));
        }
        for lost in accepted.difference(&seen) {
            self.faults.push(format!("{what} {lost} was accepted and is not there"));
        }
        for invented in seen.difference(accepted) {
            self.faults.push(format!("{what} {invented} is there and was never accepted"));
        }
    }
}

/// Hears events at `/ear`, has a document at `/document`, and knows of nothing else.
#[derive(Debug, Default)]
pub(super) struct Ear {
    heard: Mutex<HashMap<String, Value>>,
    asked: AtomicU32,
}

impl Ear {
    /// The payloads of every event of a type, each event once however often it came.
    pub(super) fn heard(&self, event_type: &str) -> Vec<Value> {
        let heard = self.notes();
        let of_type = heard.values().filter(|event| event["type"] == event_type);
        of_type.map(|event| event["payload"].clone()).collect()
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.heard.lock().expect("taking notes does not panic")
    }

    fn hear(&self, head: &Parts, body: &Bytes) -> Reply {
        let id = head.headers.get("webhook-id").and_then(|id| id.to_str().ok());
        let event = serde_json::from_slice(body).ok();
        let Some((id, event)) = id.zip(event) else { return Reply::Now(StatusCode::BAD_REQUEST) };
        self.notes().insert(id.to_owned(), event);
        Reply::Now(StatusCode::OK)
    }
}

impl Guest for Ear {
    fn receive(&self, head: &Parts, body: &Bytes) -> Reply {
        match head.uri.path() {
            "/ear" => self.hear(head, body),
            "/document" if self.asked.fetch_add(1, Relaxed) % BUSY_EVERY == BUSY_EVERY - 1 => {
                Reply::Now(StatusCode::SERVICE_UNAVAILABLE)
            }
            "/document" => Reply::Text(DOCUMENT),
            _ => Reply::Now(StatusCode::NOT_FOUND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_twice_or_invented_is_named() {
        let mut findings = Findings::default();
        let accepted = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        findings.compare("item", &accepted, &["b".to_owned(), "b".to_owned(), "c".to_owned()]);
        assert_eq!(
            findings.faults,
            [
                "item b is there twice",
                "item a was accepted and is not there",
                "item c is there and was never accepted"
            ]
        );
    }
}
