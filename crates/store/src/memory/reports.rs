//! Reports, in memory.

use angarium_domain::ids::ReportId;
use angarium_domain::report::{Closing, Kind, Report, Sort, Status, Told, Untold};
use angarium_domain::retention::Cutoffs;
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::reports::{ReportFilter, Reports};
use crate::write::{Context, Written};

#[async_trait]
impl Reports for MemoryStore {
    async fn create_report(
        &self,
        report: Report,
        strangers_max: u32,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        if let Some(handle) = &report.handle {
            contents.require_owner(handle, report.created_at)?;
        }
        if contents.reports.contains_key(&report.id) {
            return Err(StoreError::Conflict);
        }
        contents.gather_report(&report);
        contents.reports.insert(report.id, report);
        contents.trim_strangers_reports(strangers_max as usize);
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn move_report(
        &self,
        report: Report,
        before: Option<Closing>,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        let known = contents.reports.get_mut(&report.id).filter(|known| known.closing == before);
        *known.ok_or(StoreError::Conflict)? = report;
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn remove_report(&self, id: ReportId, context: Context) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.reports.remove(&id).ok_or(StoreError::Conflict)?;
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn report(&self, id: ReportId) -> Result<Option<Report>, StoreError> {
        Ok(self.lock().reports.get(&id).cloned())
    }

    async fn reports(&self, filter: ReportFilter, page: PageRequest) -> Result<Page<Report>, StoreError> {
        let ReportFilter { kind, status } = filter;
        let contents = self.lock();
        let end = ReportId::from_bytes(page.before.unwrap_or([0xFF; 16]));
        let older = contents.reports.range(..end).rev().map(|(_, report)| report);
        let wanted = older
            .filter(|report| kind.is_none_or(|kind| report.kind == kind))
            .filter(|report| status.is_none_or(|status| report.status() == status));
        let items = wanted.take(page.limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, page.limit, |report: &Report| *report.id.as_bytes()))
    }

    async fn open_reports(&self, limit: u32) -> Result<Vec<(Kind, u32)>, StoreError> {
        let contents = self.lock();
        let open = contents.reports.values().filter(|report| report.status() == Status::Open);
        let mut kinds: Vec<_> = open.map(|report| report.kind).collect();
        kinds.sort_unstable();
        kinds.truncate(limit as usize);
        let counted = kinds.chunk_by(|one, next| one == next);
        Ok(counted.map(|same| (same[0], same.len() as u32)).collect())
    }

    async fn untold_reports(&self) -> Result<Vec<Untold>, StoreError> {
        Ok(self.lock().untold_reports.values().cloned().collect())
    }
}

impl Contents {
    pub(super) fn forget_reports(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let is_old = |report: &&Report| {
            report.id < ReportId::floor(cutoffs.reports_before)
                || report.is_of_a_stranger() && report.id < ReportId::floor(cutoffs.strangers_reports_before)
        };
        let old = self.reports.values().filter(is_old).map(|report| report.id);
        let ids: Vec<ReportId> = old.take(limit as usize).collect();
        for id in &ids {
            self.reports.remove(id);
        }
        ids.len() as u64
    }

    fn gather_report(&mut self, report: &Report) {
        let sort = Sort::of(report);
        let untold = match self.untold_reports.remove(&sort) {
            Some(untold) => untold.and(report),
            None => Untold::of(report),
        };
        self.untold_reports.insert(sort, untold);
    }

    pub(super) fn may_tell_of_reports(&self, told: &Told) -> bool {
        self.untold_reports.get(&told.sort).is_some_and(|untold| untold.due_at == told.due_at)
    }

    pub(super) fn note_reports_told(&mut self, told: &Told) {
        if let Some(untold) = self.untold_reports.remove(&told.sort) {
            self.untold_reports.insert(told.sort, untold.after(told));
        }
    }

    fn trim_strangers_reports(&mut self, strangers_max: usize) {
        let of_strangers = self.reports.values().rev().filter(|report| report.is_of_a_stranger());
        let beyond: Vec<ReportId> = of_strangers.skip(strangers_max).map(|report| report.id).collect();
        for id in &beyond {
            self.reports.remove(id);
        }
    }
}
