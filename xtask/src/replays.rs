//! `replays`: a replay of many dead letters, killed half way, and each of them replayed once.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode, http::request::Parts};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    api::{Api, Delivery},
    product::{self, Installation},
    receiver::{Guest, Receiver, Reply},
};

/// How long each part of a trial may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Events in one request, which is one commit.
const BATCH: u32 = 1_000;

const EVENT_TYPE: &str = "trial.letter";

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplaysArgs {
    /// Dead letters to be replayed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..))]
    deliveries: u32,
    /// Deliveries a second that each of two overlapping jobs makes at most
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs it, and fails on anything that was replayed twice or not at all.
pub(crate) async fn run(args: ReplaysArgs) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    println!("replays: {} dead letters, two jobs at {}/s, killed half way", args.deliveries, args.rate);
    let mut trial = Trial::new(&binary).await?;
    let verdict = trial.conduct(args.deliveries, args.rate).await;
    if !verdict.as_ref().is_ok_and(|verdict| verdict.faults.is_empty()) {
        println!("store and log are kept in {}", trial.installation.keep().display());
    }
    let verdict = verdict?;
    println!("{verdict}");
    ensure!(verdict.faults.is_empty(), "{} faults", verdict.faults.len());
    Ok(())
}

/// Says 404 to everything until it is opened, and notes what it takes.
#[derive(Debug, Default)]
struct Gate {
    open: AtomicBool,
    taken: Mutex<HashMap<String, u32>>,
}

impl Guest for Gate {
    fn receive(&self, head: &Parts, _body: &Bytes) -> Reply {
        if !self.open.load(Relaxed) {
            return Reply::Now(StatusCode::NOT_FOUND);
        }
        let id = head.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("no webhook-id");
        *self.taken.lock().expect("taking notes does not panic").entry(id.to_owned()).or_default() += 1;
        Reply::Now(StatusCode::OK)
    }
}

struct Trial {
    installation: Installation,
    gate: Arc<Gate>,
    receiver: Receiver,
    api: Api,
}

impl Trial {
    async fn new(binary: &Path) -> Result<Trial> {
        let installation = Installation::new(binary, 100)?;
        let gate = Arc::new(Gate::default());
        let receiver = Receiver::start(Arc::clone(&gate)).await?;
        let api = Api::at(installation.address())?;
        Ok(Trial { installation, gate, receiver, api })
    }

    async fn conduct(&self, deliveries: u32, rate: u32) -> Result<Verdict> {
        let mut running = self.installation.start(None)?;
        running.ready().await?;
        self.api.subscribe(&self.receiver.url("/letters"), &[EVENT_TYPE], json!({})).await?;
        self.let_die(deliveries).await?;
        self.gate.open.store(true, Relaxed);

        let began = Instant::now();
        let jobs = [self.replay(rate).await?, self.replay(rate).await?];
        self.wait_for(&jobs, |made, _| made >= u64::from(deliveries / 2)).await?;
        running.kill()?;
        let mut running = self.installation.start(None)?;
        let restarted = running.ready().await?;
        let (before, _) = self.wait_for(&jobs, |_, _| true).await?;
        ensure!(before < u64::from(deliveries), "the kill came too late: a lower rate leaves it something");
        let (made, jobs) = self.wait_for(&jobs, |_, running| running == 0).await?;
        self.api.quiet_within(PATIENCE).await.with_context(|| running.last_words())?;
        let took = began.elapsed();

        let taken = std::mem::take(&mut *self.gate.taken.lock().expect("taking notes does not panic"));
        let mut verdict = judge(&self.api.deliveries().await?, &taken);
        if made != u64::from(deliveries) {
            verdict.faults.push(format!("the jobs made {made} of {deliveries}: {jobs:?}"));
        }
        println!("{:<28}{before} were made by then", "killed half way");
        println!("{:<28}{took:.1?}, restart {restarted:.0?}", "from the first job to quiet");
        Ok(verdict)
    }

