//! The generator: numbered events over keep-alive connections, as fast as answered or at a steady pace.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::wire::Line;

/// The length of every payload, in bytes.
pub(super) const PAYLOAD_BYTES: usize = 500;

/// Connections of a steady pace: enough that one slow answer does not delay the next event.
const PACED_CONNECTIONS: u64 = 32;

/// Numbers for events, never given twice, and the zero of their send times.
#[derive(Debug)]
pub(super) struct Numbers {
    next: AtomicU64,
    zero: Instant,
}

impl Numbers {
    pub(super) fn starting_now() -> Numbers {
        Numbers { next: AtomicU64::new(0), zero: Instant::now() }
    }

    /// How many were given.
    pub(super) fn given(&self) -> u64 {
        self.next.load(Relaxed)
    }

    /// Microseconds since zero.
    pub(super) fn micros_at(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.zero).as_micros() as u64
    }

    /// The next event's payload, said to be sent at `at`.
    pub(super) fn payload(&self, at: Instant) -> String {
        let number = self.next.fetch_add(1, Relaxed);
        let mut text = format!(r#"{{"n":{number},"t":{},"pad":""#, self.micros_at(at));
        let padding = PAYLOAD_BYTES.saturating_sub(text.len() + 2);
        text.extend(std::iter::repeat_n('x', padding));
        text.push_str("\"}");
        text
    }
}

/// Makes a request of a payload.
pub(super) trait MakeRequest: Send + Sync + 'static {
    fn request(&self, payload: String) -> Request<Full<Bytes>>;
}

impl<F: Fn(String) -> Request<Full<Bytes>> + Send + Sync + 'static> MakeRequest for F {
    fn request(&self, payload: String) -> Request<Full<Bytes>> {
        self(payload)
    }
}

/// What came of a stretch of load.
#[derive(Debug, Default, Clone)]
pub(super) struct Burst {
    /// Answered with success.
    pub(super) accepted: u64,
    /// Asked to come again later.
    pub(super) deferred: u64,
    /// From sending to answer, in microseconds.
    pub(super) answer_micros: Vec<u64>,
}

impl Burst {
    fn absorb(&mut self, other: Burst) {
        self.accepted += other.accepted;
        self.deferred += other.deferred;
        self.answer_micros.extend(other.answer_micros);
    }
}

/// Where to send what.
pub(super) struct Load<M> {
    pub(super) address: SocketAddr,
    pub(super) numbers: Arc<Numbers>,
    pub(super) make: M,
}

impl<M: MakeRequest> Load<M> {
    /// Every connection sends its next event when the last was answered, for `time`.
    pub(super) async fn flat_out(self, connections: u32, time: Duration) -> Result<Burst> {
        let load = Arc::new(self);
        let end = Instant::now() + time;
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let load = Arc::clone(&load);
            workers.spawn(async move {
                let mut line = Line::to(load.address);
                let mut burst = Burst::default();
                while Instant::now() < end {
                    load.send(&mut line, Instant::now(), &mut burst).await?;
                }
                anyhow::Ok(burst)
            });
        }
        gather(workers).await
    }

    /// Sends `rate` events a second for `time`, each at its own moment. An event that had to wait for a
    /// connection counts from when it should have been sent.
    pub(super) async fn paced(self, rate: u32, time: Duration) -> Result<Burst> {
        let load = Arc::new(self);
        let began = Instant::now();
        let events = (f64::from(rate) * time.as_secs_f64()) as u64;
        let mut workers = JoinSet::new();
        for worker in 0..PACED_CONNECTIONS {
            let load = Arc::clone(&load);
            workers.spawn(async move {
                let mut line = Line::to(load.address);
                let mut burst = Burst::default();
                for event in (worker..events).step_by(PACED_CONNECTIONS as usize) {
                    let moment = began + Duration::from_secs_f64(event as f64 / f64::from(rate));
                    sleep_until(moment).await;
                    load.send(&mut line, moment, &mut burst).await?;
                }
                anyhow::Ok(burst)
            });
        }
        gather(workers).await
    }

    async fn send(&self, line: &mut Line, moment: Instant, burst: &mut Burst) -> Result<()> {
        let request = self.make.request(self.numbers.payload(moment));
        let answer = line.send(request).await?;
        match answer.status() {
            code if code.is_success() => burst.accepted += 1,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => burst.deferred += 1,
            code => bail!("an event was answered {code}: {}", String::from_utf8_lossy(answer.body())),
        }
        burst.answer_micros.push(moment.elapsed().as_micros() as u64);
        Ok(())
    }
}

async fn gather(mut workers: JoinSet<Result<Burst>>) -> Result<Burst> {
    let mut sum = Burst::default();
    while let Some(ended) = workers.join_next().await {
        sum.absorb(ended.context("a connection's task panicked")??);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tally::Tally;
    use crate::receiver::Receiver;

    #[test]
    fn payloads_are_numbered_json_of_one_length() {
        let numbers = Numbers::starting_now();
        for expected in 0..3 {
            let payload = numbers.payload(Instant::now());
            let value: serde_json::Value = serde_json::from_str(&payload).unwrap();
            assert_eq!((payload.len(), &value["n"]), (PAYLOAD_BYTES, &serde_json::json!(expected)));
        }
        assert_eq!(numbers.given(), 3);
    }

    #[tokio::test]
    async fn a_steady_pace_sends_as_many_events_as_time_has_room_for() {
        let numbers = Arc::new(Numbers::starting_now());
        let tally = Arc::new(Tally::new(Arc::clone(&numbers), 1));
        let receiver = Receiver::start(Arc::clone(&tally)).await.unwrap();
        let make =
            |payload| Request::post("/0").header("host", "receiver").body(Full::from(payload)).unwrap();
        let load = Load { address: receiver.address(), numbers, make };
        let burst = load.paced(400, Duration::from_millis(100)).await.unwrap();
        assert_eq!((burst.accepted, burst.deferred, tally.different(0)), (40, 0, 40));
    }
}
