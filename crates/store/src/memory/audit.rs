//! The audit log, in memory.

use angarium_domain::audit::{AuditEntry, AuditRow, Head};
use angarium_domain::handle::Handle;
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::audit::{AuditFilter, AuditLog, number_at, position};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};

#[async_trait]
impl AuditLog for MemoryStore {
    async fn audit(
        &self,
        handle: &Handle,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditRow>, StoreError> {
        let contents = self.lock();
        let before = page.before.map_or(u64::MAX, number_at);
        let older = contents.audit.iter().rev().filter(|row| row.number < before);
        let matching = older.filter(|row| row.entry.handle == *handle && filter.matches(&row.entry));
        let items = matching.take(page.limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, page.limit, |row: &AuditRow| position(row.number)))
    }

    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.lock().append_audit(entry);
        Ok(())
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        Ok(self.lock().audit_head())
    }

    async fn chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let contents = self.lock();
        let rows = contents.audit.iter().filter(|row| row.number > after);
        Ok(rows.take(limit as usize).cloned().collect())
    }
}

impl Contents {
    fn audit_head(&self) -> Head {
        self.audit.last().map(AuditRow::head).unwrap_or_default()
    }

    pub(super) fn append_audit(&mut self, entry: AuditEntry) {
        let row = self.audit_head().append(entry);
        self.audit.push(row);
    }
}
