//! Handles with their subscriptions and tokens, in `SQLite`.

use std::sync::Arc;

use angarium_domain::access::Token;
use angarium_domain::auto_disable::Outage;
use angarium_domain::catalog::{self, Catalog};
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{SubscriptionId, TokenId};
use angarium_domain::secret::SigningKeys;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use secrecy::{ExposeSecret, SecretString};

use super::SqliteStore;
use super::accounts;
use super::chains;
use super::context::SealedContext;
use super::event_log::version;
use super::fault::{Fault, Tried};
use super::row::{self, from_json, json};
use crate::directory::{CANCELLED_AT_ONCE, Change, Directory, Entry, Snapshot};
use crate::error::StoreError;
use crate::seal::MasterKey;
use crate::statements;
use crate::write::{Context, Written};

#[async_trait]
impl Directory for SqliteStore {
    async fn snapshot(&self, handle: &Handle) -> Result<Snapshot, StoreError> {
        let handle = handle.clone();
        let key = self.key().clone();
        self.read(move |db| snapshot(db, &handle, &key)).await
    }

    async fn catalog(&self, handle: &Handle) -> Result<Catalog, StoreError> {
        let handle = handle.clone();
        self.read(move |db| catalog(db, &handle)).await
    }

    async fn change(
        &self,
        handle: &Handle,
        version: u64,
        change: Change,
        now: Timestamp,
        context: Context,
    ) -> Result<Written<u64>, StoreError> {
        let handle = handle.clone();
        let change = SealedChange::of(change, self.key());
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            let next = next_version(db, &handle, version)?;
            change.write(db, &handle, next, now)?;
            put_version(db, &handle, next)?;
            context.note(db)?;
            Ok(next)
        })
        .await
    }

    async fn cancel_removed(&self, limit: u32, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |db| cancel_removed(db, limit, now)).await
    }

    async fn holder_of_token(&self, id: TokenId) -> Result<Option<Handle>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::HOLDER_OF_TOKEN)?;
            let mut rows = statement.query_and_then([id.as_bytes()], |row| row::handle(row, 0))?;
            rows.next().transpose()
        })
        .await
    }

    async fn touch_token(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| {
            db.prepare_cached(statements::TOUCH_TOKEN)?.execute(params![at.as_millis(), id.as_bytes()])?;
            Ok(())
        })
        .await
    }

    async fn outages(&self) -> Result<Vec<(Handle, SubscriptionId, Outage)>, StoreError> {
        self.read(outages).await
    }

    async fn note_outage(
        &self,
        handle: &Handle,
        id: SubscriptionId,
        outage: Option<Outage>,
    ) -> Result<(), StoreError> {
        let handle = handle.clone();
        self.write(move |db| note_outage(db, &handle, id, outage)).await
    }
}

fn outages(db: &Connection) -> Tried<Vec<(Handle, SubscriptionId, Outage)>> {
    let mut statement = db.prepare_cached(statements::OUTAGES)?;
    let outages = statement.query_and_then([], |row| {
        let warned_at = row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis);
        Ok((row::handle(row, 0)?, row::id(row, 1)?, Outage { since: row::time(row, 2)?, warned_at }))
    })?;
    outages.collect()
}

fn note_outage(db: &Connection, handle: &Handle, id: SubscriptionId, outage: Option<Outage>) -> Tried<()> {
    let handle = handle.as_str();
    match outage {
        Some(Outage { since, warned_at }) => {
            let row = params![since.as_millis(), warned_at.map(Timestamp::as_millis), handle, id.as_bytes()];
            db.prepare_cached(statements::PUT_OUTAGE)?.execute(row)?;
        }
        None => {
            db.prepare_cached(statements::END_OUTAGE)?.execute(params![handle, id.as_bytes()])?;
        }
    }
    Ok(())
}

/// A subscription's new state as it goes to disk.
pub(super) struct SealedEntry {
    handle: Handle,
    id: SubscriptionId,
    subscription: Vec<u8>,
    keys: Vec<u8>,
}

impl SealedEntry {
    pub(super) fn of(entry: &Entry, key: &MasterKey) -> SealedEntry {
        let handle = entry.subscription.handle.clone();
        let id = entry.subscription.id;
        SealedEntry {
            subscription: key.seal(&subscription_row(&handle, id), &json(&entry.subscription)),
            keys: key.seal(&keys_row(&handle, id), entry.keys.to_stored().expose_secret().as_bytes()),
            handle,
            id,
        }
    }

