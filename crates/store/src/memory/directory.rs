//! Handles with their subscriptions and tokens, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use angarium_domain::access::Token;
use angarium_domain::account::Account;
use angarium_domain::auto_disable::Outage;
use angarium_domain::catalog::{self, Catalog};
use angarium_domain::chain::Rulebook;
use angarium_domain::delivery::State;
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{SubscriptionId, TokenId};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use super::deliveries::Lane;
use super::{Contents, MemoryStore};
use crate::directory::{CANCELLED_AT_ONCE, Change, Directory, Entry, Snapshot};
use crate::error::StoreError;
use crate::write::{Context, Written};

/// Everything about a handle.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) version: u64,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Arc<Entry>>,
    pub(super) outages: BTreeMap<SubscriptionId, Outage>,
    pub(super) tokens: BTreeMap<TokenId, Arc<Token>>,
    pub(super) event_types: BTreeMap<EventType, catalog::Entry>,
    pub(super) catalog_version: u64,
    pub(super) rulebook: Rulebook,
    pub(super) account: Account,
}

impl Stored {
    /// Takes the new state of a subscription, in a new version.
    pub(super) fn put(&mut self, entry: Arc<Entry>) {
        self.version += 1;
        self.subscriptions.insert(entry.subscription.id, entry);
    }
}

#[async_trait]
impl Directory for MemoryStore {
    async fn snapshot(&self, handle: &Handle) -> Result<Snapshot, StoreError> {
        let contents = self.lock();
        let snapshot = contents.accounts.get(handle).map(|account| Snapshot {
            version: account.version,
            subscriptions: account.subscriptions.values().cloned().collect(),
            tokens: account.tokens.values().cloned().collect(),
            catalog_version: account.catalog_version,
            rulebook_version: account.rulebook.version,
            account: account.account.clone(),
        });
        Ok(snapshot.unwrap_or_default())
    }

    async fn catalog(&self, handle: &Handle) -> Result<Catalog, StoreError> {
        let contents = self.lock();
        let catalog = contents
            .accounts
            .get(handle)
            .map(|account| Catalog::new(account.catalog_version, account.event_types.values().cloned()));
        Ok(catalog.unwrap_or_default())
    }

    async fn change(
        &self,
        handle: &Handle,
        version: u64,
        change: Change,
        now: Timestamp,
        context: Context,
    ) -> Result<Written<u64>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        if contents.version(handle) != version {
            return Err(StoreError::Conflict);
        }
        contents.apply(handle, change, now);
        contents.note(context);
        Ok(Written::Done(contents.version(handle)))
    }

    async fn cancel_removed(&self, limit: u32, now: Timestamp) -> Result<bool, StoreError> {
        let mut contents = self.lock();
        let Some(lane) = contents.endings.first().cloned() else { return Ok(false) };
        if contents.cancel(&lane, limit, now) < limit {
            contents.endings.remove(&lane);
        }
        Ok(true)
    }

    async fn holder_of_token(&self, id: TokenId) -> Result<Option<Handle>, StoreError> {
        let contents = self.lock();
        let holder = contents.accounts.iter().find(|(_, account)| account.tokens.contains_key(&id));
        Ok(holder.map(|(handle, _)| handle.clone()))
    }

    async fn touch_token(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        let mut contents = self.lock();
        let token = contents.accounts.values_mut().find_map(|account| account.tokens.get_mut(&id));
        if let Some(token) = token {
            Arc::make_mut(token).last_used_at = Some(at);
        }
        Ok(())
    }

    async fn outages(&self) -> Result<Vec<(Handle, SubscriptionId, Outage)>, StoreError> {
        let contents = self.lock();
        let of = |(handle, account): (&Handle, &Stored)| {
            account.outages.iter().map(|(id, outage)| (handle.clone(), *id, *outage)).collect::<Vec<_>>()
        };
        Ok(contents.accounts.iter().flat_map(of).collect())
    }

    async fn note_outage(
        &self,
        handle: &Handle,
        id: SubscriptionId,
        outage: Option<Outage>,
    ) -> Result<(), StoreError> {
        let mut contents = self.lock();
        let Some(account) = contents.accounts.get_mut(handle) else { return Ok(()) };
        match outage {
            Some(outage) if account.subscriptions.contains_key(&id) => {
                account.outages.insert(id, outage);
            }
            Some(_) | None => {
                account.outages.remove(&id);
            }
        }
        Ok(())
    }
}

impl Contents {
    /// The version of a handle. 0: nothing was ever written about it.
    pub(super) fn version(&self, handle: &Handle) -> u64 {
        self.accounts.get(handle).map_or(0, |account| account.version)
    }

    pub(super) fn has_subscription(&self, handle: &Handle, id: SubscriptionId) -> bool {
        self.accounts.get(handle).is_some_and(|account| account.subscriptions.contains_key(&id))
    }

    fn apply(&mut self, handle: &Handle, change: Change, now: Timestamp) {
        let account = self.accounts.entry(handle.clone()).or_default();
        account.version += 1;
        self.make(handle, change, now);
    }

    fn make(&mut self, handle: &Handle, change: Change, now: Timestamp) {
        let account = self.accounts.entry(handle.clone()).or_default();
        match change {
            Change::Several(changes) => {
                for change in changes {
                    self.make(handle, change, now);
                }
            }
            Change::Put(entry) => {
                account.subscriptions.insert(entry.subscription.id, entry);
            }
            Change::Remove(id) => {
                account.subscriptions.remove(&id);
                account.outages.remove(&id);
                self.remove_tallies(handle, id);
                let lane = (handle.clone(), id);
                if self.cancel(&lane, CANCELLED_AT_ONCE, now) == CANCELLED_AT_ONCE {
                    self.endings.insert(lane);
                }
            }
            Change::AddToken(token) => {
                account.tokens.insert(token.id, Arc::new(token));
            }
            Change::RevokeToken(id) => {
                account.tokens.remove(&id);
            }
            Change::PutEventType(entry) => {
                account.event_types.insert(entry.event_type.clone(), *entry);
                account.catalog_version = account.version;
            }
            Change::RemoveEventType(event_type) => {
                account.event_types.remove(&event_type);
                account.catalog_version = account.version;
            }
            Change::SetRulebook(rulebook) => {
                account.rulebook = *rulebook;
                account.rulebook.version = account.version;
            }
            Change::SetAccount(new) => account.account = *new,
        }
    }

    /// Cancels at most `limit` scheduled deliveries of a lane, and answers how many there were.
    fn cancel(&mut self, lane: &Lane, limit: u32, at: Timestamp) -> u32 {
        let due = self.deliveries.scheduled(lane).map(|(_, id)| id);
        let ids: Vec<_> = due.chain(self.deliveries.waiting(lane)).take(limit as usize).collect();
        for id in &ids {
            self.deliveries.change(&lane.0, *id, |row| row.delivery.state = State::Cancelled { at });
        }
        ids.len() as u32
    }
}
