//! Chains, in memory.

use std::collections::BTreeMap;

use angarium_domain::chain::{
    Cooldown, Holdings, Name, Origins, Progress, Recorded, Room, Rulebook, SessionId,
};
use angarium_domain::handle::Handle;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::chains::{Chains, RuleRests, Session, SignalsCome, Standing};
use crate::error::StoreError;

/// Sessions and resting rules of all handles.
#[derive(Default)]
pub(super) struct Sessions {
    ledgers: BTreeMap<(Handle, SessionId), Ledger>,
    cooldowns: BTreeMap<(Handle, SessionId, Name), Cooldown>,
}

#[derive(Default)]
struct Ledger {
    progress: Progress,
    signals: Vec<Recorded>,
}

#[async_trait]
impl Chains for MemoryStore {
    async fn rulebook(&self, handle: &Handle) -> Result<Rulebook, StoreError> {
        let contents = self.lock();
        Ok(contents.accounts.get(handle).map(|account| account.rulebook.clone()).unwrap_or_default())
    }

    async fn is_origin_of_anybody(&self, origin: &str) -> Result<bool, StoreError> {
        let contents = self.lock();
        let listed = |origins: &Origins| origins.texts().iter().any(|text| [origin, "*"].contains(text));
        Ok(contents.accounts.values().any(|account| listed(&account.rulebook.origins)))
    }

    async fn is_known(&self, handle: &Handle) -> Result<bool, StoreError> {
        let contents = self.lock();
        Ok(contents.version(handle) > 0
            || contents.events.keys().any(|(owner, _)| owner == handle)
            || contents.sessions.ledgers.keys().any(|(owner, _)| owner == handle))
    }

    async fn progress(&self, handle: &Handle, id: &SessionId) -> Result<(Progress, Holdings), StoreError> {
        let contents = self.lock();
        Ok((contents.sessions.progress(handle, id), contents.sessions.holdings(handle)))
    }

    async fn sessions_held(&self) -> Result<u64, StoreError> {
        Ok(self.lock().sessions.ledgers.len() as u64)
    }

    async fn standing(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Standing, StoreError> {
        let Session { signals, cooldowns, .. } = self.session(handle, id, since).await?;
        Ok(Standing { evidence: signals.iter().map(Recorded::evidence).collect(), cooldowns })
    }

    async fn session(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Session, StoreError> {
        let contents = self.lock();
        let sessions = &contents.sessions;
        let of_it = |(owner, session, _): &(Handle, SessionId, Name)| owner == handle && session == id;
        let cooldowns = sessions.cooldowns.iter().filter(|(key, _)| of_it(key));
        let ledger = sessions.ledgers.get(&(handle.clone(), id.clone()));
        let signals = ledger.iter().flat_map(|ledger| &ledger.signals).filter(|signal| signal.at > since);
        Ok(Session {
            progress: sessions.progress(handle, id),
            signals: signals.cloned().collect(),
            cooldowns: cooldowns.map(|(_, cooldown)| cooldown.clone()).collect(),
        })
    }
}

impl Sessions {
    fn progress(&self, handle: &Handle, id: &SessionId) -> Progress {
        let ledger = self.ledgers.get(&(handle.clone(), id.clone()));
        ledger.map(|ledger| ledger.progress).unwrap_or_default()
    }

    /// What a handle's sessions hold: counted, where the other engine keeps count.
    fn holdings(&self, handle: &Handle) -> Holdings {
        let ledgers = self.ledgers.iter().filter(|((owner, _), _)| owner == handle);
        let signals =
            ledgers.clone().flat_map(|((_, id), ledger)| ledger.signals.iter().map(|it| it.bytes(id)));
        let rests = self.cooldowns.iter().filter(|((owner, ..), _)| owner == handle);
        let rests = rests.map(|((_, id, _), cooldown)| cooldown.bytes(id));
        Holdings { sessions: ledgers.count() as u64, bytes: signals.chain(rests).sum() }
    }

    fn has_room(&self, handle: &Handle, room: Room, more: Holdings) -> bool {
        room.take(self.holdings(handle), more).is_ok()
    }

    pub(super) fn may_come(&self, come: &SignalsCome) -> bool {
        self.progress(&come.handle, &come.session_id) == come.after
            && self.has_room(&come.handle, come.room, come.adds())
    }

    pub(super) fn come(&mut self, come: &SignalsCome) {
        let ledger = self.ledgers.entry((come.handle.clone(), come.session_id.clone())).or_default();
        ledger.progress = come.next;
        ledger.signals.extend(come.signals.iter().cloned());
    }

    pub(super) fn may_rest(&self, rests: &RuleRests) -> bool {
        let last = self.cooldowns.get(&key_of(rests));
        last.map(|cooldown| cooldown.decision_id) == rests.after
            && self.has_room(&rests.handle, rests.room, rests.adds())
    }

    pub(super) fn rest(&mut self, rests: &RuleRests) {
        self.cooldowns.insert(key_of(rests), rests.cooldown.clone());
    }

    /// Removes what belongs to a handle, at most `limit` of each kind, and answers how much it was.
    pub(super) fn clear(&mut self, handle: &Handle, limit: usize) -> usize {
        let sessions = self.ledgers.iter().filter(|((owner, _), _)| owner == handle);
        let ids: Vec<SessionId> = sessions.map(|((_, id), _)| id.clone()).take(limit).collect();
        for id in &ids {
            self.ledgers.remove(&(handle.clone(), id.clone()));
        }
        let before = self.cooldowns.len();
        self.cooldowns.retain(|(owner, ..), _| owner != handle);
        ids.len() + before - self.cooldowns.len()
    }
}

impl Contents {
    /// Forgets old signals, those that came first before the others, and sessions without any.
    pub(super) fn forget_signals(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let ledgers = &mut self.sessions.ledgers;
        let mut old: Vec<_> = ledgers
            .iter()
            .flat_map(|(key, ledger)| ledger.signals.iter().map(move |it| (it.at, key.clone(), it.sequence)))
            .filter(|(at, ..)| *at <= cutoffs.signals_come_by)
            .collect();
        old.sort();
        old.truncate(limit as usize);
        for (_, key, sequence) in &old {
            let ledger = ledgers.get_mut(key).expect("it was found there");
            ledger.signals.retain(|signal| signal.sequence != *sequence);
            ledger.progress.signals -= 1;
            if ledger.signals.is_empty() {
                ledgers.remove(key);
            }
        }
        old.len() as u64
    }

    /// Forgets decisions whose rules rest no more.
    pub(super) fn forget_cooldowns(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let cooldowns = &mut self.sessions.cooldowns;
        let mut over: Vec<_> = cooldowns
            .iter()
            .map(|(key, cooldown)| (cooldown.until, key.clone()))
            .filter(|(until, _)| *until <= cutoffs.keys_ended_by)
            .collect();
        over.sort();
        over.truncate(limit as usize);
        for (_, key) in &over {
            cooldowns.remove(key);
        }
        over.len() as u64
    }
}

fn key_of(rests: &RuleRests) -> (Handle, SessionId, Name) {
    (rests.handle.clone(), rests.session_id.clone(), rests.cooldown.rule_id.clone())
}