    fn write(&self, db: &Connection) -> Tried<()> {
        let row = params![self.handle.as_str(), self.id.as_bytes(), self.subscription, self.keys];
        db.prepare_cached(statements::PUT_SUBSCRIPTION)?.execute(row)?;
        Ok(())
    }

    /// Writes it in the version after the present one.
    pub(super) fn write_next(&self, db: &Connection) -> Tried<()> {
        put_version(db, &self.handle, version(db, &self.handle)? + 1)?;
        self.write(db)
    }
}

/// A [`Change`] as it goes to disk.
enum SealedChange {
    Put(SealedEntry),
    Remove(SubscriptionId),
    AddToken { id: TokenId, token: Vec<u8>, last_used_at: Option<Timestamp> },
    RevokeToken(TokenId),
    PutEventType { event_type: EventType, entry: Vec<u8> },
    RemoveEventType(EventType),
    SetRulebook { rulebook: Vec<u8>, origins: Vec<String> },
    SetAccount { account: Vec<u8>, removal: i64 },
    Several(Vec<SealedChange>),
}

impl SealedChange {
    fn of(change: Change, key: &MasterKey) -> SealedChange {
        match change {
            Change::Put(entry) => SealedChange::Put(SealedEntry::of(&entry, key)),
            Change::Remove(id) => SealedChange::Remove(id),
            Change::AddToken(token) => {
                SealedChange::AddToken { id: token.id, token: json(&token), last_used_at: token.last_used_at }
            }
            Change::RevokeToken(id) => SealedChange::RevokeToken(id),
            Change::PutEventType(entry) => {
                SealedChange::PutEventType { event_type: entry.event_type.clone(), entry: json(&entry) }
            }
            Change::RemoveEventType(event_type) => SealedChange::RemoveEventType(event_type),
            Change::SetRulebook(rulebook) => SealedChange::SetRulebook {
                rulebook: rulebook.to_stored(),
                origins: rulebook.origins.texts().into_iter().map(str::to_owned).collect(),
            },
            Change::SetAccount(account) => {
                SealedChange::SetAccount { account: json(&account), removal: accounts::removal(&account) }
            }
            Change::Several(changes) => SealedChange::Several(
                changes.into_iter().map(|change| SealedChange::of(change, key)).collect(),
            ),
        }
    }

    fn write(&self, db: &Connection, owner: &Handle, version: u64, now: Timestamp) -> Tried<()> {
        let handle = owner.as_str();
        match self {
            SealedChange::Several(changes) => {
                changes.iter().try_for_each(|change| change.write(db, owner, version, now))?;
            }
            SealedChange::Put(entry) => entry.write(db)?,
            SealedChange::Remove(id) => {
                db.prepare_cached(statements::REMOVE_SUBSCRIPTION)?
                    .execute(params![handle, id.as_bytes()])?;
                db.prepare_cached(statements::END_OUTAGE)?.execute(params![handle, id.as_bytes()])?;
                db.prepare_cached(statements::REMOVE_TALLIES)?.execute(params![handle, id.as_bytes()])?;
                if cancel(db, handle, id.as_bytes(), CANCELLED_AT_ONCE, now)? == CANCELLED_AT_ONCE {
                    db.prepare_cached(statements::BEGIN_ENDING)?.execute(params![handle, id.as_bytes()])?;
                }
            }
            SealedChange::AddToken { id, token, last_used_at } => {
                let row = params![handle, id.as_bytes(), token, last_used_at.map(Timestamp::as_millis)];
                db.prepare_cached(statements::ADD_TOKEN)?.execute(row)?;
            }
            SealedChange::RevokeToken(id) => {
                db.prepare_cached(statements::REVOKE_TOKEN)?.execute(params![handle, id.as_bytes()])?;
            }
            SealedChange::PutEventType { event_type, entry } => {
                let row = params![handle, event_type.as_str(), entry];
                db.prepare_cached(statements::PUT_EVENT_TYPE)?.execute(row)?;
                db.prepare_cached(statements::PUT_CATALOG)?.execute(params![handle, version as i64])?;
            }
            SealedChange::RemoveEventType(event_type) => {
                let row = params![handle, event_type.as_str()];
                db.prepare_cached(statements::REMOVE_EVENT_TYPE)?.execute(row)?;
                db.prepare_cached(statements::PUT_CATALOG)?.execute(params![handle, version as i64])?;
            }
            SealedChange::SetRulebook { rulebook, origins } => {
                chains::put_rulebook(db, handle, version, rulebook, origins)?;
            }
            SealedChange::SetAccount { account, removal } => {
                db.prepare_cached(statements::PUT_ACCOUNT)?.execute(params![handle, account, removal])?;
            }
        }
        Ok(())
    }
}

