//! Taking a file in, piece by piece, from whoever has the address.

use std::pin::pin;
use std::time::Duration;

use angarium_domain::account::Closed;
use angarium_domain::voice_note::{AudioType, Declared, Link, Purpose, RefusedLink, Sha256, VoiceNote};
use angarium_store::StoreError;
use angarium_store::blobs::{BlobError, Draft};
use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use futures_util::Stream;

use super::pace::Pace;
use super::{Files, VoiceNoteError, VoiceNotes};

/// What an upload says before its body.
#[derive(Debug, Clone, Copy)]
pub struct UploadHead {
    /// Its type; none if it names none that a voice note may have.
    pub audio_type: Option<AudioType>,
    /// How long it will be, if it says so.
    pub bytes: Option<u64>,
    /// How long the next piece may take. Besides, there is a least rate: 4 KiB a second, over half a minute.
    pub patience: Duration,
}

/// Why an upload was refused. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The address is not good.
    #[error(transparent)]
    Link(#[from] RefusedLink),
    /// The address is good, and its note is not there any more.
    #[error("the voice note was removed")]
    Removed,
    /// The upload is of another type.
    #[error("this upload must have the content type {declared}")]
    OtherType {
        /// The type that was declared.
        declared: &'static str,
    },
    /// The upload is larger than was declared.
    #[error("the upload is larger than {declared} bytes, which is what was declared")]
    TooLarge {
        /// What was declared.
        declared: u64,
    },
    /// The upload is smaller than was declared.
    #[error("the upload is {bytes} bytes, {declared} were declared")]
    TooSmall {
        /// How large it is.
        bytes: u64,
        /// What was declared.
        declared: u64,
    },
    /// The upload has another hash than was declared.
    #[error("the upload has the SHA-256 {found}, {declared} was declared")]
    OtherHash {
        /// The hash that it has.
        found: Sha256,
        /// The hash that was declared.
        declared: Sha256,
    },
    /// The upload did not arrive.
    #[error("the upload ended before it was complete, or took too long")]
    Broken,
    /// As many uploads are running as may.
    #[error("too many uploads at a time")]
    TooMany,
    /// There is a file already, or the note is past its upload.
    #[error("the file was uploaded already, and cannot be replaced")]
    Finished,
    /// Another upload to the address is running.
    #[error("an upload to this address is running")]
    Running,
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The disk could not.
    #[error(transparent)]
    Blob(BlobError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VoiceNotes {
    /// Takes the file of a note. When this returns, it is on stable storage, is as large as it was declared, and
    /// has the hash that was declared. Takes the same memory however large it is.
    pub async fn upload<E>(
        &self,
        token: &str,
        head: UploadHead,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), UploadError> {
        // Files elsewhere have no addresses of ours.
        let Files::Folder(blobs) = &self.files else { return Err(RefusedLink::Unknown.into()) };
        let now = self.desk.clock.now();
        let link = Link::read(token, Purpose::Upload, &self.key, now)?;
        let note = self.awaited(&link).await?;
        if !note.takes_upload(now) {
            return Err(UploadError::Finished);
        }
        judge_head(&note.declared, head)?;
        let _turn = self.uploads.try_take(&link.handle).ok_or(UploadError::TooMany)?;
        let draft = blobs.begin(note.id).await?;
        // Who takes longer than the address is good finds it gone.
        let whole = receive(draft, &note.declared, head.patience, body);
        let draft =
            tokio::time::timeout(link.until.since(now), whole).await.map_err(|_| UploadError::Broken)??;
        draft.keep().await?;
        // Whoever removed the note meanwhile found no file to remove.
        if self.desk.store.holding_files(vec![note.id]).await?.is_empty() {
            self.remove_file(note.id).await;
            return Err(UploadError::Removed);
        }
        Ok(())
    }

    async fn awaited(&self, link: &Link) -> Result<VoiceNote, UploadError> {
        match self.admit(&link.handle).await {
            Ok(()) => {}
            Err(VoiceNoteError::Closed(closed)) => return Err(closed.into()),
            Err(VoiceNoteError::Store(error)) => return Err(error.into()),
            Err(_) => unreachable!("nothing else is asked"),
        }
        let note = self.desk.store.voice_note(&link.handle, link.note_id).await?;
        note.ok_or(UploadError::Removed)
    }
}

/// Spares a caller from sending what would be refused.
fn judge_head(declared: &Declared, head: UploadHead) -> Result<(), UploadError> {
    if head.audio_type != Some(declared.audio_type) {
        return Err(UploadError::OtherType { declared: declared.audio_type.as_str() });
    }
    head.bytes.map_or(Ok(()), |bytes| judge_size(declared, bytes))
}

fn judge_size(declared: &Declared, bytes: u64) -> Result<(), UploadError> {
    let declared = declared.size_bytes;
    match bytes.cmp(&declared) {
        std::cmp::Ordering::Less => Err(UploadError::TooSmall { bytes, declared }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(UploadError::TooLarge { declared }),
    }
}

async fn receive<E>(
    mut draft: Draft,
    declared: &Declared,
    patience: Duration,
    body: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Draft, UploadError> {
    let mut body = pin!(body);
    let mut hash = digest::Context::new(&SHA256);
    let mut bytes = 0;
    let mut pace = Pace::new(patience);
    while let Some(piece) = pace.next(&mut body).await? {
        bytes += piece.len() as u64;
        if bytes > declared.size_bytes {
            return Err(UploadError::TooLarge { declared: declared.size_bytes });
        }
        hash.update(&piece);
        draft.write(&piece).await?;
    }
    judge_size(declared, bytes)?;
    let found = Sha256::from_digest(hash.finish().as_ref());
    match declared.sha256 {
        Some(declared) if declared != found => Err(UploadError::OtherHash { found, declared }),
        _ => Ok(draft),
    }
}

impl From<BlobError> for UploadError {
    fn from(error: BlobError) -> UploadError {
        match error {
            BlobError::Taken => UploadError::Finished,
            BlobError::Busy => UploadError::Running,
            BlobError::Io(_) => UploadError::Blob(error),
        }
    }
}
