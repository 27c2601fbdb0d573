//! Voice notes: announced, uploaded, listened to, read.
//!
//! The row of a note decides what becomes of its file. A file is written before its note moves on and removed after
//! it, so a crash leaves at most a file that no note holds; the sweeper removes those.

mod files;
mod listening;
mod pace;
mod sound;
mod sweep;
mod upload;

use std::sync::Arc;

use angarium_domain::account::Closed;
use angarium_domain::audit::{Difference, changed};
use angarium_domain::handle::Handle;
use angarium_domain::ids::VoiceNoteId;
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{
    Declared, Full, Link, LinkKey, Purpose, Quota, READ_WITHIN, RefusedLink, State, Status, VoiceNote,
};
use angarium_store::StoreError;
use angarium_store::blobs::{Blob, BlobError};
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::Written;
use serde_json::json;

use crate::ids::new_id;
use crate::once::{Once, RepeatError, Reply};
use crate::turns::Turns;
use crate::{Caller, DECISIONS_MAX, Desk};

pub use files::Files;
pub use upload::{UploadError, UploadHead};

/// Files listened to at a time: each is in memory, and keeps a core busy.
const LISTENING_MAX: usize = 2;
/// Of one handle: what one sends, however hard to read, leaves a place for the others.
const LISTENING_PER_HANDLE_MAX: usize = 1;
/// Uploads at a time, and of one handle: each holds a buffer and a connection for as long as its sender takes.
const UPLOADS_MAX: usize = 256;
const UPLOADS_PER_HANDLE_MAX: usize = 32;

/// How much may be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct VoiceNoteLimits {
    /// The largest file. Two of them may be in memory at a time.
    pub bytes_max: u64,
    /// How much a handle may keep.
    pub quota: Quota,
}

impl Default for VoiceNoteLimits {
    /// 16 MiB a note; a thousand notes and 1 GiB a handle.
    fn default() -> VoiceNoteLimits {
        let mib = 1024 * 1024;
        VoiceNoteLimits { bytes_max: 16 * mib, quota: Quota { notes_max: 1000, bytes_max: 1024 * mib } }
    }
}

/// A note that was announced, and where its file goes.
#[derive(Debug, Clone)]
pub struct Announced {
    /// The note.
    pub note: VoiceNote,
    /// Where its file goes. Whoever has it may upload.
    pub address: Address,
    /// Until when.
    pub upload_until: Timestamp,
}

/// A note as its readers see it.
#[derive(Debug, Clone)]
pub struct Readable {
    /// The note.
    pub note: VoiceNote,
    /// Where its file is read, and until when. None if there is nothing to read.
    pub link: Option<(Address, Timestamp)>,
}

/// Where a file goes, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// At this service: the secret part of the address.
    Ours(String),
    /// Elsewhere: the whole address.
    Theirs(String),
}

