//! Chains, in `SQLite`.

use std::collections::BTreeMap;

use angarium_domain::chain::{
    Confidence, Cooldown, Evidence, Holdings, Metadata, Name, Progress, Recorded, Rulebook, SessionId,
    Signal, Source, Value,
};
use angarium_domain::handle::Handle;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::fault::{Fault, Tried};
use super::row::{self, from_json, json_text};
use crate::chains::{Chains, RuleRests, Session, SignalsCome, Standing};
use crate::error::StoreError;
use crate::statements;

#[async_trait]
impl Chains for SqliteStore {
    async fn rulebook(&self, handle: &Handle) -> Result<Rulebook, StoreError> {
        let handle = handle.clone();
        self.read(move |db| rulebook(db, &handle)).await
    }

    async fn is_origin_of_anybody(&self, origin: &str) -> Result<bool, StoreError> {
        let origin = origin.to_owned();
        self.read(move |db| Ok(db.prepare_cached(statements::ORIGIN_OF_ANYBODY)?.exists([origin])?)).await
    }

    async fn is_known(&self, handle: &Handle) -> Result<bool, StoreError> {
        let handle = handle.clone();
        self.read(move |db| Ok(db.prepare_cached(statements::IS_KNOWN)?.exists([handle.as_str()])?)).await
    }

    async fn progress(&self, handle: &Handle, id: &SessionId) -> Result<(Progress, Holdings), StoreError> {
        let (handle, id) = (handle.clone(), id.clone());
        self.read(move |db| Ok((progress(db, &handle, &id)?, holdings(db, handle.as_str())?))).await
    }

    async fn sessions_held(&self) -> Result<u64, StoreError> {
        self.read(|db| {
            let held: i64 = db.prepare_cached(statements::SESSIONS_HELD)?.query_row([], |row| row.get(0))?;
            Ok(held as u64)
        })
        .await
    }

    async fn standing(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Standing, StoreError> {
        let (handle, id) = (handle.clone(), id.clone());
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::EVIDENCE)?;
            let rows = statement
                .query_and_then(params![handle.as_str(), id.as_str(), since.as_millis()], evidence)?;
            Ok(Standing { evidence: rows.collect::<Tried<_>>()?, cooldowns: cooldowns(db, &handle, &id)? })
        })
        .await
    }

    async fn session(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Session, StoreError> {
        let (handle, id) = (handle.clone(), id.clone());
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::SIGNALS)?;
            let rows = statement
                .query_and_then(params![handle.as_str(), id.as_str(), since.as_millis()], recorded)?;
            Ok(Session {
                progress: progress(db, &handle, &id)?,
                signals: rows.collect::<Tried<_>>()?,
                cooldowns: cooldowns(db, &handle, &id)?,
            })
        })
        .await
    }
}

/// The version at which a rulebook last changed. 0: there never was one.
pub(super) fn rulebook_version(db: &Connection, handle: &Handle) -> Tried<u64> {
    let mut statement = db.prepare_cached(statements::RULEBOOK_VERSION)?;
    let version: Option<i64> = statement.query_row([handle.as_str()], |row| row.get(0)).optional()?;
    Ok(version.unwrap_or(0) as u64)
}

pub(super) fn put_rulebook(
    db: &Connection,
    handle: &str,
    version: u64,
    rulebook: &[u8],
    origins: &[String],
) -> Tried<()> {
    db.prepare_cached(statements::PUT_RULEBOOK)?.execute(params![handle, version as i64, rulebook])?;
    db.prepare_cached(statements::REMOVE_ORIGINS)?.execute([handle])?;
    for origin in origins {
        db.prepare_cached(statements::PUT_ORIGIN)?.execute([handle, origin])?;
    }
    Ok(())
}

pub(super) fn signals_may_come(db: &Connection, come: &SignalsCome) -> Tried<bool> {
    let held = holdings(db, come.handle.as_str())?;
    let has_room = come.room.take(held, come.adds()).is_ok();
    Ok(has_room && progress(db, &come.handle, &come.session_id)? == come.after)
}

