//! `paced`: a subscription with a rate, a backlog, and what the receiver counts in its busiest second.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode, http::request::Parts};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    api::Api,
    product::{self, Installation},
    receiver::{Guest, Receiver, Reply},
};

const EVENT_TYPE: &str = "trial.tick";
/// Events in one request.
const BATCH: u64 = 100;
/// Every so many requests the receiver refuses one: retries count like first attempts.
const REFUSED_EVERY: usize = 20;
/// Every wait becomes 50 ms, so that retries press as well.
const RETRY_WAITS_PERCENT: u32 = 1;
/// How long nothing at all may arrive before the trial gives up.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// The least of the rate that must be used while there is something to send.
const USED_PERCENT_MIN: f64 = 90.0;

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct PacedArgs {
    /// The subscription's `rateLimitPerSecond`
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Events published, as fast as they are accepted
    #[arg(long, default_value_t = 5_000)]
    events: u64,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs it, and fails on a second with more than the rate and one, on anything missing, and on a rate that
/// is not used.
pub(crate) async fn run(args: PacedArgs) -> Result<()> {
    let binary = args.binary.clone().map_or_else(product::build, Ok)?;
    println!("paced: {} events at {}/s", args.events, args.rate);
    let mut installation = Installation::new(&binary, RETRY_WAITS_PERCENT)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let arrivals = Arc::new(Arrivals::default());
    let receiver = Receiver::start(Arc::clone(&arrivals)).await?;
    let api = Api::at(installation.address())?;
    let more = json!({ "rateLimitPerSecond": args.rate, "retryPolicy": { "delaysSeconds": vec![5; 10] } });
    api.subscribe(&receiver.url("/ticks"), &[EVENT_TYPE], more).await?;
    publish(&api, args.events).await?;

    let mut seen = (0, Instant::now());
    while arrivals.taken() < args.events as usize && seen.1.elapsed() < QUIET_WITHIN {
        sleep(Duration::from_millis(20)).await;
        if arrivals.count() > seen.0 {
            seen = (arrivals.count(), Instant::now());
        }
    }
    let (times, taken) = (arrivals.times(), arrivals.taken());
    let busiest = most_within_a_second(&times);
    let used = used_percent(&times, args.rate);
    println!(
        "{} requests, {taken} events taken, at most {busiest} in a second, {used:.1} % used",
        times.len()
    );
    let judged = judge(&args, taken, busiest, used);
    if judged.is_err() {
        println!("store and log are kept in {}", installation.keep().display());
    }
    judged
}

fn judge(args: &PacedArgs, taken: usize, busiest: usize, used: f64) -> Result<()> {
    ensure!(taken == args.events as usize, "{} of {} events arrived", taken, args.events);
    ensure!(
        busiest <= args.rate as usize + 1,
        "{busiest} requests arrived within a second, the rate is {}",
        args.rate
    );
    ensure!(used >= USED_PERCENT_MIN, "{used:.1} % of the rate were used, the least is {USED_PERCENT_MIN} %");
    Ok(())
}

async fn publish(api: &Api, events: u64) -> Result<()> {
    let mut left = events;
    while left > 0 {
        let count = left.min(BATCH);
        let batch: Vec<Value> =
            (0..count).map(|n| json!({ "type": EVENT_TYPE, "payload": { "left": left - n } })).collect();
        api.call(Method::POST, "/events/batch", Some(&json!({ "events": batch }))).await?;
        left -= count;
    }
    Ok(())
}

/// When requests arrived, and which events were taken.
#[derive(Default)]
struct Arrivals(Mutex<(Vec<Instant>, HashSet<String>)>);

impl Arrivals {
    fn count(&self) -> usize {
        self.0.lock().expect("nobody panicked").0.len()
    }

    fn taken(&self) -> usize {
        self.0.lock().expect("nobody panicked").1.len()
    }

    fn times(&self) -> Vec<Instant> {
        self.0.lock().expect("nobody panicked").0.clone()
    }
}

impl Guest for Arrivals {
    fn receive(&self, head: &Parts, _: &Bytes) -> Reply {
        let now = Instant::now();
        let Some(id) = head.headers.get("webhook-id").and_then(|id| id.to_str().ok()) else {
            return Reply::Now(StatusCode::BAD_REQUEST);
        };
        let mut arrivals = self.0.lock().expect("nobody panicked");
        arrivals.0.push(now);
        if arrivals.0.len().is_multiple_of(REFUSED_EVERY) {
            return Reply::Now(StatusCode::SERVICE_UNAVAILABLE);
        }
        arrivals.1.insert(id.to_owned());
        Reply::Now(StatusCode::OK)
    }
}

/// The most arrivals within any second; `times` are in order.
fn most_within_a_second(times: &[Instant]) -> usize {
    let mut first = 0;
    let counts = times.iter().enumerate().map(|(last, at)| {
        while at.duration_since(times[first]) >= Duration::from_secs(1) {
            first += 1;
        }
        last - first + 1
    });
    counts.max().unwrap_or(0)
}

/// How much of a rate was used from the first arrival to the last.
fn used_percent(times: &[Instant], rate: u32) -> f64 {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return 0.0 };
    let lasted = last.duration_since(*first).as_secs_f64();
    (times.len() - 1) as f64 / (lasted * f64::from(rate)) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_second_is_found_wherever_it_begins() {
        let zero = Instant::now();
        let at = |millis| zero + Duration::from_millis(millis);
        assert_eq!(most_within_a_second(&[0, 500, 900, 1_400, 1_450, 1_899, 1_900, 5_000].map(at)), 4);
        assert_eq!(most_within_a_second(&[0, 1_000, 2_000].map(at)), 1);
        assert_eq!(most_within_a_second(&[]), 0);
        assert!((used_percent(&[0, 500, 1_000].map(at), 4) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_trial_fails_on_haste_on_loss_and_on_idleness() {
        let args = PacedArgs { rate: 10, events: 100, binary: None };
        judge(&args, 100, 11, 98.0).unwrap();
        for (taken, busiest, used) in [(99, 10, 98.0), (100, 12, 98.0), (100, 10, 89.0)] {
            judge(&args, taken, busiest, used).unwrap_err();
        }
    }
}
