//! A producer that believes only a 202: it asks again under the same key until it gets one, and notes it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hyper::{Method, StatusCode, header::HeaderValue};
use serde::Deserialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{api::Api, ledger::Accepted, wire::Line};

/// The type of every event that a trial publishes.
pub(crate) const EVENT_TYPE: &str = "trial.tick";

/// Connections that publish side by side.
const WORKERS: u32 = 8;

/// How long one publication may go unanswered, restarts included.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every so many publications are sent once more under their key although they were answered.
const REPEATED_EVERY: u64 = 10;

/// Publishes until told to stop; stops at once when dropped.
#[derive(Debug)]
pub(crate) struct Producer {
    shared: Arc<Shared>,
    workers: JoinSet<Result<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    api: Api,
    stop: AtomicBool,
    next: AtomicU64,
    accepted: Mutex<Vec<Accepted>>,
}

/// The payload of a publication, which both ends can make: lengths and characters vary with the number.
pub(crate) fn payload(number: u64) -> String {
    let filler = "ü\u{2028}\\u00e9 ".repeat((number * 37 % 60) as usize);
    format!("{{ \"number\":{number}, \"filler\" : \"{filler}\",\"exact\":1.0e2}}")
}

impl Producer {
    /// Starts publishing `rate` events a second.
    pub(crate) fn start(address: SocketAddr, api: &Api, rate: u32) -> Producer {
        let shared = Arc::new(Shared {
            address,
            api: api.clone(),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            accepted: Mutex::default(),
        });
        let pause = Duration::from_secs(1) * WORKERS / rate.max(1);
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(publish_until_stopped(Arc::clone(&shared), pause));
        }
        Producer { shared, workers }
    }

    /// What was answered with a 202 until now.
    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.shared.accepted.lock().expect("no producer panicked").clone()
    }

    /// Lets every publication under way be answered, and hands over the notes.
    pub(crate) async fn stop(mut self) -> Result<Vec<Accepted>> {
        self.shared.stop.store(true, Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            ended.context("a producer panicked")??;
        }
        Ok(std::mem::take(&mut self.shared.accepted.lock().expect("no producer panicked")))
    }
}

async fn publish_until_stopped(shared: Arc<Shared>, pause: Duration) -> Result<()> {
    let mut line = Line::to(shared.address);
    let mut due = Instant::now();
    while !shared.stop.load(Relaxed) {
        let number = shared.next.fetch_add(1, Relaxed);
        let times = if number.is_multiple_of(REPEATED_EVERY) { 2 } else { 1 };
        for _ in 0..times {
            let event_id = publish(&shared, &mut line, number).await?;
            shared.accepted.lock().expect("no producer panicked").push(Accepted { number, event_id });
        }
        // Lost time is not made up for: after a restart the load goes on, it does not burst.
        due = (due + pause).max(Instant::now());
        sleep_until(due).await;
    }
    Ok(())
}

async fn publish(shared: &Shared, line: &mut Line, number: u64) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        event_id: String,
    }

    let deadline = Instant::now() + PATIENCE;
    loop {
        let body = format!(r#"{{"type":"{EVENT_TYPE}","payload":{}}}"#, payload(number));
        let mut request = shared.api.request(Method::POST, "/events", body);
        request
            .headers_mut()
            .insert("idempotency-key", HeaderValue::try_from(format!("publication-{number}"))?);
        match line.send(request).await {
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                return Ok(serde_json::from_slice::<Answer>(answer.body())?.event_id);
            }
            Ok(answer) if !may_ask_again(answer.status()) => {
                let text = String::from_utf8_lossy(answer.body());
                bail!("publication {number} was answered {}: {text}", answer.status());
            }
            // No answer: it may or may not have been accepted, which is what the key is for.
            Ok(_) | Err(_) => {}
        }
        if Instant::now() >= deadline {
            bail!("publication {number} was not accepted within {PATIENCE:?}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The contract's answers that promise that nothing was accepted yet, or that the first request is still at it.
fn may_ask_again(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_and_differ() {
        for number in [0, 1, 59, 1_000_003] {
            let value: serde_json::Value = serde_json::from_str(&payload(number)).unwrap();
            assert_eq!(value["number"], number);
        }
        assert_ne!(payload(1).len(), payload(2).len());
    }
}
