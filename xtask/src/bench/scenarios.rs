//! The scenarios: each is one question, asked of a fresh store.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    load::{Burst, Load, MakeRequest},
    report::Report,
    stage::{EVENT_TYPE, Stage},
    tally::HANGING_PATH,
};
use crate::{
    product,
    statistics::{Sorted, micros},
    wire::Line,
};

const CONNECTIONS: &[u32] = &[16, 64, 256];
const STARTS: u32 = 5;
const SUBSCRIPTIONS: usize = 50;
const FANNED_EVENTS: u64 = 100;
const ISOLATION_RATE: u32 = 200;
const BATCH: u32 = 1_000;

/// What generator, receiver and disk can do without the product between them.
pub(super) async fn ceilings(binary: &Path, time: Duration, report: &mut Report) -> Result<()> {
    let scenario = "ceilings";
    let stage = Stage::new(binary, 1).await?;
    for connections in CONNECTIONS {
        let burst = stage.load_on_receiver().flat_out(*connections, time).await?;
        report.add(
            scenario,
            format!("raw requests, {connections} connections"),
            rate(burst.accepted, time),
            "/s",
        );
    }
    let appends = product::durable_appends_per_second(stage.installation.folder(), Duration::from_secs(2))?;
    report.add(scenario, "durable appends of 4 KiB, one after another", appends, "/s");
    Ok(())
}

/// From nothing to the first answer.
pub(super) async fn start(binary: &Path, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(Stage::new(binary, 0).await?.cold_start);
    }
    let sorted = micros(&times);
    report.add("start", "cold start to first answer, middle", sorted.percentile(50.0) as f64 / 1_000.0, "ms");
    report.add("start", "cold start to first answer, worst", sorted.greatest() as f64 / 1_000.0, "ms");
    Ok(())
}

/// A stretch of load at full speed, until everything had arrived.
pub(super) struct Run {
    pub(super) burst: Burst,
    pub(super) arrived: u64,
    delivered_meanwhile: u64,
    until_all: Duration,
    cpu_seconds: f64,
}

impl Run {
    pub(super) fn delivered_a_second(&self) -> f64 {
        rate(self.arrived, self.until_all)
    }

    /// Seconds of processor time of the service for accepting and delivering 1,000.
    pub(super) fn cpu_for_1000(&self) -> f64 {
        self.cpu_seconds * 1_000.0 / self.arrived as f64
    }
}

/// Lets the generator send as fast as it is answered, and waits for the last arrival.
pub(super) async fn flat_out(stage: &Stage, connections: u32, time: Duration) -> Result<Run> {
    let (began, cpu_before) = (Instant::now(), stage.running.cpu_seconds()?);
    let burst = stage.load().flat_out(connections, time).await?;
    let delivered_meanwhile = stage.tally.different(0);
    let arrived = stage.delivered(burst.accepted).await;
    let until_all = began.elapsed();
    let cpu_seconds = stage.running.cpu_seconds()? - cpu_before;
    Ok(Run { burst, arrived, delivered_meanwhile, until_all, cpu_seconds })
}

/// How much, at what price.
pub(super) async fn throughput(binary: &Path, time: Duration, report: &mut Report) -> Result<()> {
    let scenario = "throughput";
    for connections in CONNECTIONS {
        let stage = Stage::subscribed(binary, 1).await?;
        let of = |what: &str| format!("{what}, {connections} connections");
        report.add(scenario, of("memory at rest"), stage.running.resident_mib()?, "MiB");
        let run = flat_out(&stage, *connections, time).await?;
        report.add(scenario, of("accepted"), rate(run.burst.accepted, time), "/s");
        report.add(scenario, of("delivered while accepting"), rate(run.delivered_meanwhile, time), "/s");
        report.add(scenario, of("delivered until all were"), run.delivered_a_second(), "/s");
        report.add(scenario, of("asked to come later"), run.burst.deferred as f64, "events");
        report.add(scenario, of("delivered twice"), stage.tally.repeated() as f64, "events");
        report.add(scenario, of("processor time, accept and deliver 1,000"), run.cpu_for_1000(), "s");
        report.expect_all(scenario, run.burst.accepted, run.arrived);
        report.add(scenario, of("answer, 99 %"), percentile_ms(run.burst.answer_micros, 99.0), "ms");
        report.add(scenario, of("memory after the load"), stage.running.resident_mib()?, "MiB");
    }
    Ok(())
}

/// From publishing to arrival.
pub(super) async fn latency(binary: &Path, time: Duration, report: &mut Report) -> Result<()> {
    let scenario = "latency";
    let greatest = {
        let stage = Stage::subscribed(binary, 1).await?;
        let began = Instant::now();
        let burst = stage.load().flat_out(64, time.min(Duration::from_secs(5))).await?;
        let arrived = stage.delivered(burst.accepted).await;
        report.expect_all(scenario, burst.accepted, arrived);
        arrived as f64 / began.elapsed().as_secs_f64()
    };
    let half = (greatest / 2.0) as u32;
    for pace in [50, half.max(1)] {
        let stage = Stage::subscribed(binary, 1).await?;
        warm_up(&stage).await?;
        let burst = stage.load().paced(pace, time).await?;
        settle_latencies(&stage, scenario, &format!("publish to arrival at {pace}/s"), &burst, report).await;
    }
    Ok(())
}

