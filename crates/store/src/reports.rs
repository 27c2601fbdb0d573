//! Reports to whoever runs the service.

use angarium_domain::ids::ReportId;
use angarium_domain::report::{Kind, Report};
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Reports of everybody. Those of a handle go with it.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Writes a report. If that makes more than `strangers_max` of those without a credential, the oldest of them go.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its id is taken, or if it is for a handle that does not own what was begun when
    /// the report came.
    async fn create_report(
        &self,
        report: Report,
        strangers_max: u32,
        context: Context,
    ) -> Result<Written<()>, StoreError>;

    /// Removes a report.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is not there.
    async fn remove_report(&self, id: ReportId, context: Context) -> Result<Written<()>, StoreError>;

    /// One report.
    async fn report(&self, id: ReportId) -> Result<Option<Report>, StoreError>;

    /// Reports, newest first; those of one kind, if one is named.
    async fn reports(&self, kind: Option<Kind>, page: PageRequest) -> Result<Page<Report>, StoreError>;
}
