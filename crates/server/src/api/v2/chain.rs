//! Chains: signals to sessions, and decisions upon them.

pub(super) mod docs;
mod forms;
pub(super) mod rules;
mod strangers;

use angarium_domain::chain::{
    Confidence, Cooldown, Decision, Explained, Failure, Match, Metadata, Name, Recorded, SessionId, Signal,
    Source, Value, Verdict,
};
use angarium_domain::handle::Handle;
use angarium_domain::ids::DecisionId;
use angarium_domain::time::Timestamp;
use angarium_engine::{Answer, Asker, Caller, Chains, Decided, Once, SignalsAccepted};
use angarium_store::chains::Session;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, found, json};
use crate::api::request::{PathSession, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;
use crate::rate::SessionPace;
use forms::Whose;

pub(super) use strangers::resolve as resolve_by_anybody;
pub(super) use strangers::{append as append_by_anybody, prefetch as prefetch_by_anybody};

/// What was made of signals.
#[derive(Serialize, ToSchema)]
#[schema(as = SignalsAccepted)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedView {
    /// How many there were.
    accepted: usize,
    #[schema(value_type = words::SessionId)]
    session_id: SessionId,
    /// The number of the last one in its session.
    sequence: u64,
    #[schema(value_type = words::RequestId)]
    request_id: String,
}

/// What was decided about a session.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainDecision)]
#[serde(rename_all = "camelCase")]
pub(super) struct DecisionView {
    #[schema(value_type = words::DecisionId)]
    decision_id: DecisionId,
    #[schema(value_type = words::Handle)]
    handle: Handle,
    #[schema(value_type = words::SessionId)]
    session_id: SessionId,
    #[schema(value_type = words::ChainName)]
    trigger: Name,
    /// What the rule says; null if no rule holds.
    #[schema(value_type = Option<words::RuleDecision>)]
    decision: Option<Decision>,
    /// Which rule.
    #[schema(value_type = Option<words::ChainName>)]
    rule_id: Option<Name>,
    /// The signals that it holds by.
    matched_signals: Vec<MatchView>,
    /// Every rule that was tried, in order; the one that decides is the last.
    explain: Vec<ExplainedView>,
    #[schema(value_type = words::Time)]
    resolved_at: Timestamp,
    /// Until when it may be kept. A decision after which its rule rests may not be kept at all.
    #[schema(value_type = words::Time)]
    expires_at: Timestamp,
}

/// What would be decided upon each trigger, in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainDecisions)]
#[serde(rename_all = "camelCase")]
pub(super) struct DecisionsView {
    #[schema(value_type = words::Handle)]
    handle: Handle,
    #[schema(value_type = words::SessionId)]
    session_id: SessionId,
    decisions: Vec<DecisionView>,
}

/// A signal that a rule holds by.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchedSignal)]
#[serde(rename_all = "camelCase")]
struct MatchView {
    sequence: u64,
    #[schema(value_type = words::ChainName)]
    signal_key: Name,
}

/// What came of trying a rule.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleExplained)]
#[serde(rename_all = "camelCase")]
struct ExplainedView {
    #[schema(value_type = words::ChainName)]
    rule_id: Name,
    #[schema(value_type = words::RuleOutcome)]
    outcome: &'static str,
    /// When it may decide again, if it rests.
    #[schema(value_type = Option<words::Time>)]
    cooling_until: Option<Timestamp>,
    /// The first condition that was not as its group asks.
    failed: Option<FailureView>,
}

/// A condition that was not as its group asks: too few signals in `all` and `any`, or enough in `none`.
#[derive(Serialize, ToSchema)]
#[schema(as = ConditionFailed)]
#[serde(rename_all = "camelCase")]
struct FailureView {
    #[schema(value_type = words::ConditionGroup)]
    group: &'static str,
    index: usize,
    #[schema(value_type = words::ChainName)]
    signal_key: Name,
    /// How many signals count.
    found: u32,
    /// How many are enough.
    needed: u32,
}

/// A session with its signals.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainSession)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionView {
    #[schema(value_type = words::Handle)]
    handle: Handle,
    #[schema(value_type = words::SessionId)]
    session_id: SessionId,
    /// The number of the last signal.
    sequence: u64,
    signals: Vec<SignalView>,
    /// Rules that have decided, and rest.
    cooldowns: Vec<CooldownView>,
}

/// A signal in its place.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedSignal)]
#[serde(rename_all = "camelCase")]
struct SignalView {
    sequence: u64,
    #[schema(value_type = words::ChainName)]
    signal_key: Name,
    #[schema(value_type = Option<words::SignalValue>)]
    signal_value: Option<Value>,
    #[schema(value_type = f64)]
    confidence: Confidence,
    #[schema(value_type = Option<String>)]
    source: Option<Source>,
    #[schema(value_type = Option<words::SignalMetadata>)]
    metadata: Option<Metadata>,
    #[schema(value_type = words::Time)]
    received_at: Timestamp,
}

/// A rule that rests in a session.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleCooldown)]
#[serde(rename_all = "camelCase")]
struct CooldownView {
    #[schema(value_type = words::ChainName)]
    rule_id: Name,
    #[schema(value_type = words::DecisionId)]
    decision_id: DecisionId,
    #[schema(value_type = words::Time)]
    decided_at: Timestamp,
    #[schema(value_type = words::Time)]
    until: Timestamp,
}