    /// Publishes so many events while the receiver refuses, and waits until each is a dead letter.
    async fn let_die(&self, deliveries: u32) -> Result<()> {
        let mut left = deliveries;
        while left > 0 {
            let some = left.min(BATCH);
            let events: Vec<Value> =
                (0..some).map(|n| json!({ "type": EVENT_TYPE, "payload": { "letter": left - n } })).collect();
            self.api.call(Method::POST, "/events/batch", Some(&json!({ "events": events }))).await?;
            left -= some;
        }
        let counting = json!({ "filter": { "eventType": EVENT_TYPE }, "dryRun": true });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counted = self.api.call(Method::POST, "/replays", Some(&counting)).await?;
            if counted["matched"] == deliveries {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} of {deliveries} died", counted["matched"]);
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn replay(&self, rate: u32) -> Result<String> {
        let wish = json!({ "filter": { "eventType": EVENT_TYPE }, "ratePerSecond": rate });
        let job = self.api.call(Method::POST, "/replays", Some(&wish)).await?;
        Ok(job["replayId"].as_str().context("the answer has no replayId")?.to_owned())
    }

    /// Waits until the deliveries that the jobs have made, and the jobs that run, are as wanted.
    async fn wait_for(
        &self,
        jobs: &[String],
        is_wanted: impl Fn(u64, usize) -> bool,
    ) -> Result<(u64, Vec<Value>)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut told = Vec::new();
            for id in jobs {
                told.push(self.api.call(Method::GET, &format!("/replays/{id}"), None).await?);
            }
            let made = told.iter().filter_map(|job| job["replayed"].as_u64()).sum();
            if is_wanted(made, told.iter().filter(|job| job["status"] == "running").count()) {
                return Ok((made, told));
            }
            if Instant::now() >= deadline {
                bail!("the jobs came to {told:?} within {PATIENCE:?}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What was counted, and what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    letters: usize,
    replays: usize,
    arrivals: u32,
    repeated: usize,
    faults: Vec<String>,
}

/// Each letter has one replay, which was delivered, and its receiver saw it: once, and once more
/// only where an attempt was interrupted.
fn judge(listed: &[Delivery], taken: &HashMap<String, u32>) -> Verdict {
    let of_trial = listed.iter().filter(|delivery| delivery.event_type == EVENT_TYPE);
    let (replays, letters): (Vec<_>, Vec<_>) = of_trial.partition(|delivery| delivery.replay_of.is_some());
    let mut verdict = Verdict {
        letters: letters.len(),
        replays: replays.len(),
        arrivals: taken.values().sum(),
        repeated: taken.values().filter(|count| **count > 1).count(),
        ..Verdict::default()
    };
    let mut of_letter: HashMap<&str, Vec<&Delivery>> = HashMap::new();
    for replay in replays {
        of_letter.entry(replay.replay_of.as_deref().unwrap_or_default()).or_default().push(replay);
    }
    for letter in &letters {
        let replays = of_letter.remove(letter.id.as_str()).unwrap_or_default();
        let seen = taken.get(&letter.event_id).copied().unwrap_or(0);
        match replays.as_slice() {
            [one] if one.status != "delivered" => {
                verdict.faults.push(format!("the replay of {} is {}", letter.id, one.status));
            }
            [one] if seen == 0 || seen > one.attempts => verdict.faults.push(format!(
                "{} arrived {seen} times, its replay counts {} attempts",
                letter.event_id, one.attempts
            )),
            [_] => {}
            several => {
                verdict.faults.push(format!("{} has {} replays", letter.id, several.len()));
            }
        }
    }
    verdict.faults.extend(of_letter.keys().map(|id| format!("{id} was replayed and is not listed")));
    verdict
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28}{}", "dead letters", self.letters)?;
        writeln!(f, "{:<28}{}", "replays of them", self.replays)?;
        let repeated = self.repeated;
        write!(f, "{:<28}{}, {repeated} of the letters more than once", "arrivals", self.arrivals)?;
        self.faults.iter().take(20).try_for_each(|fault| write!(f, "\n  fault: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: u32, replay_of: Option<u32>, status: &str, attempts: u32) -> Delivery {
        Delivery {
            id: format!("dlv_{number}"),
            event_id: format!("evt_{}", replay_of.unwrap_or(number)),
            event_type: EVENT_TYPE.to_owned(),
            subscription_id: "sub_1".to_owned(),
            status: status.to_owned(),
            attempts,
            reason: None,
            replay_of: replay_of.map(|of| format!("dlv_{of}")),
        }
    }

    fn faults(replays: Vec<Delivery>, seen: u32) -> usize {
        let all = [vec![listed(1, None, "dead", 1)], replays].concat();
        let taken = if seen > 0 { HashMap::from([("evt_1".to_owned(), seen)]) } else { HashMap::new() };
        judge(&all, &taken).faults.len()
    }

    #[test]
    fn a_letter_that_was_replayed_and_seen_once_is_right() {
        assert_eq!(faults(vec![listed(2, Some(1), "delivered", 1)], 1), 0);
        // The process ended between the answer and its settlement.
        assert_eq!(faults(vec![listed(2, Some(1), "delivered", 2)], 2), 0);
        assert_eq!(faults(vec![listed(2, Some(1), "delivered", 2)], 1), 0);
    }

    #[test]
    fn a_letter_that_was_replayed_twice_or_never_or_not_seen_is_noticed() {
        let once = || listed(2, Some(1), "delivered", 1);
        assert_eq!(faults(vec![], 0), 1);
        assert_eq!(faults(vec![once(), listed(3, Some(1), "delivered", 1)], 2), 1);
        assert_eq!(faults(vec![once()], 0), 1);
        assert_eq!(faults(vec![once()], 2), 1);
        assert_eq!(faults(vec![listed(2, Some(1), "pending", 0)], 0), 1);
        assert_eq!(faults(vec![once(), listed(4, Some(9), "delivered", 1)], 1), 1);
    }
}
