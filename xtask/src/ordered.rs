//! `ordered`: many ordering keys, a receiver that refuses some of what it gets, no key out of order, and
//! keys without trouble as fast as without the others.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode, http::request::Parts};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    api::Api,
    clock,
    product::{self, Installation},
    random::Random,
    receiver::{Guest, Receiver, Reply},
    statistics::{Sorted, millis},
    wire::Line,
};

const EVENT_TYPE: &str = "trial.step";
/// Connections that publish side by side; each has keys of its own, so that a key's events are sent one
/// after the other.
const PUBLISHERS: u64 = 25;
/// Of so many keys one is in trouble: half of its requests are refused, which is a tenth of all.
const TROUBLED_EVERY: u64 = 5;
/// An event is not refused more often than this: nothing shall die in this trial.
const REFUSALS_MAX: u32 = 8;
/// Every wait becomes 50 ms.
const RETRY_WAITS_PERCENT: u32 = 1;
/// How long nothing at all may arrive before the trial gives up.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct OrderedArgs {
    /// Events published, evenly over the keys
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Ordering keys; a multiple of 25
    #[arg(long, default_value_t = 1_000)]
    keys: u64,
    /// Events published a second
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Repeats the refusals of an earlier run, as far as time does
    #[arg(long)]
    seed: Option<u64>,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs it twice, without refusals and with them; fails on anything out of order or missing. How long keys
/// without trouble took is printed for both: a slow machine fails nothing.
pub(crate) async fn run(args: OrderedArgs) -> Result<()> {
    ensure!(
        args.keys > 0 && args.keys.is_multiple_of(PUBLISHERS),
        "--keys is {}, which is no multiple of {PUBLISHERS}",
        args.keys
    );
    let binary = args.binary.clone().map_or_else(product::build, Ok)?;
    let seed = args.seed.unwrap_or_else(|| clock::since_epoch().as_secs());
    println!(
        "ordered: {} events over {} keys at {}/s; repeat with --seed {seed}",
        args.events, args.keys, args.rate
    );
    let calm = stretch(&binary, &args, None).await?;
    println!("without refusals: {calm}");
    let rough = stretch(&binary, &args, Some(seed)).await?;
    println!("with refusals:    {rough}");
    for seen in [&calm, &rough] {
        ensure!(seen.inversions.is_empty(), "out of order: {}", seen.inversions[0]);
        ensure!(seen.missing == 0, "{} of {} events did not arrive", seen.missing, args.events);
    }
    println!(
        "99 % of the events of keys without trouble: within {} beside keys with trouble, {} without them",
        millis(rough.untroubled.percentile(99.0)),
        millis(calm.untroubled.percentile(99.0)),
    );
    Ok(())
}

/// What came of one stretch.
struct Seen {
    requests: u64,
    refused: u64,
    repeated: u64,
    missing: u64,
    inversions: Vec<String>,
    untroubled: Sorted,
    troubled: Sorted,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { requests, refused, repeated, missing, .. } = self;
        write!(f, "{requests} requests, {refused} refused, {repeated} repeated, {missing} missing, ")?;
        write!(f, "{} inversions; ", self.inversions.len())?;
        let from_to = |times: &Sorted| {
            format!("p50 {}, p99 {}", millis(times.percentile(50.0)), millis(times.percentile(99.0)))
        };
        write!(
            f,
            "keys without trouble {}, with trouble {}",
            from_to(&self.untroubled),
            from_to(&self.troubled)
        )
    }
}

async fn stretch(binary: &Path, args: &OrderedArgs, refusals: Option<u64>) -> Result<Seen> {
    let mut installation = Installation::new(binary, RETRY_WAITS_PERCENT)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let notes = Arc::new(Notes::new(refusals));
    let receiver = Receiver::start(Arc::clone(&notes)).await?;
    let api = Api::at(installation.address())?;
    let more = json!({ "ordered": true, "retryPolicy": { "delaysSeconds": vec![5; 10] } });
    api.subscribe(&receiver.url("/steps"), &[EVENT_TYPE], more).await?;

    publish(&installation, &api, args, notes.zero).await?;
    let mut taken = (notes.taken(), Instant::now());
    while taken.0 < args.events && taken.1.elapsed() < QUIET_WITHIN {
        sleep(Duration::from_millis(20)).await;
        if notes.taken() > taken.0 {
            taken = (notes.taken(), Instant::now());
        }
    }
    let seen = notes.seen(args.events);
    if seen.missing > 0 || !seen.inversions.is_empty() {
        println!("store and log are kept in {}", installation.keep().display());
    }
    Ok(seen)
}