/// One event, fifty deliveries.
pub(super) async fn fan_out(binary: &Path, report: &mut Report) -> Result<()> {
    let scenario = "fan-out";
    let stage = Stage::subscribed(binary, SUBSCRIPTIONS).await?;
    let Load { address, numbers, make } = stage.load();
    let mut line = Line::to(address);
    let mut last_arrivals = Vec::new();
    let began = Instant::now();
    for event in 1..=FANNED_EVENTS {
        let sent = Instant::now();
        let answer = line.send(make.request(numbers.payload(sent))).await?;
        ensure!(answer.status().is_success(), "an event was answered {}", answer.status());
        let due = event * SUBSCRIPTIONS as u64;
        let arrived = stage.delivered(due).await;
        report.expect_all(scenario, due, arrived);
        last_arrivals.push(sent.elapsed());
    }
    let elapsed = began.elapsed();
    let deliveries = FANNED_EVENTS * SUBSCRIPTIONS as u64;
    add_percentiles(report, scenario, "publish to each arrival", &Sorted::of(stage.tally.take_micros()));
    add_percentiles(report, scenario, "publish to the last of fifty", &micros(&last_arrivals));
    report.add(scenario, "deliveries, one event after another", rate(deliveries, elapsed), "/s");
    Ok(())
}

/// A hanging receiver costs its own lane and nothing else.
pub(super) async fn isolation(binary: &Path, time: Duration, report: &mut Report) -> Result<()> {
    let scenario = "isolation";
    for hanging in [false, true] {
        let stage = Stage::subscribed(binary, 1).await?;
        if hanging {
            stage.subscribe(&stage.receiver.url(HANGING_PATH), &[EVENT_TYPE], json!({})).await?;
        }
        warm_up(&stage).await?;
        let burst = stage.load().paced(ISOLATION_RATE, time).await?;
        let beside = if hanging { "beside a hanging one" } else { "alone" };
        let name = format!("healthy subscription {beside}, {ISOLATION_RATE}/s");
        settle_latencies(&stage, scenario, &name, &burst, report).await;
    }
    Ok(())
}

/// Many deliveries wait for a dead receiver, and the others do not notice.
pub(super) async fn backlog(binary: &Path, time: Duration, waiting: u32, report: &mut Report) -> Result<()> {
    let scenario = "backlog";
    let stage = Stage::subscribed(binary, 1).await?;
    let dead = format!("http://{}/", product::free_address()?);
    let patience = json!({ "retryPolicy": { "delaysSeconds": [3600] } });
    stage.subscribe(&dead, &["bench.dead"], patience).await?;

    let began = Instant::now();
    let event = json!({ "type": "bench.dead", "payload": { "text": "x".repeat(400) } });
    let batch = json!({ "events": vec![event; BATCH as usize] });
    for _ in 0..waiting / BATCH {
        stage.api.call(Method::POST, "/events/batch", Some(&batch)).await?;
    }
    report.add(scenario, "accepted in batches of 1,000", rate(u64::from(waiting), began.elapsed()), "/s");

    let began = Instant::now();
    let burst = stage.load().flat_out(64, time).await?;
    let arrived = stage.delivered(burst.accepted).await;
    let of = |what: &str| format!("{what}, {waiting} waiting");
    report.add(scenario, of("accepted"), rate(burst.accepted, time), "/s");
    report.add(
        scenario,
        of("delivered until all were"),
        arrived as f64 / began.elapsed().as_secs_f64(),
        "/s",
    );
    report.add(scenario, of("answer, 99 %"), percentile_ms(burst.answer_micros, 99.0), "ms");
    report.add(
        scenario,
        of("publish to arrival, 99 %"),
        percentile_ms(stage.tally.take_micros(), 99.0),
        "ms",
    );
    report.add(scenario, of("memory"), stage.running.resident_mib()?, "MiB");
    report.expect_all(scenario, burst.accepted, arrived);

    let Stage { installation, running, .. } = stage;
    running.kill()?;
    let again = installation.start(None)?.ready().await?;
    report.add(scenario, of("restart to first answer"), again.as_secs_f64() * 1_000.0, "ms");
    Ok(())
}

/// Opens connections and fills caches, so that the first second is like the others.
async fn warm_up(stage: &Stage) -> Result<()> {
    let burst = stage.load().paced(100, Duration::from_secs(1)).await?;
    ensure!(burst.deferred == 0, "{} of the first events were asked to come later", burst.deferred);
    stage.delivered(burst.accepted).await;
    sleep(Duration::from_millis(200)).await;
    stage.tally.take_micros();
    Ok(())
}

async fn settle_latencies(stage: &Stage, scenario: &str, name: &str, burst: &Burst, report: &mut Report) {
    let due = stage.numbers.given() - burst.deferred;
    let arrived = stage.delivered(due).await;
    add_percentiles(report, scenario, name, &Sorted::of(stage.tally.take_micros()));
    report.expect_all(scenario, due, arrived);
}

fn add_percentiles(report: &mut Report, scenario: &str, name: &str, sorted: &Sorted) {
    for percent in [50.0, 95.0, 99.0] {
        let value = sorted.percentile(percent) as f64 / 1_000.0;
        report.add(scenario, format!("{name}, {percent} %"), value, "ms");
    }
}

fn percentile_ms(micros: Vec<u64>, percent: f64) -> f64 {
    Sorted::of(micros).percentile(percent) as f64 / 1_000.0
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
