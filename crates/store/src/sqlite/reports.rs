//! Reports, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReportId;
use angarium_domain::report::{Kind, Report};
use async_trait::async_trait;
use rusqlite::{Row, params};

use super::SqliteStore;
use super::accounts::require_owner;
use super::context::SealedContext;
use super::fault::{Fault, Tried};
use super::row::{from_json, json};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::reports::Reports;
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
            let row = params![report.id.as_bytes(), number(report.kind), handle, stranger, json(&report)];
            db.prepare_cached(statements::INSERT_REPORT)?.execute(row)?;
            if stranger {
                db.prepare_cached(statements::TRIM_STRANGERS_REPORTS)?.execute([strangers_max])?;
            }
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
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::REPORT)?;
            let mut rows = statement.query_and_then([id.as_bytes()], report)?;
            rows.next().transpose()
        })
        .await
    }

    async fn reports(&self, kind: Option<Kind>, page: PageRequest) -> Result<Page<Report>, StoreError> {
        let before = page.before.unwrap_or([0xFF; 16]);
        let items = self.read(move |db| {
            let limit = page.limit + 1;
            match kind {
                Some(kind) => db
                    .prepare_cached(statements::REPORTS_OF_KIND)?
                    .query_and_then(params![number(kind), before, limit], report)?
                    .collect(),
                None => db
                    .prepare_cached(statements::REPORTS)?
                    .query_and_then(params![before, limit], report)?
                    .collect(),
            }
        });
        Ok(Page::cut(items.await?, page.limit, |report: &Report| *report.id.as_bytes()))
    }
}

/// A kind in the words of the schema.
fn number(kind: Kind) -> i64 {
    match kind {
        Kind::Support => 0,
        Kind::Escalation => 1,
        Kind::Content => 2,
    }
}

fn report(row: &Row<'_>) -> Tried<Report> {
    from_json(row.get_ref(0)?.as_bytes()?)
}
