//! Decisions upon a full session by many rules, at a steady pace, beside requests that decide nothing.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    load::{Load, MakeRequest},
    report::Report,
    stage::Stage,
};
use crate::statistics::Sorted;

const SCENARIO: &str = "chain";
const SIGNALS: usize = 200;
const SIGNALS_A_REQUEST: usize = 50;
const RULES: usize = 100;
/// Decisions a second.
const PACE: u32 = 1_000;
/// The rule that is tried last, and the only one that holds.
const LAST: &str = "r99";

/// How long a decision takes that every rule has to be tried for.
pub(super) async fn chain(binary: &Path, time: Duration, report: &mut Report) -> Result<()> {
    let stage = Stage::new(binary, 1).await?;
    fill(&stage).await?;
    let answer = stage.api.call(Method::POST, "/chain/resolve", Some(&question())).await?;
    ensure!(answer["ruleId"] == LAST, "the last rule was to decide: {answer}");
    // The first second is not like the others.
    resolves(&stage).paced(PACE, Duration::from_secs(1)).await?;

    let raw = stage.load_on_receiver().paced(PACE, time).await?;
    let cpu_before = stage.running.cpu_seconds()?;
    let resolved = resolves(&stage).paced(PACE, time).await?;
    let cpu = stage.running.cpu_seconds()? - cpu_before;
    ensure!(resolved.deferred == 0, "{} decisions were asked to come later", resolved.deferred);

    let (raw, asked) = (Sorted::of(raw.answer_micros), Sorted::of(resolved.answer_micros));
    let of = |what: &str| format!("{what}, {PACE}/s, {SIGNALS} signals, {RULES} rules");
    for percent in [50.0, 99.0] {
        let (raw, asked) = (millis(&raw, percent), millis(&asked, percent));
        report.add(SCENARIO, format!("raw request at {PACE}/s, {percent} %"), raw, "ms");
        report.add(SCENARIO, of(&format!("decision, {percent} %")), asked, "ms");
        report.add(SCENARIO, of(&format!("of that in the server, {percent} %")), asked - raw, "ms");
    }
    report.add(SCENARIO, of("processor time for 1,000"), cpu * 1_000.0 / resolved.accepted as f64, "s");
    Ok(())
}

/// Two hundred signals of ten kinds, and a hundred rules of which the last one holds.
async fn fill(stage: &Stage) -> Result<()> {
    let rules: Vec<Value> = (0..RULES).map(rule).collect();
    stage.api.call(Method::PUT, "/chain/rules", Some(&json!({ "rules": rules }))).await?;
    let signals: Vec<Value> = (0..SIGNALS).map(signal).collect();
    for some in signals.chunks(SIGNALS_A_REQUEST) {
        let body = json!({ "sessionId": "bench", "signals": some });
        stage.api.call(Method::POST, "/chain/signals", Some(&body)).await?;
    }
    Ok(())
}

fn signal(n: usize) -> Value {
    json!({
        "signalKey": format!("kind.{}", n % 10), "signalValue": n, "confidence": 0.5, "source": "bench",
        "metadata": { "page": "x".repeat(200) },
    })
}

/// Every rule has to count: twenty signals of each kind are there, and thirty are asked for.
fn rule(n: usize) -> Value {
    let enough = if n + 1 == RULES { 20 } else { 30 };
    let counted = json!({
        "signalKey": format!("kind.{}", n % 10), "minCount": enough, "minConfidence": 0.5, "withinSeconds": 86_400,
    });
    let absent = json!({ "signalKey": "purchase", "value": "yes" });
    json!({
        "ruleId": format!("r{n:02}"), "trigger": "checkout", "priority": RULES - n,
        "when": { "all": [counted], "none": [absent] }, "decision": { "offer": n },
    })
}

fn question() -> Value {
    json!({ "sessionId": "bench", "trigger": "checkout" })
}

fn resolves(stage: &Stage) -> Load<impl MakeRequest + use<>> {
    let (api, body) = (stage.api.clone(), question().to_string());
    // Each request is the same; the generator's number has no place in it.
    let make = move |_numbered: String| api.request(Method::POST, "/chain/resolve", body.clone());
    Load { address: stage.installation.address(), numbers: Arc::clone(&stage.numbers), make }
}

fn millis(sorted: &Sorted, percent: f64) -> f64 {
    sorted.percentile(percent) as f64 / 1_000.0
}
