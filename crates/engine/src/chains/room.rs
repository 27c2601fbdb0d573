//! Whether there is room: in a session for signals, and in a handle for all of its sessions.

use std::time::Duration;

use angarium_domain::chain::{
    Cooldown, HandleFull, Holdings, Progress, Recorded, SessionFull, SessionId, Signal,
};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::chains::{RuleRests, SignalsCome, Standing};

use super::{ChainError, Chains, Decided};

/// When signals expire that should have expired already: the chore that forgets them comes so often.
const SWEPT_WITHIN: Duration = Duration::from_mins(1);

impl Chains {
    /// Signals with their numbers, if there is room for them.
    pub(super) async fn numbered(
        &self,
        handle: &Handle,
        id: &SessionId,
        signals: Vec<Signal>,
        now: Timestamp,
    ) -> Result<SignalsCome, ChainError> {
        let (after, held): (Progress, Holdings) = self.desk.store.progress(handle, id).await?;
        let (next, signals): (Progress, Vec<Recorded>) = match after.record(signals, now) {
            Ok(recorded) => recorded,
            Err(full) => return Err(self.full(handle, id, full, now).await?),
        };
        let (handle, session_id, room) = (handle.clone(), id.clone(), self.room);
        let come = SignalsCome { handle, session_id, after, next, signals, room };
        room.take(held, come.adds()).map_err(handle_full)?;
        Ok(come)
    }

    /// That a rule rests after what it decided, if it does and there is room to remember it.
    pub(super) async fn rest(
        &self,
        handle: &Handle,
        id: &SessionId,
        standing: &Standing,
        decided: &Decided,
    ) -> Result<Option<RuleRests>, ChainError> {
        let Some((until, rule_id)) = decided.rests_until.zip(decided.rule_id.clone()) else {
            return Ok(None);
        };
        let Decided { decision_id, resolved_at: decided_at, .. } = *decided;
        let rests = RuleRests {
            handle: handle.clone(),
            session_id: id.clone(),
            after: standing.cooldowns.iter().find(|it| it.rule_id == rule_id).map(|it| it.decision_id),
            cooldown: Cooldown { rule_id, decision_id, decided_at, until },
            room: self.room,
        };
        if rests.after.is_none() {
            let (_, held) = self.desk.store.progress(handle, id).await?;
            self.room.take(held, rests.adds()).map_err(handle_full)?;
        }
        Ok(Some(rests))
    }

    /// When a session without room has some again.
    async fn full(
        &self,
        handle: &Handle,
        id: &SessionId,
        full: SessionFull,
        now: Timestamp,
    ) -> Result<ChainError, StoreError> {
        let standing = self.desk.store.standing(handle, id, Timestamp::default()).await?;
        let last_to_go = standing.evidence.get(full.to_go().saturating_sub(1));
        let gone_at = last_to_go.map_or(now, |signal| signal.at + self.kept);
        let retry_after = if gone_at > now { gone_at.since(now) } else { SWEPT_WITHIN };
        Ok(ChainError::Full { full, retry_after: retry_after.max(Duration::from_secs(1)) })
    }
}

/// Signals go as they expire, all the time.
fn handle_full(full: HandleFull) -> ChainError {
    ChainError::HandleFull { full, retry_after: SWEPT_WITHIN }
}