pub(super) fn signals_come(db: &Connection, come: &SignalsCome) -> Tried<()> {
    let (handle, id) = (come.handle.as_str(), come.session_id.as_str());
    let Progress { sequence, signals } = come.next;
    db.prepare_cached(statements::PUT_SESSION)?.execute(params![handle, id, sequence as i64, signals])?;
    let mut insert = db.prepare_cached(statements::INSERT_SIGNAL)?;
    for Recorded { sequence, at, signal } in &come.signals {
        insert.execute(params![
            handle,
            id,
            *sequence as i64,
            at.as_millis(),
            signal.key.as_str(),
            signal.value.as_ref().map(json_text),
            signal.confidence.get(),
            signal.source.as_ref().map(Source::as_str),
            signal.metadata.as_ref().map(json_text),
        ])?;
    }
    put_holdings(db, handle, holdings(db, handle)?.with(come.adds()))
}

pub(super) fn rule_may_rest(db: &Connection, rests: &RuleRests) -> Tried<bool> {
    let key = params![rests.handle.as_str(), rests.session_id.as_str(), rests.cooldown.rule_id.as_str()];
    let mut statement = db.prepare_cached(statements::LAST_DECISION)?;
    let last = statement.query_and_then(key, |row| row::id(row, 0))?.next().transpose()?;
    let held = holdings(db, rests.handle.as_str())?;
    Ok(last == rests.after && rests.room.take(held, rests.adds()).is_ok())
}

pub(super) fn rule_rests(db: &Connection, rests: &RuleRests) -> Tried<()> {
    let Cooldown { rule_id, decision_id, decided_at, until } = &rests.cooldown;
    db.prepare_cached(statements::PUT_COOLDOWN)?.execute(params![
        rests.handle.as_str(),
        rests.session_id.as_str(),
        rule_id.as_str(),
        decision_id.as_bytes(),
        decided_at.as_millis(),
        until.as_millis(),
    ])?;
    let handle = rests.handle.as_str();
    put_holdings(db, handle, holdings(db, handle)?.with(rests.adds()))
}

/// Forgets old signals, those that came first before the others, and sessions without any.
pub(super) fn forget_signals(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let mut statement = db.prepare_cached(statements::OLD_SIGNALS)?;
    let old = statement.query_and_then(params![cutoffs.signals_come_by.as_millis(), limit], |row| {
        let key: (String, String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(key)
    })?;
    let old = old.collect::<Tried<Vec<_>>>()?;
    let mut gone = Gone::default();
    for (handle, id, sequence, bytes) in &old {
        db.prepare_cached(statements::FORGET_SIGNAL)?.execute(params![handle, id, sequence])?;
        db.prepare_cached(statements::SHRINK_SESSION)?.execute([handle, id])?;
        let sessions = db.prepare_cached(statements::END_SESSION)?.execute([handle, id])?;
        gone.add(handle, Holdings { sessions: sessions as u64, bytes: *bytes as u64 });
    }
    gone.leave(db)?;
    Ok(old.len() as u64)
}

/// Forgets decisions whose rules rest no more.
pub(super) fn forget_cooldowns(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let over = params![cutoffs.keys_ended_by.as_millis(), limit];
    Ok(delete_counted(db, statements::FORGET_COOLDOWNS, over)? as u64)
}

/// Removes what belongs to a handle, at most `limit` rows of each kind, and answers how many there were.
pub(super) fn clear(db: &Connection, handle: &Handle, limit: u32) -> Tried<usize> {
    let of_it = params![handle.as_str(), limit];
    let sessions = db.prepare_cached(statements::CLEAR_SESSIONS)?.execute(of_it)?;
    let mut gone = Gone::default();
    gone.add(handle.as_str(), Holdings { sessions: sessions as u64, bytes: 0 });
    gone.leave(db)?;
    let signals = delete_counted(db, statements::CLEAR_SIGNALS, of_it)?;
    let cleared = sessions + signals + delete_counted(db, statements::CLEAR_COOLDOWNS, of_it)?;
    if cleared == 0 {
        // Nothing is left to be counted, whatever the count says.
        db.prepare_cached(statements::CLEAR_CHAIN_TOTALS)?.execute([handle.as_str()])?;
    }
    Ok(cleared)
}

/// Deletes rows whose bytes are counted, and answers how many there were.
fn delete_counted(db: &Connection, sql: &str, asked: impl Params) -> Tried<usize> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(asked)?;
    let (mut gone, mut count) = (Gone::default(), 0);
    while let Some(row) = rows.next()? {
        let bytes: i64 = row.get(1)?;
        gone.add(row.get_ref(0)?.as_str()?, Holdings { sessions: 0, bytes: bytes as u64 });
        count += 1;
    }
    gone.leave(db)?;
    Ok(count)
}

