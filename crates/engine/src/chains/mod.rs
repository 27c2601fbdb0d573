//! Chains: signals come to sessions, and rules decide upon them.
//!
//! A signal or a decision is written by the same append that publishes the event which tells of it, and
//! is decided again if its session has moved on meanwhile. A decision that nobody has to remember is not
//! written at all.

mod room;
mod rulebook;
mod rulebooks;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::account::{Closed, Handles};
use angarium_domain::chain::{
    Board, Decision, Explained, HandleFull, InvalidRulebook, Match, Name, Room, Rulebook, SessionFull,
    SessionId, Signal,
};
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::ids::DecisionId;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::chains::{Session, SignalsCome, Standing};
use angarium_store::directory::Snapshot;
use angarium_store::event_log::{Append, Beside};
use angarium_store::write::{Context, Written};

use crate::ids::new_id;
use crate::metrics::Metrics;
use crate::notices;
use crate::once::{Once, RepeatError, Reply};
use crate::{Caller, Desk};
use rulebooks::Rulebooks;
use turns::Turns;

/// Who asks for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody with a credential. Answers are kept under their idempotency keys.
    Known,
    /// Anybody. An answer that nothing else is written for is not kept: the same question is answered
    /// anew, and nobody fills the store by asking.
    Anybody,
}

/// Somebody sends signals faster than a session takes them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TooFast {
    /// What to tell them.
    pub message: String,
    /// When there is a place again.
    pub retry_after: Duration,
}

/// What was made of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalsAccepted {
    /// How many there were.
    pub accepted: usize,
    /// The number of the last one in its session.
    pub sequence: u64,
}

/// What was decided about a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Its name.
    pub decision_id: DecisionId,
    /// Upon which occasion.
    pub trigger: Name,
    /// What the rule says; none if no rule holds.
    pub decision: Option<Decision>,
    /// Which rule.
    pub rule_id: Option<Name>,
    /// The signals that it holds by.
    pub matched: Vec<Match>,
    /// Every rule that was tried.
    pub explained: Vec<Explained>,
    /// When.
    pub resolved_at: Timestamp,
    /// Until when it may be kept. A rule that rests after it decided decides no second time, so that
    /// its decision may not be kept at all.
    pub expires_at: Timestamp,
    /// Until when its rule rests, if it does.
    rests_until: Option<Timestamp>,
}

