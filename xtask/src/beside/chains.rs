//! Chains: signals into sessions, and decisions that each session gets once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Findings, Stage};
use crate::{
    api::{Api, HANDLE},
    asker::{Answer, Asker, by_nobody, text_of},
};

const PAUSE: Duration = Duration::from_millis(40);
/// Requests to each session, of one signal, then two, and so on.
const APPENDS: u64 = 4;
/// Signals after which the rule holds.
const ENOUGH: u64 = 2;

/// A session, and what its sender was told.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    sequence: u64,
    decisions: Vec<String>,
}

/// Says when something is decided, and that all of it is published.
pub(super) async fn prepare(stage: &Stage) -> Result<()> {
    let rule = json!({
        "ruleId": "offer", "trigger": "checkout", "decision": { "offer": "ten-percent" },
        "when": { "all": [{ "signalKey": "cart.add", "minCount": ENOUGH }] }, "cooldownSeconds": 86_400,
    });
    let rules = json!({ "rules": [rule], "publish": { "signals": true, "decisions": true } });
    stage.owner(HANDLE)?.call(Method::PUT, "/chain/rules", Some(&rules)).await?;
    Ok(())
}

/// Sends signals and asks for decisions until it is enough; odd workers are nobody in particular.
pub(super) async fn work(stage: Arc<Stage>, worker: u32) -> Result<Vec<Session>> {
    let (mut sender, mut rival) = (Sender::of(&stage, worker, "")?, Sender::of(&stage, worker, "-rival")?);
    let mut sessions = Vec::new();
    while stage.goes_on_after(PAUSE).await {
        let id = format!("session-{worker}-{}", sessions.len());
        let mut session = Session { id, sequence: 0, decisions: Vec::new() };
        for append in 1..=APPENDS {
            sender.append(&mut session, append).await?;
            // Of two who ask at once, one gets it.
            let (one, other) =
                tokio::try_join!(sender.resolve(&session.id, append), rival.resolve(&session.id, append))?;
            session.decisions.extend(one.into_iter().chain(other));
        }
        sessions.push(session);
    }
    Ok(sessions)
}

struct Sender {
    asker: Asker,
    api: Api,
    is_known: bool,
    /// What its keys end with.
    mark: &'static str,
}

impl Sender {
    fn of(stage: &Stage, worker: u32, mark: &'static str) -> Result<Sender> {
        let api = stage.owner(HANDLE)?;
        Ok(Sender { asker: stage.asker(&api), api, is_known: worker.is_multiple_of(2), mark })
    }

    async fn append(&mut self, session: &mut Session, append: u64) -> Result<()> {
        let signals: Vec<Value> =
            (0..append).map(|at| json!({ "signalKey": "cart.add", "signalValue": at })).collect();
        let body = json!({ "sessionId": session.id, "signals": signals });
        let key = format!("{}-append-{append}", session.id);
        let answer = self.ask("signals", body, &key).await?.expect(StatusCode::ACCEPTED)?;
        session.sequence += append;
        ensure!(
            answer["accepted"] == append && answer["sequence"] == session.sequence,
            "{} has {} signals, and was told {answer}",
            session.id,
            session.sequence
        );
        Ok(())
    }

    /// The decision of the rule, if it falls to this one. Asks twice by one key: both get the same, unless
    /// nobody is known who asks and there was nothing to remember.
    async fn resolve(&mut self, session: &str, append: u64) -> Result<Option<String>> {
        let body = json!({ "sessionId": session, "trigger": "checkout" });
        let key = format!("{session}-resolve-{append}{}", self.mark);
        let first = self.ask("resolve", body.clone(), &key).await?.expect(StatusCode::OK)?;
        let second = self.ask("resolve", body, &key).await?.expect(StatusCode::OK)?;
        let is_kept = self.is_known || first["ruleId"] == "offer";
        let same = first["decisionId"] == second["decisionId"];
        ensure!(same || !is_kept, "one key, two decisions: {first} and {second}");
        let offered = [first, second].into_iter().find(|answer| answer["ruleId"] == "offer");
        offered.map(|answer| text_of(&answer, "decisionId")).transpose()
    }

    async fn ask(&mut self, what: &str, mut body: Value, key: &str) -> Result<Answer> {
        if self.is_known {
            return self.asker.write(&format!("/chain/{what}"), &body, key).await;
        }
        body["handle"] = Value::from(self.api.handle());
        let path = format!("/v2/public/chain/{what}");
        let request = by_nobody(Method::POST, &path, "application/json", body.to_string())?;
        self.asker.keyed(request, key).await
    }
}

/// Compares the ledgers of all sessions, and what was told of them.
pub(super) async fn judge(stage: &Stage, sessions: Vec<Session>) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut asker = stage.asker(&stage.owner(HANDLE)?);
    let (mut signals, mut decisions) = (BTreeSet::new(), BTreeSet::new());
    for session in &sessions {
        let Session { id, sequence, decisions: given } = session;
        let shown = asker.read(&format!("/chain/{id}")).await?;
        let kept = shown["signals"].as_array().map_or(0, Vec::len) as u64;
        let whole = shown["sequence"] == *sequence && kept == *sequence;
        findings.expect(whole, || format!("{id} was told {sequence}, and is shown {shown}"));
        findings.expect(given.len() == 1, || format!("{id} was given {} decisions", given.len()));
        signals.extend((1..=*sequence).map(|number| format!("{number} of {}", Value::from(id.as_str()))));
        decisions.extend(given.iter().cloned());
    }
    let told = stage.ear.heard("chain.signal.received");
    let told = told.iter().map(|told| format!("{} of {}", told["sequence"], told["sessionId"]));
    findings.compare("event of signal", &signals, &told.collect::<Vec<_>>());
    let told = stage.ear.heard("chain.decision.resolved");
    let told: Vec<String> = told.iter().filter_map(|told| text_of(told, "decisionId").ok()).collect();
    findings.compare("event of decision", &decisions, &told);
    findings.count("signals accepted", signals.len());
    findings.count("decisions given", decisions.len());
    Ok(findings)
}
