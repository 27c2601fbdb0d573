//! Chains, in `SQLite`.

use angarium_domain::chain::{
    Confidence, Cooldown, Evidence, Metadata, Name, Progress, Recorded, Rulebook, SessionId, Signal, Source,
    Value,
};
use angarium_domain::handle::Handle;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

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

    async fn progress(&self, handle: &Handle, id: &SessionId) -> Result<Progress, StoreError> {
        let (handle, id) = (handle.clone(), id.clone());
        self.read(move |db| progress(db, &handle, &id)).await
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
    Ok(progress(db, &come.handle, &come.session_id)? == come.after)
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
    Ok(())
}

pub(super) fn rule_may_rest(db: &Connection, rests: &RuleRests) -> Tried<bool> {
    let key = params![rests.handle.as_str(), rests.session_id.as_str(), rests.cooldown.rule_id.as_str()];
    let mut statement = db.prepare_cached(statements::LAST_DECISION)?;
    let last = statement.query_and_then(key, |row| row::id(row, 0))?.next().transpose()?;
    Ok(last == rests.after)
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
    Ok(())
}

/// Forgets old signals, those that came first before the others, and sessions without any.
pub(super) fn forget_signals(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let mut statement = db.prepare_cached(statements::OLD_SIGNALS)?;
    let old = statement.query_and_then(params![cutoffs.signals_come_by.as_millis(), limit], |row| {
        let key: (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(key)
    })?;
    let old = old.collect::<Tried<Vec<_>>>()?;
    for (handle, id, sequence) in &old {
        db.prepare_cached(statements::FORGET_SIGNAL)?.execute(params![handle, id, sequence])?;
        db.prepare_cached(statements::SHRINK_SESSION)?.execute([handle, id])?;
        db.prepare_cached(statements::END_SESSION)?.execute([handle, id])?;
    }
    Ok(old.len() as u64)
}

/// Forgets decisions whose rules rest no more.
pub(super) fn forget_cooldowns(db: &Connection, cutoffs: Cutoffs, limit: u32) -> Tried<u64> {
    let over = params![cutoffs.keys_ended_by.as_millis(), limit];
    Ok(db.prepare_cached(statements::FORGET_COOLDOWNS)?.execute(over)? as u64)
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