/// Why nothing was done about a note.
#[derive(Debug, thiserror::Error)]
pub enum VoiceNoteError {
    /// The handle has no such note.
    #[error("there is no such voice note")]
    NotFound,
    /// The file would be too large.
    #[error("sizeBytes is {bytes}, the limit is {limit}")]
    TooLarge {
        /// How large.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The handle has no room.
    #[error(transparent)]
    Full(#[from] Full),
    /// The file is not there yet.
    #[error("the file was not uploaded yet")]
    UploadMissing,
    /// The file was not uploaded in time.
    #[error("the voice note expired before its upload was complete; announce another one")]
    Late,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The disk could not.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The voice notes of all handles.
#[derive(Clone)]
pub struct VoiceNotes {
    desk: Desk,
    files: Files,
    key: LinkKey,
    limits: VoiceNoteLimits,
    /// Places for those who listen.
    ears: Arc<Turns>,
    /// Places for those who upload.
    uploads: Arc<Turns>,
}

impl VoiceNotes {
    pub(crate) fn new(desk: Desk, files: Files, key: LinkKey, limits: VoiceNoteLimits) -> VoiceNotes {
        let ears = Arc::new(Turns::new(LISTENING_MAX, LISTENING_PER_HANDLE_MAX));
        let uploads = Arc::new(Turns::new(UPLOADS_MAX, UPLOADS_PER_HANDLE_MAX));
        VoiceNotes { desk, files, key, limits, ears, uploads }
    }

    /// Announces a note. The answer may hold the address that its file is uploaded to.
    pub async fn create(
        &self,
        caller: Caller,
        declared: Declared,
        once: Once<Announced>,
    ) -> Result<Reply, VoiceNoteError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<VoiceNoteError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let (bytes, limit) = (declared.size_bytes, self.limits.bytes_max);
        if bytes > limit {
            return Err(VoiceNoteError::TooLarge { bytes, limit });
        }
        let now = self.desk.clock.now();
        self.admit(&caller.handle).await?;
        let id = new_id(&*self.desk.ids, now);
        let note = VoiceNote::announced(id, caller.handle.clone(), declared, caller.actor.clone(), now);
        let announced = self.announced(note.clone(), now).await?;
        let (answer, idempotency) = once.answer_to(&announced, now);
        let told = json!({ "contentType": note.declared.audio_type, "sizeBytes": note.declared.size_bytes,
            "fileName": note.declared.file_name });
        let audit = caller.audit_of(now, "voice_note.created", id.to_string(), changed(None, Some(&told)));
        let context = caller.context(idempotency, Some(audit));
        let handle = note.handle.clone();
        let written = match self.desk.store.create_voice_note(note, self.limits.quota, context).await {
            Ok(Written::Done(held)) => Written::Done(held?),
            Ok(Written::Seen(record)) => Written::Seen(record),
            Err(StoreError::Conflict) => {
                let owns = self.desk.owns(&handle, now).await?;
                return Err(if owns { StoreError::Conflict.into() } else { Closed::NotFound.into() });
            }
            Err(error) => return Err(error.into()),
        };
        Ok(once.reply(written, answer)?)
    }

    /// One note of a handle, with a fresh address to read it at if there is something to read.
    pub async fn get(&self, handle: &Handle, id: VoiceNoteId) -> Result<Option<Readable>, VoiceNoteError> {
        let Some(note) = self.desk.store.voice_note(handle, id).await? else { return Ok(None) };
        Ok(Some(Readable { link: self.link_to_read(&note).await?, note }))
    }

    /// A handle's notes, newest first; those in one state, if one is named.
    pub async fn list(
        &self,
        handle: &Handle,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<VoiceNote>, StoreError> {
        self.desk.store.voice_notes(handle, status, page).await
    }

    /// Says that the file is there. It is listened to from now on, also after a crash. Whoever says so again is told
    /// where the note stands.
    pub async fn complete(
        &self,
        caller: Caller,
        id: VoiceNoteId,
        once: Once<VoiceNote>,
    ) -> Result<Reply, VoiceNoteError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<VoiceNoteError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        for _ in 0..DECISIONS_MAX {
            self.admit(&caller.handle).await?;
            let note = self.desk.store.voice_note(&caller.handle, id).await?;
            let note = note.ok_or(VoiceNoteError::NotFound)?;
            let now = self.desk.clock.now();
            let Some(begun) = note.complete(now) else {
                if matches!(note.status(), Status::PendingUpload | Status::Expired) {
                    return Err(VoiceNoteError::Late);
                }
                return Ok(Reply { answer: once.answer_to(&note, now).0, replayed: false });
            };
            self.files.size(id).await?.ok_or(VoiceNoteError::UploadMissing)?;
            let (answer, idempotency) = once.answer_to(&begun, now);
            let audit = caller.audit(now, "voice_note.uploaded", id.to_string());
            let context = caller.context(idempotency, Some(audit));
            match self.desk.store.move_voice_note(begun.clone(), Status::PendingUpload, context).await {
                // Somebody said so at the same time, or it expired.
                Err(StoreError::Conflict) => {}
                written => {
                    let written = written?;
                    if let Written::Done(()) = written {
                        self.spawn_listening(begun);
                    }
                    return Ok(once.reply(written, answer)?);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Removes a note and its file.
    pub async fn remove(
        &self,
        caller: Caller,
        id: VoiceNoteId,
        once: Once<()>,
    ) -> Result<Reply, VoiceNoteError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<VoiceNoteError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        self.admit(&caller.handle).await?;
        let now = self.desk.clock.now();
        let (answer, idempotency) = once.answer_to(&(), now);
        let audit = caller.audit_of(now, "voice_note.removed", id.to_string(), Difference::default());
        let context = caller.context(idempotency, Some(audit));
        let written = match self.desk.store.remove_voice_note(&caller.handle, id, context).await {
            Err(StoreError::Conflict) => return Err(VoiceNoteError::NotFound),
            written => written?,
        };
        self.remove_file(id).await;
        Ok(once.reply(written, answer)?)
    }

    /// The file behind an address that it is read at, and the note that it belongs to.
    pub async fn file(&self, token: &str) -> Result<(VoiceNote, Blob), FileError> {
        // Files elsewhere have no addresses of ours.
        let Files::Folder(blobs) = &self.files else { return Err(RefusedLink::Unknown.into()) };
        let link = Link::read(token, Purpose::Read, &self.key, self.desk.clock.now())?;
        let note = self.desk.store.voice_note(&link.handle, link.note_id).await?;
        let note = note.filter(|note| note.status() == Status::Ready).ok_or(FileError::Removed)?;
        let blob = blobs.open(note.id).await?.ok_or(FileError::Removed)?;
        Ok((note, blob))
    }

    async fn announced(&self, note: VoiceNote, now: Timestamp) -> Result<Announced, BlobError> {
        let State::PendingUpload { upload_until, .. } = note.state else {
            unreachable!("it was just announced")
        };
        let address = match self.files.upload_address(&note, upload_until.since(now)).await? {
            Some(address) => Address::Theirs(address),
            None => Address::Ours(self.link(&note, Purpose::Upload, upload_until)),
        };
        Ok(Announced { note, address, upload_until })
    }

    async fn link_to_read(&self, note: &VoiceNote) -> Result<Option<(Address, Timestamp)>, BlobError> {
        if note.status() != Status::Ready {
            return Ok(None);
        }
        let until = self.desk.clock.now() + READ_WITHIN;
        let address = match self.files.read_address(note, READ_WITHIN).await? {
            Some(address) => address.map(Address::Theirs),
            None => Some(Address::Ours(self.link(note, Purpose::Read, until))),
        };
        Ok(address.map(|address| (address, until)))
    }

    fn link(&self, note: &VoiceNote, purpose: Purpose, until: Timestamp) -> String {
        Link { purpose, handle: note.handle.clone(), note_id: note.id, until }.text(&self.key)
    }

    /// Whether the handle may act. Also asked where nobody shows a credential.
    async fn admit(&self, handle: &Handle) -> Result<(), VoiceNoteError> {
        Ok(self.desk.snapshots.get(handle).await?.account.admits_writes()?)
    }

    /// Removes a file that no note holds. What cannot be removed now is rubbish, and swept later.
    async fn remove_file(&self, id: VoiceNoteId) {
        if let Err(error) = self.files.remove(id).await {
            tracing::warn!(error = %source_of(&error), note = %id, "the file of a voice note was not removed; it is soon");
        }
    }
}

/// Why a file is not shown.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The address is not good.
    #[error(transparent)]
    Link(#[from] RefusedLink),
    /// The address is good, and its note or its file is not there any more.
    #[error("the voice note was removed")]
    Removed,
    /// The disk could not.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An error of the disk in one line.
fn source_of(error: &BlobError) -> String {
    match error {
        BlobError::Io(source) => source.to_string(),
        BlobError::Taken | BlobError::Busy => error.to_string(),
    }
}
