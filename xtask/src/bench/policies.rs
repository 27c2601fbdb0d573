//! What a subscription can ask for, and what each wish costs beside none at all.

use std::{path::Path, time::Duration};

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    report::Report,
    scenarios::flat_out,
    stage::{EVENT_TYPE, Stage},
};

const SCENARIO: &str = "policies";
const CONNECTIONS: u32 = 64;

/// One subscription at a time, each with one wish.
pub(super) async fn policies(binary: &Path, time: Duration, report: &mut Report) -> Result<()> {
    for (name, wish) in wishes() {
        let stage = Stage::new(binary, 1).await?;
        stage.subscribe(&stage.receiver.url("/0"), &[EVENT_TYPE], wish).await?;
        measure(&stage, name, time, report).await?;
    }
    let stage = Stage::subscribed(binary, 1).await?;
    let path = format!("/event-types/{EVENT_TYPE}");
    stage.api.call(Method::PUT, &path, Some(&json!({ "schema": schema() }))).await?;
    measure(&stage, "a schema for the type", time, report).await
}

async fn measure(stage: &Stage, name: &str, time: Duration, report: &mut Report) -> Result<()> {
    let run = flat_out(stage, CONNECTIONS, time).await?;
    report.add(SCENARIO, format!("{name}: delivered until all were"), run.delivered_a_second(), "/s");
    report.add(SCENARIO, format!("{name}: processor time for 1,000"), run.cpu_for_1000(), "s");
    report.expect_all(SCENARIO, run.burst.accepted, run.arrived);
    Ok(())
}

/// Each takes every event that the generator sends.
fn wishes() -> [(&'static str, Value); 8] {
    let conditions = json!({
        "n": { "gte": 0 },
        "pad": { "prefix": "x" },
        "any": [{ "country": "CH" }, { "t": { "exists": true } }],
    });
    [
        ("nothing", json!({})),
        ("a filter with four conditions", json!({ "filter": conditions })),
        ("format standard", json!({ "payloadFormat": "standard" })),
        ("format cloudevents", json!({ "payloadFormat": "cloudevents" })),
        ("format cloudevents-binary", json!({ "payloadFormat": "cloudevents-binary" })),
        ("Ed25519 signatures", json!({ "signingProfile": "standard-v1a" })),
        ("order without keys, which is one queue", json!({ "ordered": true })),
        ("four headers of its own", json!({ "headers": { "x-a": "1", "x-b": "2", "x-c": "3", "x-d": "4" } })),
    ]
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["n", "t", "pad"],
        "properties": {
            "n": { "type": "integer", "minimum": 0 },
            "t": { "type": "integer" },
            "pad": { "type": "string", "maxLength": 500 },
        },
        "additionalProperties": false,
    })
}
