//! What the operator says of handles, and their end, in `SQLite`.

use angarium_domain::account::{Account, Presence};
use angarium_domain::handle::Handle;
use angarium_domain::ids::DeliveryId;
use angarium_domain::quota::{Day, Draw};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::chains;
use super::context_store::clear_sources;
use super::fault::{Fault, Tried};
use super::inboxes;
use super::row::{self, from_json};
use crate::accounts::{Accounts, Known};
use crate::error::StoreError;
use crate::statements;

#[async_trait]
impl Accounts for SqliteStore {
    async fn accounts(&self, after: Option<Handle>, limit: u32) -> Result<Vec<Known>, StoreError> {
        self.read(move |db| {
            let after = after.as_ref().map_or("", Handle::as_str);
            let mut statement = db.prepare_cached(statements::ACCOUNTS)?;
            let rows = statement.query_and_then(params![after, limit], |row| {
                let version: i64 = row.get(1)?;
                let account = account_in(row, 2)?;
                Ok(Known { handle: row::handle(row, 0)?, version: version as u64, account })
            })?;
            rows.collect()
        })
        .await
    }

    async fn drawn(&self, handle: &Handle, day: Day) -> Result<u32, StoreError> {
        let handle = handle.clone();
        self.read(move |db| drawn(db, &handle, day)).await
    }

    async fn leaving(&self) -> Result<Vec<Handle>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(statements::LEAVING)?;
            statement.query_and_then([], |row| row::handle(row, 0))?.collect()
        })
        .await
    }

    async fn clear(&self, handle: &Handle, limit: u32) -> Result<u64, StoreError> {
        let handle = handle.clone();
        self.write(move |db| clear(db, &handle, limit)).await
    }
}

/// The account of a handle; the default one of a handle that nothing was said about.
pub(super) fn account(db: &Connection, handle: &Handle) -> Tried<Account> {
    let mut statement = db.prepare_cached(statements::ACCOUNT)?;
    let mut rows = statement.query_and_then([handle.as_str()], |row| account_in(row, 0))?;
    rows.next().transpose().map(Option::unwrap_or_default)
}

/// Refuses what was begun before the handle's present life, or after its end.
pub(super) fn require_owner(db: &Connection, handle: &Handle, begun_at: Timestamp) -> Tried<()> {
    if account(db, handle)?.owns_what_was_begun_at(begun_at) {
        return Ok(());
    }
    Err(Fault::Refused(StoreError::Conflict))
}

fn account_in(row: &Row<'_>, column: usize) -> Tried<Account> {
    row.get_ref(column)?.as_bytes_or_null()?.map_or_else(|| Ok(Account::default()), from_json)
}

/// Where an account stands on the way out, in the words of the schema.
pub(super) fn removal(account: &Account) -> i64 {
    match account.presence {
        Presence::Undeclared | Presence::Declared { .. } => 0,
        Presence::Leaving { .. } => 1,
        Presence::Gone { .. } => 2,
    }
}

fn drawn(db: &Connection, handle: &Handle, day: Day) -> Tried<u32> {
    let mut statement = db.prepare_cached(statements::DRAWN)?;
    let used = statement.query_row(params![handle.as_str(), day.number()], |row| row.get(0)).optional()?;
    Ok(used.unwrap_or(0))
}

/// How many writes there are with this one, if there is room for it.
pub(super) fn check_draw(db: &Connection, draw: &Draw) -> Tried<u32> {
    let used = drawn(db, &draw.handle, draw.day)?;
    draw.take(used).map_err(|exhausted| Fault::Refused(StoreError::Exhausted(Box::new(exhausted))))
}

pub(super) fn take(db: &Connection, draw: &Draw) -> Tried<()> {
    let used = check_draw(db, draw)?;
    let handle = draw.handle.as_str();
    db.prepare_cached(statements::DRAW)?.execute(params![handle, draw.day.number(), used])?;
    if used == 1 {
        let old = draw.day.a_year_earlier();
        db.prepare_cached(statements::FORGET_DRAWN)?.execute(params![handle, old.number()])?;
    }
    Ok(())
}

fn clear(db: &Connection, handle: &Handle, limit: u32) -> Tried<u64> {
    let mut cleared = clear_deliveries(db, handle, limit)?;
    // A delivery is never without its event.
    let events = if cleared < limit as usize { limit } else { 0 };
    for (sql, limit) in [
        (statements::CLEAR_SUBSCRIPTIONS, limit),
        (statements::CLEAR_OUTAGES, limit),
        (statements::CLEAR_ENDINGS, limit),
        (statements::CLEAR_TOKENS, limit),
        (statements::CLEAR_EVENT_TYPES, limit),
        (statements::CLEAR_CATALOG, limit),
        (statements::CLEAR_REPLAYS, limit),
        (statements::CLEAR_VOICE_NOTES, limit),
        (statements::CLEAR_REPORTS, limit),
        (statements::CLEAR_TALLIES, limit),
        (statements::CLEAR_DRAWN, limit),
        (statements::CLEAR_ALERTS, limit),
        (statements::CLEAR_MAILBOXES, limit),
        (statements::CLEAR_RULEBOOK, limit),
        (statements::CLEAR_ORIGINS, limit),
        (statements::CLEAR_EVENTS, events),
    ] {
        cleared += db.prepare_cached(sql)?.execute(params![handle.as_str(), limit])?;
    }
    cleared += inboxes::clear(db, handle, limit)?;
    cleared += chains::clear(db, handle, limit)?;
    cleared += clear_sources(db, handle, limit)?;
    // The scope of a key begins with its handle, and a line break that no handle has.
    let (from, to) = (format!("{handle}\n"), format!("{handle}\u{b}"));
    cleared += db.prepare_cached(statements::CLEAR_KEYS)?.execute(params![from, to, limit])?;
    Ok(cleared as u64)
}

fn clear_deliveries(db: &Connection, handle: &Handle, limit: u32) -> Tried<usize> {
    let mut statement = db.prepare_cached(statements::CLEARED_DELIVERIES)?;
    let rows = statement.query_and_then(params![handle.as_str(), limit], |row| row::id(row, 0))?;
    let ids: Vec<DeliveryId> = rows.collect::<Tried<_>>()?;
    for id in &ids {
        db.prepare_cached(statements::FORGET_ATTEMPTS)?.execute([id.as_bytes()])?;
        db.prepare_cached(statements::FORGET_DELIVERY)?.execute(params![handle.as_str(), id.as_bytes()])?;
    }
    Ok(ids.len())
}
