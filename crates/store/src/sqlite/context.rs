//! Writes that may come again: their keys and audit lines.

use angarium_domain::idempotency::{Record, Scope};
use angarium_domain::quota::Draw;
use angarium_domain::time::Timestamp;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::accounts;
use super::audit::append;
use super::fault::{Fault, Tried};
use crate::error::StoreError;
use crate::seal::MasterKey;
use crate::statements;
use crate::write::{AuditEntry, Context, Written};

/// A [`Context`] whose answer is sealed already, so that the writer does not have to.
#[derive(Default)]
pub(super) struct SealedContext {
    record: Option<SealedRecord>,
    /// When the write was made, which tells whether an older record still counts.
    made_at: Timestamp,
    audit: Option<AuditEntry>,
    draw: Option<Draw>,
}

/// A record whose body is not readable.
pub(super) struct SealedRecord {
    scope: Scope,
    fingerprint: [u8; 32],
    status: u16,
    sealed_body: Vec<u8>,
    expires_at: Timestamp,
}

/// What came of a write, before the answer of an earlier one is opened.
pub(super) enum Outcome<T> {
    Done(T),
    Seen(SealedRecord),
}

impl SealedContext {
    pub(super) fn new(context: Context, key: &MasterKey) -> SealedContext {
        let Context { idempotency, audit, draw } = context;
        let made_at = idempotency.as_ref().map(Record::made_at).unwrap_or_default();
        let record = idempotency.map(|record| SealedRecord {
            sealed_body: key.seal(&answer_row(record.scope.as_str()), &record.body),
            scope: record.scope,
            fingerprint: record.fingerprint,
            status: record.status,
            expires_at: record.expires_at,
        });
        SealedContext { record, made_at, audit, draw }
    }

    /// What was answered to the same write before.
    pub(super) fn seen(&self, db: &Connection) -> Tried<Option<SealedRecord>> {
        match &self.record {
            Some(record) => remembered(db, &record.scope, self.made_at),
            None => Ok(None),
        }
    }

    /// Whether the write can be paid for.
    pub(super) fn check(&self, db: &Connection) -> Tried<()> {
        self.draw.as_ref().map_or(Ok(()), |draw| accounts::check_draw(db, draw).map(drop))
    }

    pub(super) fn note(&self, db: &Connection) -> Tried<()> {
        if let Some(draw) = &self.draw {
            accounts::take(db, draw)?;
        }
        if let Some(record) = &self.record {
            db.prepare_cached(statements::REMEMBER)?.execute(params![
                record.scope.as_str(),
                record.fingerprint,
                record.status,
                record.sealed_body,
                record.expires_at.as_millis(),
            ])?;
        }
        if let Some(audit) = &self.audit {
            append(db, audit)?;
        }
        Ok(())
    }
}

/// What was answered under a key, if it is still remembered at `now`.
pub(super) fn remembered(db: &Connection, scope: &Scope, now: Timestamp) -> Tried<Option<SealedRecord>> {
    let mut statement = db.prepare_cached(statements::SEEN)?;
    let record = statement.query_row(params![scope.as_str(), now.as_millis()], |row| {
        Ok(SealedRecord {
            scope: scope.clone(),
            fingerprint: row.get(0)?,
            status: row.get(1)?,
            sealed_body: row.get(2)?,
            expires_at: Timestamp::from_millis(row.get(3)?),
        })
    });
    Ok(record.optional()?)
}

impl SealedRecord {
    pub(super) fn open(self, key: &MasterKey) -> Tried<Record> {
        let body = key
            .open(&answer_row(self.scope.as_str()), &self.sealed_body)
            .map_err(|error| Fault::corrupt(&format!("the answer to {:?}", self.scope.as_str()), error))?;
        Ok(Record {
            scope: self.scope,
            fingerprint: self.fingerprint,
            status: self.status,
            body: Bytes::from(body),
            expires_at: self.expires_at,
        })
    }
}

impl<T> Outcome<T> {
    pub(super) fn open(self, key: &MasterKey) -> Result<Written<T>, StoreError> {
        match self {
            Outcome::Done(value) => Ok(Written::Done(value)),
            Outcome::Seen(record) => Ok(Written::Seen(record.open(key)?)),
        }
    }
}

/// The row that an answer is sealed for.
pub(super) fn answer_row(scope: &str) -> String {
    format!("idempotency\n{scope}")
}