fn put_version(db: &Connection, handle: &Handle, version: u64) -> Tried<()> {
    db.prepare_cached(statements::PUT_VERSION)?.execute(params![handle.as_str(), version as i64])?;
    Ok(())
}

/// Cancels at most `limit` scheduled deliveries of a lane, and answers how many there were.
fn cancel(
    db: &Connection,
    handle: &str,
    subscription_id: &[u8; 16],
    limit: u32,
    now: Timestamp,
) -> Tried<u32> {
    let mut cancelled = 0;
    for statement in [statements::CANCEL_SCHEDULED, statements::CANCEL_WAITING] {
        let lane = params![now.as_millis(), handle, subscription_id, limit - cancelled];
        cancelled += db.prepare_cached(statement)?.execute(lane)? as u32;
    }
    Ok(cancelled)
}

fn cancel_removed(db: &Connection, limit: u32, now: Timestamp) -> Tried<bool> {
    let ending = db.prepare_cached(statements::ENDING)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
    let Some((handle, id)): Option<(String, [u8; 16])> = ending.optional()? else { return Ok(false) };
    if cancel(db, &handle, &id, limit, now)? < limit {
        db.prepare_cached(statements::END)?.execute(params![handle, id])?;
    }
    Ok(true)
}

fn next_version(db: &Connection, handle: &Handle, decided_upon: u64) -> Tried<u64> {
    if version(db, handle)? == decided_upon {
        Ok(decided_upon + 1)
    } else {
        Err(Fault::Refused(StoreError::Conflict))
    }
}

fn snapshot(db: &Connection, handle: &Handle, key: &MasterKey) -> Tried<Snapshot> {
    let mut subscriptions = db.prepare_cached(statements::SUBSCRIPTIONS)?;
    let mut tokens = db.prepare_cached(statements::TOKENS)?;
    Ok(Snapshot {
        version: version(db, handle)?,
        subscriptions: subscriptions
            .query_and_then([handle.as_str()], |row| entry(row, handle, key).map(Arc::new))?
            .collect::<Tried<_>>()?,
        tokens: tokens
            .query_and_then([handle.as_str()], |row| token(row).map(Arc::new))?
            .collect::<Tried<_>>()?,
        catalog_version: catalog_version(db, handle)?,
        rulebook_version: chains::rulebook_version(db, handle)?,
        account: accounts::account(db, handle)?,
    })
}

fn catalog(db: &Connection, handle: &Handle) -> Tried<Catalog> {
    let version = catalog_version(db, handle)?;
    let mut entries = db.prepare_cached(statements::EVENT_TYPES)?;
    let entries = entries
        .query_and_then([handle.as_str()], |row| from_json::<catalog::Entry>(row.get_ref(0)?.as_bytes()?))?
        .collect::<Tried<Vec<_>>>()?;
    Ok(Catalog::new(version, entries))
}

fn catalog_version(db: &Connection, handle: &Handle) -> Tried<u64> {
    let version: Option<i64> = db
        .prepare_cached(statements::CATALOG_VERSION)?
        .query_row([handle.as_str()], |row| row.get(0))
        .optional()?;
    Ok(version.unwrap_or(0) as u64)
}

fn entry(row: &Row<'_>, handle: &Handle, key: &MasterKey) -> Tried<Entry> {
    let id: SubscriptionId = row::id(row, 0)?;
    let open = |name: String, column: usize| {
        let sealed = row.get_ref(column)?.as_bytes()?;
        key.open(&name, sealed).map_err(|error| Fault::corrupt(&id.to_string(), error))
    };
    let subscription: Subscription = from_json(&open(subscription_row(handle, id), 1)?)?;
    let keys = String::from_utf8(open(keys_row(handle, id), 2)?)
        .map_err(|error| Fault::corrupt(&id.to_string(), error.utf8_error()))?;
    let keys = SigningKeys::from_stored(&SecretString::from(keys))
        .map_err(|error| Fault::corrupt(&id.to_string(), error))?;
    Ok(Entry { subscription, keys: Arc::new(keys) })
}

fn token(row: &Row<'_>) -> Tried<Token> {
    let token: Token = from_json(row.get_ref(0)?.as_bytes()?)?;
    let last_used_at = row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
    Ok(Token { last_used_at, ..token })
}

pub(super) fn subscription_row(handle: &Handle, id: SubscriptionId) -> String {
    format!("subscription\n{handle}\n{id}")
}

pub(super) fn keys_row(handle: &Handle, id: SubscriptionId) -> String {
    format!("keys\n{handle}\n{id}")
}
