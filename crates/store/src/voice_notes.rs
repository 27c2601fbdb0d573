//! Voice notes. Their files are elsewhere: see [`crate::blobs`].

use angarium_domain::handle::Handle;
use angarium_domain::ids::VoiceNoteId;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{Full, Holdings, Quota, Status, VoiceNote};
use async_trait::async_trait;

use crate::error::StoreError;
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Voice notes of all handles. What an event tells of, that a note is ready or was refused, is written with the
/// event: [`crate::event_log::Beside::VoiceNote`].
#[async_trait]
pub trait VoiceNotes: Send + Sync {
    /// Writes a new note, if its handle's quota has room for it. What the handle holds is counted in the same
    /// transaction, so any number of notes announced at once are held to it together.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if its id is taken, or if the handle does not own what was begun when the note was
    /// announced. That there is no room is no error of the store: nothing was
    /// written then, and the answer says why.
    async fn create_voice_note(
        &self,
        note: VoiceNote,
        quota: Quota,
        context: Context,
    ) -> Result<Written<Result<(), Full>>, StoreError>;

    /// One note of a handle.
    async fn voice_note(&self, handle: &Handle, id: VoiceNoteId) -> Result<Option<VoiceNote>, StoreError>;

    /// A handle's notes, newest first; those in one state, if one is named.
    async fn voice_notes(
        &self,
        handle: &Handle,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<VoiceNote>, StoreError>;

    /// Writes a note's new state.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is not, or no longer, in the state `from`.
    async fn move_voice_note(
        &self,
        note: VoiceNote,
        from: Status,
        context: Context,
    ) -> Result<Written<()>, StoreError>;

    /// Removes a note.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is not there.
    async fn remove_voice_note(
        &self,
        handle: &Handle,
        id: VoiceNoteId,
        context: Context,
    ) -> Result<Written<()>, StoreError>;

    /// Notes of all handles whose files are to be listened to: what to go on with after a restart.
    async fn processing_voice_notes(&self) -> Result<Vec<VoiceNote>, StoreError>;

    /// At most `limit` pending notes of all handles whose time has passed at `now`.
    async fn overdue_voice_notes(&self, now: Timestamp, limit: u32) -> Result<Vec<VoiceNote>, StoreError>;

    /// Which of these notes, of whatever handle, hold their file. The files of the others are rubbish.
    async fn holding_files(&self, ids: Vec<VoiceNoteId>) -> Result<Vec<VoiceNoteId>, StoreError>;

    /// What the place of the files is marked with: `fresh` if this store was never asked, and what it was then for
    /// ever after. A copy of a store has the same.
    async fn mark_of_files(&self, fresh: String) -> Result<String, StoreError>;

    /// How much a handle holds. Counts in time proportional to it.
    async fn holdings(&self, handle: &Handle) -> Result<Holdings, StoreError>;
}
