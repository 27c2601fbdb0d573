//! The audit log, in `SQLite`.

#[cfg(test)]
mod tests;

use std::path::Path;

use angarium_domain::audit::{AuditEntry, AuditRow, Broken, ChainHash, Difference, Head};
use angarium_domain::handle::Handle;
use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::SqliteStore;
use super::conditions::Conditions;
use super::fault::{Fault, Tried};
use super::row;
use super::schema;
use crate::audit::{AuditFilter, AuditLog, number_at, position};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::statements;

/// Where `meta` has the head.
const HEAD: &str = "audit head";
/// The schema from which on rows are chained.
const CHAINED_SINCE: u32 = 7;
/// Rows in memory at a time while a chain is walked.
const WALK_ROWS: u32 = 1000;

/// What walking a store's chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The last row that the rows before it lead to.
    pub head: Head,
    /// How the chain goes on after it, if not well.
    pub broken: Option<Broken>,
    /// Whether each head that the caller has noted is in the chain, if it was reached.
    pub noted: Vec<(Head, bool)>,
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn audit(
        &self,
        handle: &Handle,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditRow>, StoreError> {
        let mut query = Conditions::of(statements::SELECT_AUDIT, handle).audit(&filter);
        if let Some(before) = page.before {
            query = query.and("number <", sql_number(number_at(before)));
        }
        let query = query.first("number DESC", page.limit + 1);
        let items = self.read(move |db| query.query(db, audit_row)).await?;
        Ok(Page::cut(items, page.limit, |row: &AuditRow| position(row.number)))
    }

    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.write(move |db| append(db, &entry)).await
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        self.read(|db| Ok(head(db)?.unwrap_or_default())).await
    }

    async fn chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.read(move |db| chain(db, after, limit)).await
    }
}

/// Puts an entry at the end of the chain.
pub(super) fn append(db: &Connection, entry: &AuditEntry) -> Tried<()> {
    let row = head(db)?.unwrap_or_default().append(entry.clone());
    let AuditRow { entry, .. } = &row;
    db.prepare_cached(statements::AUDIT)?.execute(params![
        sql_number(row.number),
        entry.at.as_millis(),
        entry.handle.as_str(),
        entry.actor,
        entry.action,
        entry.object,
        entry.request_id,
        entry.ip.map(|ip| ip.to_string()),
        entry.difference.before,
        entry.difference.after,
        row.previous.as_bytes(),
        row.hash.as_bytes(),
    ])?;
    put_head(db, row.head())
}

/// Chains the rows that are older than the chain: once, when a store of an older version is opened.
pub(super) fn chain_older_rows(db: &mut Connection) -> Tried<()> {
    let transaction = db.transaction()?;
    if head(&transaction)?.is_none() {
        let head = chain_rows(&transaction)?;
        put_head(&transaction, head)?;
        transaction.commit()?;
    }
    Ok(())
}

fn chain_rows(db: &Transaction<'_>) -> Tried<Head> {
    let mut head = Head::default();
    loop {
        let mut statement = db.prepare_cached(statements::AUDIT_AFTER)?;
        let rows = statement
            .query_and_then(params![sql_number(head.number), WALK_ROWS], unchained_row)?
            .collect::<Tried<Vec<_>>>()?;
        let Some(_) = rows.last() else { return Ok(head) };
        for (number, entry) in rows {
            // With the number that it has: a gap from before the chain shows in it.
            let row = AuditRow::new(number, head.hash, entry);
            db.prepare_cached(statements::CHAIN_AUDIT)?.execute(params![
                row.previous.as_bytes(),
                row.hash.as_bytes(),
                sql_number(number)
            ])?;
            head = row.head();
        }
    }
}

/// Walks the chain of a store that may be in use, reading only, and looks for the heads that the
/// caller noted earlier.
///
/// # Errors
///
/// [`StoreError::Unavailable`] if the file cannot be read, or is older than the chain.
pub fn walk_audit(path: &Path, noted: &[Head]) -> Result<Walked, StoreError> {
    let refused = |why: String| StoreError::Unavailable {
        reason: format!("the audit log of {} cannot be read: {why}", path.display()),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(|error| refused(error.to_string()))?;
    // One view from the first row to the head, however much is written meanwhile.
    let view = db.transaction().map_err(|error| refused(error.to_string()))?;
    let schema = schema::schema_version(&view).map_err(|error| refused(error.to_string()))?;
    if schema < CHAINED_SINCE {
        return Err(refused(format!(
            "its schema is {schema}, rows are chained from {CHAINED_SINCE} on; start the service once"
        )));
    }
    Ok(walk(&view, noted)?)
}

fn walk(db: &Connection, noted: &[Head]) -> Tried<Walked> {
    let mut noted: Vec<(Head, bool)> = noted.iter().map(|head| (*head, *head == Head::default())).collect();
    let mut statement = db.prepare(statements::AUDIT_CHAIN)?;
    let mut rows = statement.query([])?;
    let mut head = Head::default();
    while let Some(row) = rows.next()? {
        let unreadable = |fault| Broken::Unreadable {
            number: head.number + 1,
            reason: StoreError::from(fault).to_string(),
        };
        match audit_row(row).map_err(unreadable).and_then(|row| head.follow(&row)) {
            Ok(next) => head = next,
            Err(broken) => return Ok(Walked { head, broken: Some(broken), noted }),
        }
        for (noted, found) in &mut noted {
            *found |= *noted == head;
        }
    }
    let expected = self::head(db)?.unwrap_or_default();
    let broken = (expected != head).then_some(Broken::End { expected, found: head });
    Ok(Walked { head, broken, noted })
}

fn chain(db: &Connection, after: u64, limit: u32) -> Tried<Vec<AuditRow>> {
    let mut statement = db.prepare_cached(statements::AUDIT_AFTER)?;
    statement.query_and_then(params![sql_number(after), limit], audit_row)?.collect()
}

/// The head, once there is one.
fn head(db: &Connection) -> Tried<Option<Head>> {
    let mut statement = db.prepare_cached(statements::META)?;
    let stored: Option<Vec<u8>> = statement.query_row([HEAD], |row| row.get(0)).optional()?;
    let read = |bytes: Vec<u8>| Head::from_bytes(&bytes).ok_or_else(|| Fault::Corrupt(HEAD.to_owned()));
    stored.map(read).transpose()
}

fn put_head(db: &Connection, head: Head) -> Tried<()> {
    db.prepare_cached(statements::PUT_META)?.execute(params![HEAD, head.to_bytes()])?;
    Ok(())
}

fn unchained_row(row: &Row<'_>) -> Tried<(u64, AuditEntry)> {
    let number: i64 = row.get(0)?;
    let ip = row.get_ref(7)?.as_str_or_null()?;
    let entry = AuditEntry {
        at: row::time(row, 1)?,
        handle: row::handle(row, 2)?,
        actor: row.get(3)?,
        action: row.get::<_, String>(4)?.into(),
        object: row.get(5)?,
        request_id: row.get(6)?,
        ip: ip
            .map(str::parse)
            .transpose()
            .map_err(|error| Fault::corrupt("the address of an audit row", error))?,
        difference: Difference { before: row.get(8)?, after: row.get(9)? },
    };
    Ok((number as u64, entry))
}

fn audit_row(row: &Row<'_>) -> Tried<AuditRow> {
    let (number, entry) = unchained_row(row)?;
    let hash = |column| row.get::<_, [u8; 32]>(column).map(ChainHash::from_bytes);
    Ok(AuditRow { number, entry, previous: hash(10)?, hash: hash(11)? })
}

/// A number as the database has it: none is so high that it is not the same.
fn sql_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
