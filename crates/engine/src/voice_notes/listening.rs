//! Listening to what was uploaded, and telling of it.

use std::time::Duration;

use angarium_domain::voice_note::{DURATION_MAX, Failure, Measured, Status, VoiceNote};
use angarium_store::StoreError;
use angarium_store::blobs::BlobError;
use angarium_store::event_log::{Append, Beside};
use tokio::time::timeout;

use super::sound::{self, Bounds, Unheard};
use super::{VoiceNotes, source_of};
use crate::ids::new_id;
use crate::notices;

/// How long a decoder may take for one file; a usual one takes some hundredth of its length.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(20), duration: DURATION_MAX };
/// How long it is waited for in all: a decoder that hangs within a packet does not look at the time.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Before a disk or a store that could not is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl VoiceNotes {
    /// Goes on with what the process before us listened to.
    pub(crate) async fn go_on(&self) -> Result<(), StoreError> {
        // Before anybody uploads: a draft that is there now is a dead process's.
        if let Err(error) = self.blobs.remove_drafts().await {
            let error = source_of(&error);
            tracing::warn!(error, "unfinished uploads of the process before were not removed");
        }
        for note in self.desk.store.processing_voice_notes().await? {
            self.spawn_listening(note);
        }
        Ok(())
    }

    pub(super) fn spawn_listening(&self, note: VoiceNote) {
        let this = self.clone();
        self.desk.tasks.spawn(async move {
            let stopped = this.desk.tasks.stopped();
            tokio::select! {
                biased;
                // The next start goes on.
                () = stopped.cancelled() => {}
                () = this.listen_until_told(&note) => {}
            }
        });
    }

    async fn listen_until_told(&self, note: &VoiceNote) {
        let _place = self.ears.acquire().await.expect("nobody closes it");
        let verdict = loop {
            match self.listen(note).await {
                Ok(verdict) => break verdict,
                Err(error) => {
                    let error = source_of(&error);
                    tracing::warn!(error, note = %note.id, "a voice note cannot be read; it is tried again");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        };
        while let Err(error) = self.tell(note, verdict.clone()).await {
            if !matches!(error, StoreError::Conflict) {
                tracing::warn!(%error, note = %note.id, "what became of a voice note was not written; it is tried again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
        if verdict.is_err() {
            self.remove_file(note.id).await;
        }
    }

    /// Reads the file and says what it is.
    async fn listen(&self, note: &VoiceNote) -> Result<Result<Measured, Failure>, BlobError> {
        let Some(blob) = self.blobs.open(note.id).await? else { return Ok(Err(Failure::Lost)) };
        // Before it is read: nothing larger than was declared comes into memory.
        if blob.bytes() != note.declared.size_bytes {
            return Ok(Err(Failure::SizeMismatch));
        }
        let bytes = blob.piece(0, note.declared.size_bytes as usize).await?;
        let declared = note.declared.clone();
        let heard = tokio::task::spawn_blocking(move || {
            let sha256 = declared.judge(&bytes)?;
            let sound = sound::listen(bytes.into(), declared.audio_type, BOUNDS)?;
            Ok(Measured { sha256, duration_ms: sound.duration.as_millis() as u64, waveform: sound.waveform })
        });
        Ok(match timeout(GIVE_UP_AFTER, heard).await {
            Ok(Ok(verdict)) => verdict,
            // The decoder panicked: the file is hostile, or the decoder has a bug. The process lives.
            Ok(Err(_)) => Err(Failure::Undecodable),
            Err(_) => Err(Failure::TooSlow),
        })
    }

    /// Writes what was heard with the event that tells of it. A note that was removed meanwhile is told nothing of.
    async fn tell(&self, note: &VoiceNote, verdict: Result<Measured, Failure>) -> Result<(), StoreError> {
        let stored = self.desk.store.voice_note(&note.handle, note.id).await?;
        if stored.is_none_or(|stored| stored.status() != Status::Processing) {
            return Ok(());
        }
        let snapshot = self.desk.snapshots.refresh(&note.handle).await?;
        let now = self.desk.clock.now();
        let heard = note.heard(verdict, now);
        let event = notices::voice_note(new_id(&*self.desk.ids, now), &heard, now);
        let mut plan = self.desk.planner.plan();
        self.desk.planner.fan_out(&mut plan, &snapshot, &event);
        let append = Append {
            decided_upon: vec![(note.handle.clone(), snapshot.version)],
            events: vec![event],
            deliveries: plan.deliveries(),
            beside: vec![Beside::VoiceNote(Box::new(heard))],
            ..Append::default()
        };
        self.desk.store.append(append).await?;
        self.desk.planner.announce(plan).await;
        Ok(())
    }
}

impl From<Unheard> for Failure {
    fn from(unheard: Unheard) -> Failure {
        match unheard {
            Unheard::Broken => Failure::Undecodable,
            Unheard::NotOnlySound => Failure::NotOnlySound,
            Unheard::TooLong => Failure::TooLong,
            Unheard::TooSlow => Failure::TooSlow,
        }
    }
}
