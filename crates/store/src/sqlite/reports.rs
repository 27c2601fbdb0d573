//! Reports, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReportId;
use angarium_domain::report::{Kind, Report};
use async_trait::async_trait;
use rusqlite::{Row, params};

use super::SqliteStore;
use super::context::SealedContext;
use super::fault::Tried;
use super::row::{from_json, json};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::reports::Reports;
use crate::statements;
use crate::write::{Context, Written};

#[async_trait]
impl Reports for SqliteStore {
    async fn create_report(&self, report: Report, context: Context) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            let handle = report.handle.as_ref().map(Handle::as_str);
            let row = params![report.id.as_bytes(), number(report.kind), handle, json(&report)];
            db.prepare_cached(statements::INSERT_REPORT)?.execute(row)?;
            context.note(db)
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