/// What goes in a transaction, by handle.
#[derive(Default)]
struct Gone(BTreeMap<String, Holdings>);

impl Gone {
    fn add(&mut self, handle: &str, gone: Holdings) {
        let of_it = self.0.entry(handle.to_owned()).or_default();
        *of_it = of_it.with(gone);
    }

    fn leave(self, db: &Connection) -> Tried<()> {
        for (handle, gone) in self.0.into_iter().filter(|(_, gone)| *gone != Holdings::default()) {
            put_holdings(db, &handle, holdings(db, &handle)?.without(gone))?;
        }
        Ok(())
    }
}

/// What the sessions of a handle hold.
fn holdings(db: &Connection, handle: &str) -> Tried<Holdings> {
    let mut statement = db.prepare_cached(statements::CHAIN_HOLDINGS)?;
    let held = statement.query_row([handle], |row| {
        let numbers: (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Holdings { sessions: numbers.0 as u64, bytes: numbers.1 as u64 })
    });
    Ok(held.optional()?.unwrap_or_default())
}

fn put_holdings(db: &Connection, handle: &str, held: Holdings) -> Tried<()> {
    if held == Holdings::default() {
        db.prepare_cached(statements::CLEAR_CHAIN_TOTALS)?.execute([handle])?;
        return Ok(());
    }
    let row = params![handle, held.sessions as i64, held.bytes as i64];
    db.prepare_cached(statements::PUT_CHAIN_HOLDINGS)?.execute(row)?;
    Ok(())
}

fn rulebook(db: &Connection, handle: &Handle) -> Tried<Rulebook> {
    let mut statement = db.prepare_cached(statements::RULEBOOK)?;
    let mut rows = statement.query([handle.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(Rulebook::default()) };
    let version: i64 = row.get(0)?;
    Rulebook::from_stored(version as u64, row.get_ref(1)?.as_bytes()?)
        .map_err(|error| Fault::corrupt(&format!("the rulebook of {handle}"), error))
}

fn progress(db: &Connection, handle: &Handle, id: &SessionId) -> Tried<Progress> {
    let mut statement = db.prepare_cached(statements::PROGRESS)?;
    let progress = statement.query_row([handle.as_str(), id.as_str()], |row| {
        Ok(Progress { sequence: row.get::<_, i64>(0)? as u64, signals: row.get(1)? })
    });
    Ok(progress.optional()?.unwrap_or_default())
}

fn cooldowns(db: &Connection, handle: &Handle, id: &SessionId) -> Tried<Vec<Cooldown>> {
    let mut statement = db.prepare_cached(statements::COOLDOWNS)?;
    let rows = statement.query_and_then([handle.as_str(), id.as_str()], |row| {
        Ok(Cooldown {
            rule_id: name(row, 0)?,
            decision_id: row::id(row, 1)?,
            decided_at: row::time(row, 2)?,
            until: row::time(row, 3)?,
        })
    })?;
    rows.collect()
}

/// The first columns of a signal.
fn evidence(row: &Row<'_>) -> Tried<Evidence> {
    let value = row.get_ref(3)?.as_bytes_or_null()?.map(from_json::<Value>).transpose()?;
    Ok(Evidence {
        sequence: row.get::<_, i64>(0)? as u64,
        at: row::time(row, 1)?,
        key: name(row, 2)?,
        value,
        confidence: Confidence::try_from(row.get::<_, f64>(4)?)
            .map_err(|error| Fault::corrupt("a confidence", error))?,
    })
}

fn recorded(row: &Row<'_>) -> Tried<Recorded> {
    let Evidence { sequence, at, key, value, confidence } = evidence(row)?;
    let source = row.get::<_, Option<String>>(5)?.map(Source::try_from).transpose();
    let source = source.map_err(|error| Fault::corrupt("a source", error))?;
    let metadata = row.get_ref(6)?.as_bytes_or_null()?.map(from_json::<Metadata>).transpose()?;
    Ok(Recorded { sequence, at, signal: Signal { key, value, confidence, source, metadata } })
}

fn name(row: &Row<'_>, column: usize) -> Tried<Name> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error| Fault::corrupt("a name", error))
}
