//! Chains: ledgers of sessions, rules that rest in them, and what handles say of both.

use angarium_domain::chain::{Cooldown, Evidence, Holdings, Progress, Recorded, Room, Rulebook, SessionId};
use angarium_domain::handle::Handle;
use angarium_domain::ids::DecisionId;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;

/// Signals for the end of a ledger; a [`Beside`](crate::event_log::Beside).
#[derive(Debug, Clone, PartialEq)]
pub struct SignalsCome {
    /// Whose session.
    pub handle: Handle,
    /// Which session.
    pub session_id: SessionId,
    /// How far the ledger had come when they were numbered. Refused if it has moved since.
    pub after: Progress,
    /// How far it comes with them.
    pub next: Progress,
    /// The signals, in their order.
    pub signals: Vec<Recorded>,
    /// How much the sessions of the handle may hold. Refused if they would hold more.
    pub room: Room,
}

/// A decision after which its rule rests; a [`Beside`](crate::event_log::Beside).
#[derive(Debug, Clone, PartialEq)]
pub struct RuleRests {
    /// Whose session.
    pub handle: Handle,
    /// Which session.
    pub session_id: SessionId,
    /// The last decision of the rule in this session when this one was made, if it was remembered.
    /// Refused if it is another by now.
    pub after: Option<DecisionId>,
    /// What the rule decided, and until when it rests.
    pub cooldown: Cooldown,
    /// How much the sessions of the handle may hold. Refused if they would hold more.
    pub room: Room,
}

impl SignalsCome {
    /// What they add to what the handle's sessions hold.
    pub fn adds(&self) -> Holdings {
        Holdings {
            // A session goes with the last of its signals.
            sessions: u64::from(self.after.signals == 0),
            bytes: self.signals.iter().map(|signal| signal.bytes(&self.session_id)).sum(),
        }
    }
}

impl RuleRests {
    /// What it adds to what the handle's sessions hold: nothing where an earlier decision makes room.
    pub fn adds(&self) -> Holdings {
        let is_first = self.after.is_none();
        Holdings { sessions: 0, bytes: if is_first { self.cooldown.bytes(&self.session_id) } else { 0 } }
    }
}

/// What rules look at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    /// Signals, in their order.
    pub evidence: Vec<Evidence>,
    /// The last decision of each rule that is remembered, those included whose rest is over, by rule.
    pub cooldowns: Vec<Cooldown>,
}

/// Everything about a session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session {
    /// How far its ledger has come.
    pub progress: Progress,
    /// Signals, in their order.
    pub signals: Vec<Recorded>,
    /// The last decision of each rule that is remembered, by rule.
    pub cooldowns: Vec<Cooldown>,
}

/// Chains. Signals and decisions are written by [`crate::EventLog::append`], beside the events that tell
/// of them; rulebooks by [`crate::Directory::change`].
#[async_trait]
pub trait Chains: Send + Sync {
    /// What a handle says of its chains; an empty rulebook if it never said anything.
    async fn rulebook(&self, handle: &Handle) -> Result<Rulebook, StoreError>;

    /// Whether any handle lists an origin, or lists all.
    async fn is_origin_of_anybody(&self, origin: &str) -> Result<bool, StoreError>;

    /// Whether anything is there of a handle: something that was written about it, an event, a session.
    async fn is_known(&self, handle: &Handle) -> Result<bool, StoreError>;

    /// How far a session's ledger has come, the default of one that is not there; and what the sessions
    /// of its handle hold.
    async fn progress(&self, handle: &Handle, id: &SessionId) -> Result<(Progress, Holdings), StoreError>;

    /// How many sessions with a signal there are, of all handles.
    async fn sessions_held(&self) -> Result<u64, StoreError>;

    /// What rules look at: the signals that came after `since`, and the rules that have decided. One
    /// search, in time proportional to what the session holds.
    async fn standing(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Standing, StoreError>;

    /// Everything about a session, its signals those that came after `since`.
    async fn session(&self, handle: &Handle, id: &SessionId, since: Timestamp)
    -> Result<Session, StoreError>;
}
