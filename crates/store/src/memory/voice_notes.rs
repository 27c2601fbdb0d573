//! Voice notes, in memory.

use angarium_domain::handle::Handle;
use angarium_domain::ids::VoiceNoteId;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{Full, Holdings, Quota, Status, VoiceNote};
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::voice_notes::VoiceNotes;
use crate::write::{Context, Written};

#[async_trait]
impl VoiceNotes for MemoryStore {
    async fn create_voice_note(
        &self,
        note: VoiceNote,
        quota: Quota,
        context: Context,
    ) -> Result<Written<Result<(), Full>>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.require_owner(&note.handle, note.created_at)?;
        if let Err(full) = quota.admits(contents.holdings(&note.handle), note.held_bytes()) {
            return Ok(Written::Done(Err(full)));
        }
        let key = (note.handle.clone(), note.id);
        if contents.voice_notes.contains_key(&key) {
            return Err(StoreError::Conflict);
        }
        contents.voice_notes.insert(key, note);
        contents.note(context);
        Ok(Written::Done(Ok(())))
    }

    async fn voice_note(&self, handle: &Handle, id: VoiceNoteId) -> Result<Option<VoiceNote>, StoreError> {
        Ok(self.lock().voice_notes.get(&(handle.clone(), id)).cloned())
    }

    async fn voice_notes(
        &self,
        handle: &Handle,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<VoiceNote>, StoreError> {
        let contents = self.lock();
        let first = (handle.clone(), VoiceNoteId::from_bytes([0; 16]));
        let end = (handle.clone(), VoiceNoteId::from_bytes(page.before.unwrap_or([0xFF; 16])));
        let older = contents.voice_notes.range(first..end).rev().map(|(_, note)| note);
        let wanted = older.filter(|note| status.is_none_or(|status| note.status() == status));
        let items = wanted.take(page.limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, page.limit, |note: &VoiceNote| *note.id.as_bytes()))
    }

    async fn move_voice_note(
        &self,
        note: VoiceNote,
        from: Status,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.check_voice_note(&note, from)?;
        contents.put_voice_note(note);
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn remove_voice_note(
        &self,
        handle: &Handle,
        id: VoiceNoteId,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let mut contents = self.lock();
        if let Some(record) = contents.seen(&context)? {
            return Ok(Written::Seen(record));
        }
        contents.voice_notes.remove(&(handle.clone(), id)).ok_or(StoreError::Conflict)?;
        contents.note(context);
        Ok(Written::Done(()))
    }

    async fn processing_voice_notes(&self) -> Result<Vec<VoiceNote>, StoreError> {
        let contents = self.lock();
        let notes = contents.voice_notes.values();
        Ok(notes.filter(|note| note.status() == Status::Processing).cloned().collect())
    }

    async fn overdue_voice_notes(&self, now: Timestamp, limit: u32) -> Result<Vec<VoiceNote>, StoreError> {
        let contents = self.lock();
        let pending = contents.voice_notes.values().filter(|note| note.status() == Status::PendingUpload);
        let overdue = pending.filter(|note| note.ends_at().is_some_and(|ends_at| ends_at <= now));
        Ok(overdue.take(limit as usize).cloned().collect())
    }

    async fn holding_files(&self, ids: Vec<VoiceNoteId>) -> Result<Vec<VoiceNoteId>, StoreError> {
        let contents = self.lock();
        let holding =
            |id: &VoiceNoteId| contents.voice_notes.values().any(|note| note.id == *id && note.holds_file());
        Ok(ids.into_iter().filter(holding).collect())
    }

    async fn mark_of_files(&self, fresh: String) -> Result<String, StoreError> {
        Ok(self.lock().mark_of_files.get_or_insert(fresh).clone())
    }

    async fn holdings(&self, handle: &Handle) -> Result<Holdings, StoreError> {
        Ok(self.lock().holdings(handle))
    }
}

impl Contents {
    /// Whether a note is in the state that it is to be moved from.
    pub(super) fn check_voice_note(&self, note: &VoiceNote, from: Status) -> Result<(), StoreError> {
        let stored = self.voice_notes.get(&(note.handle.clone(), note.id));
        let holds = stored.is_some_and(|stored| stored.status() == from);
        if holds { Ok(()) } else { Err(StoreError::Conflict) }
    }

    pub(super) fn put_voice_note(&mut self, note: VoiceNote) {
        self.voice_notes.insert((note.handle.clone(), note.id), note);
    }

    pub(super) fn forget_voice_notes(&mut self, cutoffs: Cutoffs, limit: u32) -> u64 {
        let ended = self.voice_notes.iter().filter(|(_, note)| {
            !note.holds_file() && note.ends_at().is_some_and(|at| at < cutoffs.finished_before)
        });
        let keys: Vec<_> = ended.map(|(key, _)| key.clone()).take(limit as usize).collect();
        for key in &keys {
            self.voice_notes.remove(key);
        }
        keys.len() as u64
    }

    fn holdings(&self, handle: &Handle) -> Holdings {
        let notes = self.voice_notes.values().filter(|note| note.handle == *handle && note.holds_file());
        notes.fold(Holdings::default(), |sum, note| Holdings {
            notes: sum.notes + 1,
            bytes: sum.bytes + note.held_bytes(),
        })
    }
}