/// Why nothing was done about a chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The session has no room. Nothing was taken.
    #[error("{full}")]
    Full {
        /// How many there are, and were to be.
        full: SessionFull,
        /// When enough old signals have made room.
        retry_after: Duration,
    },
    /// The sessions of the handle have no room together. Nothing was written.
    #[error("{full}")]
    HandleFull {
        /// What there is, and may be.
        full: HandleFull,
        /// When to try again.
        retry_after: Duration,
    },
    /// The session has had too many lately. Nothing was taken.
    #[error(transparent)]
    TooFast(#[from] TooFast),
    /// The rules do not hold together.
    #[error("{} things are wrong with the rules", .0.len())]
    Invalid(Vec<InvalidRulebook>),
    /// A browser's page asks for a handle that does not list its origin.
    #[error("the handle does not list this origin")]
    Origin,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The session is changed by too many at once.
    #[error("the session is being changed by others; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Sessions and rules of all handles.
#[derive(Clone)]
pub struct Chains {
    desk: Desk,
    rulebooks: Rulebooks,
    turns: Arc<Turns>,
    kept: Duration,
    room: Room,
    metrics: Arc<Metrics>,
}

impl Chains {
    /// Signals are kept for `kept`, and the sessions of a handle hold as much as there is `room` for.
    pub(crate) fn new(desk: Desk, kept: Duration, room: Room, metrics: Arc<Metrics>) -> Chains {
        let rulebooks = Rulebooks::new(desk.store.clone());
        Chains { desk, rulebooks, turns: Arc::default(), kept, room, metrics }
    }

    /// Whether a stranger may ask for a handle: it must be there, and not be closed to strangers, who find
    /// none then; and it must list the page's origin if a browser names one. Nothing comes into being by
    /// asking.
    pub async fn admit(
        &self,
        handle: &Handle,
        origin: Option<&str>,
        rule: Handles,
    ) -> Result<(), ChainError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        snapshot.account.admits_reads(rule)?;
        if snapshot.version == 0 && !self.desk.store.is_known(handle).await? {
            return Err(Closed::NotFound.into());
        }
        let rulebook = self.rulebooks.of(handle, &snapshot).await?;
        if rulebook.is_closed {
            return Err(Closed::NotFound.into());
        }
        let Some(origin) = origin else { return Ok(()) };
        if rulebook.origins.admit(origin) { Ok(()) } else { Err(ChainError::Origin) }
    }

    /// Whether any handle lets pages of an origin ask: for browsers that ask before they say whom they mean.
    pub async fn is_origin_of_anybody(&self, origin: &str) -> Result<bool, StoreError> {
        self.desk.store.is_origin_of_anybody(origin).await
    }

    /// Appends signals to a session: all of them, or none. When this returns, they are on stable storage.
    /// `pace` takes places for them where the session's pace is kept: once, and only for signals that there
    /// is room for and that were not taken before under the same key.
    pub async fn record(
        &self,
        caller: Caller,
        id: SessionId,
        signals: Vec<Signal>,
        once: Once<SignalsAccepted>,
        pace: impl FnOnce() -> Result<(), TooFast> + Send,
    ) -> Result<Reply, ChainError> {
        let count = signals.len();
        let recorded = self.record_once(caller, id, signals, once, pace).await;
        match &recorded {
            Ok(reply) if reply.replayed => {}
            Ok(_) => self.metrics.signals_accepted(count),
            Err(error) => {
                if let Some(why) = error.refusal() {
                    self.metrics.signals_refused(why, count);
                }
            }
        }
        recorded
    }

    async fn record_once(
        &self,
        caller: Caller,
        id: SessionId,
        signals: Vec<Signal>,
        once: Once<SignalsAccepted>,
        pace: impl FnOnce() -> Result<(), TooFast> + Send,
    ) -> Result<Reply, ChainError> {
        let mut pace = Some(pace);
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ChainError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let _turn = self.turns.take(&caller.handle, &id).await;
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            match self.try_record(&caller, &snapshot, &id, signals.clone(), &once, &mut pace).await {
                Err(ChainError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(ChainError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    async fn try_record(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        id: &SessionId,
        signals: Vec<Signal>,
        once: &Once<SignalsAccepted>,
        pace: &mut Option<impl FnOnce() -> Result<(), TooFast> + Send>,
    ) -> Result<Reply, ChainError> {
        let handle = &caller.handle;
        let now = self.desk.clock.now();
        let come = self.numbered(handle, id, signals, now).await?;
        pace.take().map_or(Ok(()), |pace| pace())?;
        let SignalsCome { signals, next, .. } = &come;
        let events = if self.rulebooks.of(handle, snapshot).await?.publish.signals {
            let told = |signal| notices::signal_received(self.event_id(now), caller, id, signal, now);
            signals.iter().map(told).collect()
        } else {
            Vec::new()
        };
        let made = SignalsAccepted { accepted: signals.len(), sequence: next.sequence };
        self.append(caller, snapshot, events, Some(Beside::Signals(come)), &made, once).await
    }

    /// Decides upon a session. Writes only what must be remembered: a rule that rests, an event that
    /// tells of it, an answer that may be asked for again.
    pub async fn resolve(
        &self,
        caller: Caller,
        id: SessionId,
        trigger: Name,
        once: Once<Decided>,
        asker: Asker,
    ) -> Result<Reply, ChainError> {
        let began = self.desk.clock.steady();
        let resolved = self.resolve_once(caller, id, trigger, once, asker).await;
        if resolved.is_ok() {
            self.metrics.resolved(self.desk.clock.steady().saturating_sub(began));
        }
        resolved
    }

    async fn resolve_once(
        &self,
        caller: Caller,
        id: SessionId,
        trigger: Name,
        once: Once<Decided>,
        asker: Asker,
    ) -> Result<Reply, ChainError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ChainError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            match self.try_resolve(&caller, &snapshot, &id, &trigger, &once, asker).await {
                Err(ChainError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(ChainError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    async fn try_resolve(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        id: &SessionId,
        trigger: &Name,
        once: &Once<Decided>,
        asker: Asker,
    ) -> Result<Reply, ChainError> {
        let handle = &caller.handle;
        let rulebook = self.rulebooks.of(handle, snapshot).await?;
        let now = self.desk.clock.now();
        let standing = self.standing(&rulebook, handle, id, std::slice::from_ref(trigger), now).await?;
        let decided = self.decide(&rulebook, &self.board(&standing, now), trigger, now);
        let rests = self.rest(handle, id, &standing, &decided).await?;
        let tells = rulebook.publish.decisions && decided.decision.is_some();
        let events = tells.then(|| notices::decision_resolved(self.event_id(now), caller, id, &decided));
        let is_kept = once.key.is_some() && asker == Asker::Known;
        if rests.is_none() && events.is_none() && !is_kept {
            let (answer, _) = once.answer_to(&decided, now);
            self.metrics.decided(decided.decision.is_some());
            return Ok(Reply { answer, replayed: false });
        }
        let events = events.into_iter().collect();
        let reply =
            self.append(caller, snapshot, events, rests.map(Beside::Decision), &decided, once).await?;
        if !reply.replayed {
            self.metrics.decided(decided.decision.is_some());
        }
        Ok(reply)
    }

    /// Says what would be decided upon several triggers, in their order. Nothing comes of it: no rule
    /// rests, and nobody is told.
    pub async fn prefetch(
        &self,
        handle: &Handle,
        id: &SessionId,
        triggers: &[Name],
    ) -> Result<Vec<Decided>, ChainError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let rulebook = self.rulebooks.of(handle, &snapshot).await?;
        let now = self.desk.clock.now();
        let standing = self.standing(&rulebook, handle, id, triggers, now).await?;
        let board = self.board(&standing, now);
        Ok(triggers.iter().map(|trigger| self.decide(&rulebook, &board, trigger, now)).collect())
    }

    /// A session with its signals; none if there is nothing of it.
    pub async fn session(&self, handle: &Handle, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let now = self.desk.clock.now();
        let mut session = self.desk.store.session(handle, id, now.saturating_sub(self.kept)).await?;
        session.cooldowns.retain(|cooldown| cooldown.holds(now));
        let is_empty = session.signals.is_empty() && session.cooldowns.is_empty();
        Ok(Some(session).filter(|_| !is_empty))
    }

    /// What rules look at. Nothing is read where no rule could look.
    async fn standing(
        &self,
        rulebook: &Rulebook,
        handle: &Handle,
        id: &SessionId,
        triggers: &[Name],
        now: Timestamp,
    ) -> Result<Standing, StoreError> {
        if triggers.iter().all(|trigger| rulebook.of_trigger(trigger).next().is_none()) {
            return Ok(Standing::default());
        }
        self.desk.store.standing(handle, id, now.saturating_sub(self.kept)).await
    }

    fn board<'a>(&self, standing: &'a Standing, now: Timestamp) -> Board<'a> {
        Board::new(&standing.evidence, &standing.cooldowns, now, self.kept)
    }

    fn decide(&self, rulebook: &Rulebook, board: &Board<'_>, trigger: &Name, now: Timestamp) -> Decided {
        let ruling = board.rule(rulebook, trigger);
        let rest = ruling.rule.and_then(|rule| rule.cooldown_seconds);
        // What may not be decided again may not be kept and shown again either.
        let expires_at = if rest.is_some() { now } else { ruling.valid_until };
        Decided {
            decision_id: new_id(&*self.desk.ids, now),
            trigger: trigger.clone(),
            decision: ruling.rule.map(|rule| rule.decision.clone()),
            rule_id: ruling.rule.map(|rule| rule.rule_id.clone()),
            matched: ruling.matched,
            explained: ruling.explained,
            resolved_at: now,
            expires_at,
            rests_until: rest.map(|seconds| now + Duration::from_secs(u64::from(seconds))),
        }
    }

    /// Writes what there is to write, in one commit, and tells the dispatcher.
    async fn append<T>(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        events: Vec<Arc<Event>>,
        beside: Option<Beside>,
        made: &T,
        once: &Once<T>,
    ) -> Result<Reply, ChainError> {
        let mut plan = self.desk.planner.plan();
        for event in &events {
            self.desk.planner.fan_out(&mut plan, snapshot, event);
        }
        let (answer, idempotency) = once.answer_to(made, self.desk.clock.now());
        let append = Append {
            decided_upon: vec![(caller.handle.clone(), snapshot.version)],
            events,
            deliveries: plan.deliveries(),
            beside: beside.into_iter().collect(),
            // Like publishing, it leaves no line in the audit log.
            context: Context { idempotency, draw: caller.draw.clone(), audit: None },
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        if let Written::Done(()) = written {
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }

    fn event_id(&self, now: Timestamp) -> angarium_domain::ids::EventId {
        new_id(&*self.desk.ids, now)
    }
}

impl ChainError {
    /// Why signals were refused, in a word; none where it was the service's fault.
    fn refusal(&self) -> Option<&'static str> {
        match self {
            ChainError::Full { .. } => Some("session_full"),
            ChainError::HandleFull { .. } => Some("handle_full"),
            ChainError::TooFast(_) => Some("too_fast"),
            ChainError::Closed(_) => Some("closed"),
            ChainError::Repeat(_) => Some("key"),
            ChainError::Overloaded { .. } => Some("overloaded"),
            ChainError::Invalid(_) | ChainError::Origin | ChainError::Store(_) => None,
        }
    }
}
