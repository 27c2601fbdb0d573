//! Voice notes, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::ids::VoiceNoteId;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{Full, Holdings, Quota, Status, VoiceNote};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::accounts::require_owner;
use super::conditions::Conditions;
use super::context::SealedContext;
use super::fault::{Fault, Tried};
use super::row::{from_json, json};
use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::statements;
use crate::voice_notes::VoiceNotes;
use crate::write::{Context, Written};

/// The row that says what the place of the files is marked with.
const FILES_MARK: &str = "files of voice notes";

#[async_trait]
impl VoiceNotes for SqliteStore {
    async fn create_voice_note(
        &self,
        note: VoiceNote,
        quota: Quota,
        context: Context,
    ) -> Result<Written<Result<(), Full>>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            require_owner(db, &note.handle, note.created_at)?;
            if let Err(full) = quota.admits(holdings(db, &note.handle)?, note.held_bytes()) {
                return Ok(Err(full));
            }
            let (handle, id) = (note.handle.as_str(), note.id.as_bytes());
            let row = params![handle, id, state(note.status()), held(&note), ends_at(&note), json(&note)];
            db.prepare_cached(statements::INSERT_VOICE_NOTE)?.execute(row)?;
            context.note(db)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn voice_note(&self, handle: &Handle, id: VoiceNoteId) -> Result<Option<VoiceNote>, StoreError> {
        let handle = handle.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::VOICE_NOTE)?;
            let mut rows = statement.query_and_then(params![handle.as_str(), id.as_bytes()], note)?;
            rows.next().transpose()
        })
        .await
    }

    async fn voice_notes(
        &self,
        handle: &Handle,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<VoiceNote>, StoreError> {
        let mut query = Conditions::of(statements::SELECT_VOICE_NOTES, handle);
        if let Some(status) = status {
            query = query.and("state =", state(status));
        }
        if let Some(before) = page.before {
            query = query.and("id <", before.to_vec());
        }
        let query = query.first("id DESC", page.limit + 1);
        let items = self.read(move |db| query.query(db, note)).await?;
        Ok(Page::cut(items, page.limit, |note: &VoiceNote| *note.id.as_bytes()))
    }

    async fn move_voice_note(
        &self,
        note: VoiceNote,
        from: Status,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let context = SealedContext::new(context, self.key());
        self.write_once(context, move |db, context| {
            check(db, &note, from)?;
            put(db, &note)?;
            context.note(db)
        })
        .await
    }

    async fn remove_voice_note(
        &self,
        handle: &Handle,
        id: VoiceNoteId,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        let (handle, context) = (handle.clone(), SealedContext::new(context, self.key()));
        self.write_once(context, move |db, context| {
            let mut statement = db.prepare_cached(statements::REMOVE_VOICE_NOTE)?;
            match statement.execute(params![handle.as_str(), id.as_bytes()])? {
                0 => Err(Fault::Refused(StoreError::Conflict)),
                _ => context.note(db),
            }
        })
        .await
    }

    async fn processing_voice_notes(&self) -> Result<Vec<VoiceNote>, StoreError> {
        self.read(|db| {
            db.prepare_cached(statements::PROCESSING_VOICE_NOTES)?.query_and_then([], note)?.collect()
        })
        .await
    }

    async fn overdue_voice_notes(&self, now: Timestamp, limit: u32) -> Result<Vec<VoiceNote>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::OVERDUE_VOICE_NOTES)?;
            statement.query_and_then(params![now.as_millis(), limit], note)?.collect()
        })
        .await
    }

    async fn holding_files(&self, ids: Vec<VoiceNoteId>) -> Result<Vec<VoiceNoteId>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(statements::HOLDS_FILE)?;
            let mut holding = Vec::with_capacity(ids.len());
            for id in ids {
                if statement.exists([id.as_bytes()])? {
                    holding.push(id);
                }
            }
            Ok(holding)
        })
        .await
    }

    async fn mark_of_files(&self, fresh: String) -> Result<String, StoreError> {
        self.write(move |db| {
            let mut statement = db.prepare_cached(statements::META)?;
            let known: Option<Vec<u8>> = statement.query_row([FILES_MARK], |row| row.get(0)).optional()?;
            let Some(known) = known else {
                db.prepare_cached(statements::PUT_META)?.execute(params![FILES_MARK, fresh.as_bytes()])?;
                return Ok(fresh.clone());
            };
            String::from_utf8(known).map_err(|error| Fault::corrupt(FILES_MARK, error))
        })
        .await
    }

    async fn holdings(&self, handle: &Handle) -> Result<Holdings, StoreError> {
        let handle = handle.clone();
        self.read(move |db| holdings(db, &handle)).await
    }
}

/// Whether a note is in the state that it is to be moved from.
pub(super) fn check(db: &Connection, note: &VoiceNote, from: Status) -> Tried<()> {
    let mut statement = db.prepare_cached(statements::VOICE_NOTE_STANDS)?;
    let stands = statement.exists(params![note.handle.as_str(), note.id.as_bytes(), state(from)])?;
    if stands { Ok(()) } else { Err(Fault::Refused(StoreError::Conflict)) }
}

/// Writes a note's new state.
pub(super) fn put(db: &Connection, note: &VoiceNote) -> Tried<()> {
    let (handle, id) = (note.handle.as_str(), note.id.as_bytes());
    let row = params![state(note.status()), held(note), ends_at(note), json(note), handle, id];
    db.prepare_cached(statements::MOVE_VOICE_NOTE)?.execute(row)?;
    Ok(())
}

fn holdings(db: &Connection, handle: &Handle) -> Tried<Holdings> {
    let mut statement = db.prepare_cached(statements::HOLDINGS)?;
    let (notes, bytes): (i64, i64) =
        statement.query_row([handle.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Holdings { notes: notes as u64, bytes: bytes as u64 })
}

/// A state in the words of the schema.
fn state(status: Status) -> i64 {
    match status {
        Status::PendingUpload => 0,
        Status::Processing => 1,
        Status::Ready => 2,
        Status::Failed => 3,
        Status::Expired => 4,
    }
}

fn held(note: &VoiceNote) -> i64 {
    note.held_bytes() as i64
}

fn ends_at(note: &VoiceNote) -> Option<i64> {
    note.ends_at().map(Timestamp::as_millis)
}

fn note(row: &Row<'_>) -> Tried<VoiceNote> {
    from_json(row.get_ref(0)?.as_bytes()?)
}
