//! Where the files of voice notes are: in a folder, which is reached through us, or in a bucket, which senders and
//! readers reach by themselves.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use angarium_channels::bucket::{Bucket, BucketError, Download, Upload};
use angarium_domain::ids::{Kind, VoiceNoteId, VoiceNoteKind};
use angarium_domain::voice_note::{AudioType, VoiceNote};
use angarium_store::blobs::{BlobError, Blobs};
use bytes::Bytes;

/// The files of voice notes. A clone is the same place.
#[derive(Clone)]
pub enum Files {
    /// In a folder on a disk of this machine.
    Folder(Blobs),
    /// In a bucket of an S3-compatible store.
    Bucket(Arc<dyn Bucket>),
}

impl Files {
    /// Where the file of a note is uploaded to, if that is not an address of ours.
    pub(super) async fn upload_address(
        &self,
        note: &VoiceNote,
        within: Duration,
    ) -> Result<Option<String>, BlobError> {
        let Files::Bucket(bucket) = self else { return Ok(None) };
        let upload = Upload { audio_type: note.declared.audio_type, bytes: note.declared.size_bytes };
        Ok(Some(bucket.upload_address(&note.id.digits(), upload, within).await.map_err(unusable)?))
    }

    /// Where the file of a note is read, if that is not an address of ours. None within: there is no file.
    pub(super) async fn read_address(
        &self,
        note: &VoiceNote,
        within: Duration,
    ) -> Result<Option<Option<String>>, BlobError> {
        let Files::Bucket(bucket) = self else { return Ok(None) };
        let audio_type = note.declared.audio_type;
        let file_name = format!("{}.{}", note.id, audio_type.extension());
        let download = Download { audio_type, file_name };
        let address = bucket.read_address(&note.id.digits(), &download, within).await.map_err(unusable)?;
        Ok(Some(address))
    }

    /// How large the file of a note is, if it is there.
    pub(super) async fn size(&self, id: VoiceNoteId) -> Result<Option<u64>, BlobError> {
        match self {
            Files::Folder(blobs) => Ok(blobs.open(id).await?.map(|blob| blob.bytes())),
            Files::Bucket(bucket) => bucket.size(&id.digits()).await.map_err(unusable),
        }
    }

    /// The whole file of a note, of `bytes` bytes, if it is there.
    pub(super) async fn read(&self, id: VoiceNoteId, bytes: u64) -> Result<Option<Bytes>, BlobError> {
        match self {
            Files::Folder(blobs) => match blobs.open(id).await? {
                Some(blob) => Ok(Some(blob.piece(0, bytes as usize).await?)),
                None => Ok(None),
            },
            Files::Bucket(bucket) => bucket.read(&id.digits()).await.map_err(unusable),
        }
    }

    /// Keeps what was judged, where something else may have been uploaded meanwhile.
    pub(super) async fn keep(
        &self,
        id: VoiceNoteId,
        audio_type: AudioType,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        match self {
            // It is there for good since its upload ended.
            Files::Folder(_) => Ok(()),
            Files::Bucket(bucket) => bucket.keep(&id.digits(), audio_type, bytes).await.map_err(unusable),
        }
    }

    /// Removes the file of a note, if it is there.
    pub(crate) async fn remove(&self, id: VoiceNoteId) -> Result<(), BlobError> {
        match self {
            Files::Folder(blobs) => blobs.remove(id).await,
            Files::Bucket(bucket) => bucket.remove(&id.digits()).await.map_err(unusable),
        }
    }

    /// The notes that have a file here, in no order.
    pub(super) async fn names(&self) -> Result<Vec<VoiceNoteId>, BlobError> {
        match self {
            Files::Folder(blobs) => blobs.names().await,
            Files::Bucket(bucket) => {
                let names = bucket.names().await.map_err(unusable)?;
                let id = |digits: &String| format!("{}_{digits}", VoiceNoteKind::PREFIX).parse().ok();
                Ok(names.iter().filter_map(id).collect())
            }
        }
    }

    /// Says whose the files are, if nobody has said so. Answers whether they are that store's.
    pub(super) async fn claim_for(&self, mark: &str) -> Result<bool, BlobError> {
        match self {
            Files::Folder(blobs) => blobs.claim_for(mark).await,
            Files::Bucket(bucket) => bucket.claim_for(mark).await.map_err(unusable),
        }
    }

    /// Puts the file of a note that does not hold it away, under a day.
    pub(super) async fn put_away(&self, id: VoiceNoteId, day: u32) -> Result<(), BlobError> {
        match self {
            Files::Folder(blobs) => blobs.put_away(id, day).await,
            Files::Bucket(bucket) => bucket.put_away(&id.digits(), day).await.map_err(unusable),
        }
    }

    /// Removes what was put away before a day.
    pub(super) async fn remove_put_away(&self, before: u32) -> Result<(), BlobError> {
        match self {
            Files::Folder(blobs) => blobs.remove_put_away(before).await,
            Files::Bucket(bucket) => bucket.remove_put_away(before).await.map_err(unusable),
        }
    }

    /// Removes what a process before us did not write to its end.
    pub(super) async fn remove_drafts(&self) -> Result<(), BlobError> {
        match self {
            Files::Folder(blobs) => blobs.remove_drafts().await,
            // A bucket has an object whole or not at all.
            Files::Bucket(_) => Ok(()),
        }
    }
}

fn unusable(error: BucketError) -> BlobError {
    BlobError::Io(io::Error::other(error))
}