pub(super) async fn append(
    State(chains): State<Chains>,
    State(pace): State<SessionPace>,
    write: Write,
) -> Result<Answered, Problem> {
    let asked = forms::signals(write.form()?, Whose::InPath(&write.caller.handle))?;
    let (id, request_id) = (asked.session_id.clone(), write.request_id());
    let (caller, once) = write.into_parts(move |made| accepted(*made, &id, &request_id));
    recorded(chains, pace, asked, caller, once).await
}

pub(super) async fn resolve(State(chains): State<Chains>, write: Write) -> Result<Answered, Problem> {
    let asked = forms::question(write.form()?, Whose::InPath(&write.caller.handle))?;
    let (handle, id) = (asked.handle, asked.session_id.clone());
    let (caller, once) = write.into_parts(move |made| decided(made, &handle, &id));
    let known = Asker::Known;
    carried_out(async move { chains.resolve(caller, asked.session_id, asked.trigger, once, known).await })
        .await
}

pub(super) async fn prefetch(
    State(chains): State<Chains>,
    write: Write,
) -> Result<Json<DecisionsView>, Problem> {
    let asked = forms::questions(write.form()?, Whose::InPath(&write.caller.handle))?;
    prefetched(&chains, asked).await
}

pub(super) async fn get(
    State(chains): State<Chains>,
    PathSession(id): PathSession,
    read: Read,
) -> Result<Json<SessionView>, Problem> {
    let session = chains.session(&read.handle, &id).await?;
    found(session.map(|session| SessionView::of(read.handle, id, session)))
}

async fn recorded(
    chains: Chains,
    pace: SessionPace,
    asked: forms::Appended,
    caller: Caller,
    once: Once<SignalsAccepted>,
) -> Result<Answered, Problem> {
    let forms::Appended { handle, session_id, signals } = asked;
    let (id, count) = (session_id.clone(), signals.len());
    let paced = move || pace.take(&handle, &id, count);
    carried_out(async move { chains.record(caller, session_id, signals, once, paced).await }).await
}

async fn prefetched(chains: &Chains, asked: forms::Questions) -> Result<Json<DecisionsView>, Problem> {
    let forms::Questions { handle, session_id, triggers } = asked;
    let decided = chains.prefetch(&handle, &session_id, &triggers).await?;
    let decisions = decided.iter().map(|it| DecisionView::of(it, &handle, &session_id)).collect();
    Ok(Json(DecisionsView { handle, session_id, decisions }))
}

fn accepted(made: SignalsAccepted, id: &SessionId, request_id: &str) -> Answer {
    let SignalsAccepted { accepted, sequence } = made;
    let view = AcceptedView { accepted, session_id: id.clone(), sequence, request_id: request_id.to_owned() };
    json(StatusCode::ACCEPTED, &view)
}

fn decided(made: &Decided, handle: &Handle, id: &SessionId) -> Answer {
    json(StatusCode::OK, &DecisionView::of(made, handle, id))
}

impl DecisionView {
    fn of(made: &Decided, handle: &Handle, id: &SessionId) -> DecisionView {
        let matched =
            |Match { sequence, key }: &Match| MatchView { sequence: *sequence, signal_key: key.clone() };
        DecisionView {
            decision_id: made.decision_id,
            handle: handle.clone(),
            session_id: id.clone(),
            trigger: made.trigger.clone(),
            decision: made.decision.clone(),
            rule_id: made.rule_id.clone(),
            matched_signals: made.matched.iter().map(matched).collect(),
            explain: made.explained.iter().map(ExplainedView::of).collect(),
            resolved_at: made.resolved_at,
            expires_at: made.expires_at,
        }
    }
}

impl ExplainedView {
    fn of(explained: &Explained) -> ExplainedView {
        let Explained { rule_id, verdict } = explained;
        let (cooling_until, failed) = match verdict {
            Verdict::Matched => (None, None),
            Verdict::CoolingDown { until } => (Some(*until), None),
            Verdict::Failed(failure) => (None, Some(FailureView::of(failure))),
        };
        ExplainedView { rule_id: rule_id.clone(), outcome: verdict.as_str(), cooling_until, failed }
    }
}

impl FailureView {
    fn of(failure: &Failure) -> FailureView {
        let Failure { group, at, signal_key, found, needed } = failure;
        FailureView {
            group: group.as_str(),
            index: *at,
            signal_key: signal_key.clone(),
            found: *found,
            needed: *needed,
        }
    }
}

impl SessionView {
    fn of(handle: Handle, session_id: SessionId, session: Session) -> SessionView {
        let Session { progress, signals, cooldowns } = session;
        SessionView {
            handle,
            session_id,
            sequence: progress.sequence,
            signals: signals.into_iter().map(SignalView::of).collect(),
            cooldowns: cooldowns.into_iter().map(CooldownView::of).collect(),
        }
    }
}

impl SignalView {
    fn of(recorded: Recorded) -> SignalView {
        let Recorded { sequence, at, signal: Signal { key, value, confidence, source, metadata } } = recorded;
        SignalView {
            sequence,
            signal_key: key,
            signal_value: value,
            confidence,
            source,
            metadata,
            received_at: at,
        }
    }
}

impl CooldownView {
    fn of(cooldown: Cooldown) -> CooldownView {
        let Cooldown { rule_id, decision_id, decided_at, until } = cooldown;
        CooldownView { rule_id, decision_id, decided_at, until }
    }
}
