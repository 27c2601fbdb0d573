//! Reports to whoever runs the service.

use angarium_domain::ids::ReportId;
use angarium_domain::report::{Closing, Kind, Report, Status, Untold};
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Which reports to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportFilter {
    /// Those of one kind.
    pub kind: Option<Kind>,
    /// Those that stand so.
    pub status: Option<Status>,
}

/// Reports of everybody. Those of a handle go with it.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Writes a report, and adds it to those that nobody was told of. If that makes more than `strangers_max` of
    /// those without a credential, the oldest of them go.
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

    /// Writes the new state of a report.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is not there, or its closing is another one than `before`.
    async fn move_report(
        &self,
        report: Report,
        before: Option<Closing>,
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

    /// Reports, newest first.
    async fn reports(&self, filter: ReportFilter, page: PageRequest) -> Result<Page<Report>, StoreError>;

    /// How many reports of each kind are open, the kinds without one left out; counts no further than `limit`.
    async fn open_reports(&self, limit: u32) -> Result<Vec<(Kind, u32)>, StoreError>;

    /// What of each sort of report was not told of, and when it may be: also where nothing is left of it.
    /// [`Beside::ReportsTold`](crate::event_log::Beside::ReportsTold) takes away what is told of.
    async fn untold_reports(&self) -> Result<Vec<Untold>, StoreError>;
}
