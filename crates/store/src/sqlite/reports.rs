//! Reports, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReportId;
use angarium_domain::report::{Closing, Kind, Report, Sort, Status, Told, Untold};
use async_trait::async_trait;
use rusqlite::{Connection, Row, ToSql, params};

use super::SqliteStore;
use super::accounts::require_owner;
use super::context::SealedContext;
use super::event_log::require;
use super::fault::{Fault, Tried};
use super::row::{self, from_json, json};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::reports::{ReportFilter, Reports};
use crate::statements;
use crate::write::{Context, Written};

#[async_trait]
impl Reports for SqliteStore {
    async fn create_report(
        &self,
        report: Report,
        strangers_max: u32,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            if let Some(handle) = &report.handle {
                require_owner(db, handle, report.created_at)?;
            }
            let handle = report.handle.as_ref().map(Handle::as_str);
            let stranger = report.is_of_a_stranger();
            gather(db, &report)?;
            let row = params![report.id.as_bytes(), number(report.kind), handle, stranger, json(&report)];
            db.prepare_cached(statements::INSERT_REPORT)?.execute(row)?;
            if stranger {
                db.prepare_cached(statements::TRIM_STRANGERS_REPORTS)?.execute([strangers_max])?;
            }
            context.note(db)
        })
        .await
    }

    async fn move_report(
        &self,
        report: Report,
        before: Option<Closing>,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            require(find(db, report.id)?.is_some_and(|known| known.closing == before))?;
            let row = params![closed(report.status()), json(&report), report.id.as_bytes()];
            db.prepare_cached(statements::MOVE_REPORT)?.execute(row)?;
            context.note(db)
        })
        .await
    }

    async fn remove_report(&self, id: ReportId, context: Context) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            match db.prepare_cached(statements::REMOVE_REPORT)?.execute([id.as_bytes()])? {
                0 => Err(Fault::Refused(StoreError::Conflict)),
                _ => context.note(db),
            }
        })
        .await
    }

    async fn report(&self, id: ReportId) -> Result<Option<Report>, StoreError> {
        self.read(move |db| find(db, id)).await
    }

    async fn reports(&self, filter: ReportFilter, page: PageRequest) -> Result<Page<Report>, StoreError> {
        let before = page.before.unwrap_or([0xFF; 16]);
        let items = self.read(move |db| {
            let limit = page.limit + 1;
            let listed = |statement, key: &[&dyn ToSql]| {
                db.prepare_cached(statement)?.query_and_then(key, report)?.collect()
            };
            match (filter.kind.map(number), filter.status.map(closed)) {
                (None, None) => listed(statements::REPORTS, params![before, limit]),
                (Some(kind), None) => listed(statements::REPORTS_OF_KIND, params![kind, before, limit]),
                (None, Some(closed)) => listed(statements::REPORTS_OF_STATUS, params![closed, before, limit]),
                (Some(kind), Some(closed)) => {
                    listed(statements::REPORTS_OF_STATUS_AND_KIND, params![closed, kind, before, limit])
                }
            }
        });
        Ok(Page::cut(items.await?, page.limit, |report: &Report| *report.id.as_bytes()))
    }

    async fn open_reports(&self, limit: u32) -> Result<Vec<(Kind, u32)>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::OPEN_REPORTS)?;
            statement.query_and_then([limit], |row| Ok((kind(row.get(0)?)?, row.get(1)?)))?.collect()
        })
        .await
    }

    async fn untold_reports(&self) -> Result<Vec<Untold>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(statements::UNTOLD_REPORTS)?;
            statement.query_and_then([], untold)?.collect()
        })
        .await
    }
}

fn find(db: &Connection, id: ReportId) -> Tried<Option<Report>> {
    let mut statement = db.prepare_cached(statements::REPORT)?;
    let mut rows = statement.query_and_then([id.as_bytes()], report)?;
    rows.next().transpose()
}

fn gather(db: &Connection, report: &Report) -> Tried<()> {
    let untold = match find_untold(db, Sort::of(report))? {
        Some(untold) => untold.and(report),
        None => Untold::of(report),
    };
    put_untold(db, &untold)
}

pub(super) fn check_told(db: &Connection, told: &Told) -> Tried<()> {
    require(find_untold(db, told.sort)?.is_some_and(|untold| untold.due_at == told.due_at))
}

pub(super) fn note_told(db: &Connection, told: &Told) -> Tried<()> {
    match find_untold(db, told.sort)? {
        Some(untold) => put_untold(db, &untold.after(told)),
        None => Ok(()),
    }
}

fn find_untold(db: &Connection, sort: Sort) -> Tried<Option<Untold>> {
    let mut statement = db.prepare_cached(statements::UNTOLD_REPORTS_OF)?;
    let mut rows = statement.query_and_then(params![number(sort.kind), sort.of_strangers], untold)?;
    rows.next().transpose()
}

fn put_untold(db: &Connection, untold: &Untold) -> Tried<()> {
    let Untold { sort, gathered, first_at, last_id, due_at } = untold;
    db.prepare_cached(statements::PUT_UNTOLD_REPORTS)?.execute(params![
        number(sort.kind),
        sort.of_strangers,
        gathered,
        first_at.as_millis(),
        last_id.as_bytes(),
        due_at.as_millis(),
    ])?;
    Ok(())
}

/// A kind in the words of the schema.
fn number(kind: Kind) -> i64 {
    match kind {
        Kind::Support => 0,
        Kind::Escalation => 1,
        Kind::Content => 2,
    }
}

fn kind(number: i64) -> Tried<Kind> {
    match number {
        0 => Ok(Kind::Support),
        1 => Ok(Kind::Escalation),
        2 => Ok(Kind::Content),
        other => Err(Fault::Corrupt(format!("a report is of kind {other}"))),
    }
}

/// A status in the words of the schema.
fn closed(status: Status) -> bool {
    status == Status::Closed
}

fn untold(row: &Row<'_>) -> Tried<Untold> {
    Ok(Untold {
        sort: Sort { kind: kind(row.get(0)?)?, of_strangers: row.get(1)? },
        gathered: row.get(2)?,
        first_at: row::time(row, 3)?,
        last_id: row::id(row, 4)?,
        due_at: row::time(row, 5)?,
    })
}

fn report(row: &Row<'_>) -> Tried<Report> {
    from_json(row.get_ref(0)?.as_bytes()?)
}
