//! Listening to what was uploaded, and telling of it.

use std::time::Duration;

use angarium_domain::voice_note::{DURATION_MAX, Failure, Measured, Status, VoiceNote};
use angarium_store::StoreError;
use angarium_store::blobs::BlobError;
use angarium_store::event_log::{Append, Beside};
use tokio::time::{Instant, timeout};

use super::sound::{self, Bounds, Unheard};
use super::{VoiceNotes, source_of};
use crate::ids::new_id;
use crate::notices;
use crate::turns::OwnTurn;

/// How long a decoder may take for one file; a usual one takes some hundredth of its length.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(20), duration: DURATION_MAX, samples: SAMPLES_MAX };
/// As many as the longest note has in stereo at 48 kHz. Rates and channels are the file's own word, and a small file
/// may claim to be many of them.
const SAMPLES_MAX: u64 = DURATION_MAX.as_secs() * 48_000 * 2;
/// How long it is waited for in all: a decoder that hangs within a packet does not look at the time.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Before a store that could not is asked again, and before a disk is for the first time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest wait for a disk.
const AGAIN_AFTER_MAX: Duration = Duration::from_mins(1);
/// How often a file is tried to be read: over some ten minutes.
const READS_MAX: u32 = 15;

impl VoiceNotes {
    /// Goes on with what the process before us listened to.
    pub(crate) async fn go_on(&self) -> Result<(), StoreError> {
        // Before anybody uploads: a draft that is there now is a dead process's, unless the folder is somebody else's.
        let removed = if self.owns_files().await? { self.files.remove_drafts().await } else { Ok(()) };
        if let Err(error) = removed {
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
        let verdict = self.verdict(note).await;
        loop {
            match self.tell(note, verdict.clone()).await {
                Ok(()) => break,
                Err(StoreError::Conflict) => {}
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, note = %note.id, "what became of a voice note cannot be written");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, note = %note.id, "what became of a voice note was not written; it is tried again");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
        if verdict.is_err() {
            self.remove_file(note.id).await;
        }
    }

    /// Listens as soon as it is the handle's turn, again if the disk could not. Nobody waits for a disk in somebody
    /// else's place.
    async fn verdict(&self, note: &VoiceNote) -> Result<Measured, Failure> {
        for attempts_made in 1.. {
            let turn = self.ears.take(&note.handle).await;
            let begun_at = Instant::now();
            let heard = self.listen(note).await;
            let own = turn.kept_from_its_own();
            match heard {
                Ok(Ok(measured)) => return Ok(measured),
                Ok(Err(failure)) => {
                    self.rest(own, begun_at.elapsed());
                    return Err(failure);
                }
                Err(error) => {
                    drop(own);
                    let error = source_of(&error);
                    let Some(wait) = patience(attempts_made) else {
                        tracing::error!(error, note = %note.id, "a voice note cannot be read; it is given up");
                        break;
                    };
                    tracing::warn!(error, note = %note.id, "a voice note cannot be read; it is tried again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
        Err(Failure::Unreadable)
    }

    /// Keeps a handle's place for as long as its bad file took: whoever sends nothing but such files keeps a core
    /// busy for half of the time at most.
    fn rest(&self, own: OwnTurn, took: Duration) {
        let stopped = self.desk.tasks.stopped();
        self.desk.tasks.spawn(async move {
            let _own = own;
            tokio::select! {
                () = stopped.cancelled() => {}
                () = tokio::time::sleep(took) => {}
            }
        });
    }

    /// Reads the file and says what it is.
    async fn listen(&self, note: &VoiceNote) -> Result<Result<Measured, Failure>, BlobError> {
        let Some(size) = self.files.size(note.id).await? else { return Ok(Err(Failure::Lost)) };
        // Before it is read: nothing larger than was declared comes into memory.
        if size != note.declared.size_bytes {
            return Ok(Err(Failure::SizeMismatch));
        }
        let read = self.files.read(note.id, note.declared.size_bytes).await?;
        let Some(bytes) = read else { return Ok(Err(Failure::Lost)) };
        let (declared, whole) = (note.declared.clone(), bytes.clone());
        let heard = tokio::task::spawn_blocking(move || {
            let sha256 = declared.judge(&whole)?;
            let sound = sound::listen(whole.into(), declared.audio_type, BOUNDS)?;
            Ok(Measured { sha256, duration_ms: sound.duration.as_millis() as u64, waveform: sound.waveform })
        });
        let verdict = match timeout(GIVE_UP_AFTER, heard).await {
            Ok(Ok(verdict)) => verdict,
            // The decoder panicked: the file is hostile, or the decoder has a bug. The process lives.
            Ok(Err(_)) => Err(Failure::Undecodable),
            Err(_) => Err(Failure::TooSlow),
        };
        if verdict.is_ok() {
            self.files.keep(note.id, note.declared.audio_type, bytes).await?;
        }
        Ok(verdict)
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

/// How long to wait before a file that could not be read is tried again; none if it was tried enough.
fn patience(attempts_made: u32) -> Option<Duration> {
    let doubled = AGAIN_AFTER.saturating_mul(1 << (attempts_made - 1).min(16));
    (attempts_made < READS_MAX).then(|| doubled.min(AGAIN_AFTER_MAX))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_tried_for_ten_minutes_and_given_up() {
        let waits: Vec<u64> = (1..).map_while(patience).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((waits.len(), waits.iter().sum::<u64>()), (14, 543));
    }
}