async fn publish(installation: &Installation, api: &Api, args: &OrderedArgs, zero: Instant) -> Result<()> {
    let began = Instant::now();
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (api, mut line) = (api.clone(), Line::to(installation.address()));
        let (events, keys, rate) = (args.events, args.keys, f64::from(args.rate));
        publishers.spawn(async move {
            for number in (publisher..events).step_by(PUBLISHERS as usize) {
                let moment = began + Duration::from_secs_f64(number as f64 / rate);
                sleep_until(moment).await;
                let (key, step) = (number % keys, number / keys);
                let sent_at = moment.saturating_duration_since(zero).as_micros();
                let body = format!(
                    r#"{{"type":"{EVENT_TYPE}","orderingKey":"key-{key}","payload":{{"key":{key},"number":{step},"sent":{sent_at}}}}}"#
                );
                let answer = line.send(api.request(Method::POST, "/events", body)).await?;
                ensure!(answer.status() == StatusCode::ACCEPTED, "an event was answered {}", answer.status());
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = publishers.join_next().await {
        ended.context("a publisher panicked")??;
    }
    Ok(())
}

/// What the receiver writes down.
struct Notes {
    zero: Instant,
    book: Mutex<Book>,
}

struct Book {
    /// None: everything is taken.
    refusals: Option<Random>,
    keys: HashMap<u64, Key>,
    requests: u64,
    refused: u64,
    repeated: u64,
    taken: u64,
    inversions: Vec<String>,
    untroubled: Vec<u64>,
    troubled: Vec<u64>,
}

#[derive(Default)]
struct Key {
    /// The first step that was not taken yet.
    next: u64,
    /// How often it was refused.
    refusals: u32,
}

#[derive(Deserialize)]
struct Step {
    key: u64,
    number: u64,
    sent: u64,
}

impl Notes {
    fn new(refusals: Option<u64>) -> Notes {
        let book = Book {
            refusals: refusals.map(Random::seeded),
            keys: HashMap::new(),
            requests: 0,
            refused: 0,
            repeated: 0,
            taken: 0,
            inversions: Vec::new(),
            untroubled: Vec::new(),
            troubled: Vec::new(),
        };
        Notes { zero: Instant::now(), book: Mutex::new(book) }
    }

    fn taken(&self) -> u64 {
        self.book.lock().expect("nobody panicked").taken
    }

    fn seen(&self, events: u64) -> Seen {
        let book = self.book.lock().expect("nobody panicked");
        Seen {
            requests: book.requests,
            refused: book.refused,
            repeated: book.repeated,
            missing: events.saturating_sub(book.taken),
            inversions: book.inversions.clone(),
            untroubled: Sorted::of(book.untroubled.clone()),
            troubled: Sorted::of(book.troubled.clone()),
        }
    }
}

impl Book {
    fn take(&mut self, step: &Step, now: u64) -> StatusCode {
        self.requests += 1;
        let key = self.keys.entry(step.key).or_default();
        if step.number > key.next {
            let Step { key: name, number, .. } = step;
            self.inversions.push(format!("step {number} of key {name} came before step {}", key.next));
        }
        if step.number < key.next {
            self.repeated += 1;
            return StatusCode::OK;
        }
        let is_troubled = step.key.is_multiple_of(TROUBLED_EVERY);
        if let Some(random) = &mut self.refusals
            && is_troubled
            && key.refusals < REFUSALS_MAX
            && random.next().is_multiple_of(2)
        {
            key.refusals += 1;
            self.refused += 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        *key = Key { next: step.number + 1, refusals: 0 };
        self.taken += 1;
        let times = if is_troubled { &mut self.troubled } else { &mut self.untroubled };
        times.push(now.saturating_sub(step.sent));
        StatusCode::OK
    }
}

impl Guest for Notes {
    fn receive(&self, _: &Parts, body: &Bytes) -> Reply {
        #[derive(Deserialize)]
        struct Body {
            payload: Step,
        }

        let Ok(Body { payload: step }) = serde_json::from_slice(body) else {
            return Reply::Now(StatusCode::BAD_REQUEST);
        };
        let now = self.zero.elapsed().as_micros() as u64;
        Reply::Now(self.book.lock().expect("nobody panicked").take(&step, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(notes: &Notes, key: u64, step: u64) -> StatusCode {
        notes.book.lock().unwrap().take(&Step { key, number: step, sent: 0 }, 10)
    }

    #[test]
    fn a_step_before_its_turn_is_an_inversion_and_one_that_comes_again_is_not() {
        let notes = Notes::new(None);
        for (key, step) in [(1, 0), (2, 0), (1, 1), (1, 1), (2, 2)] {
            assert_eq!(arrive(&notes, key, step), StatusCode::OK);
        }
        let seen = notes.seen(6);
        assert_eq!((seen.requests, seen.repeated, seen.missing), (5, 1, 2));
        assert_eq!(seen.inversions, ["step 2 of key 2 came before step 1"]);
    }

    #[test]
    fn half_of_what_a_troubled_key_gets_is_refused_and_nothing_for_ever() {
        let notes = Notes::new(Some(1));
        let mut refused = 0;
        for step in 0..1_000 {
            let mut refusals = 0;
            while arrive(&notes, TROUBLED_EVERY, step) != StatusCode::OK {
                refusals += 1;
            }
            assert!(refusals <= REFUSALS_MAX);
            refused += refusals;
            assert_eq!(arrive(&notes, 1, step), StatusCode::OK);
        }
        assert!((800..1_200).contains(&refused), "{refused}");
        assert!(notes.seen(2_000).inversions.is_empty());
    }
}
