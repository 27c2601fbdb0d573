//! Ending notes whose time has passed, and removing files that no note holds.

use std::time::Duration;

use angarium_domain::ids::VoiceNoteId;
use angarium_domain::voice_note::Status;
use angarium_store::StoreError;
use angarium_store::write::Context;
use tokio::time::MissedTickBehavior;

use super::{VoiceNotes, source_of};
use crate::ids::new_id;

/// How late a note may expire.
const EXPIRY_INTERVAL: Duration = Duration::from_mins(1);
/// How long rubbish lies around that nobody told of. The whole folder is read for it.
const RUBBISH_INTERVAL: Duration = Duration::from_mins(30);
/// How long a file that no note holds is kept apart: until somebody has noticed that the store is an old copy.
const KEPT_AWAY_DAYS: u32 = 7;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// Notes looked at together.
const BATCH: usize = 500;

impl VoiceNotes {
    /// Sweeps until the process stops.
    pub(crate) async fn sweep(self) {
        let mut expiry = tokio::time::interval(EXPIRY_INTERVAL);
        let mut rubbish = tokio::time::interval(RUBBISH_INTERVAL);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rubbish.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopped = self.desk.tasks.stopped();
        loop {
            let done = tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                _ = expiry.tick() => self.expire().await,
                _ = rubbish.tick() => self.remove_rubbish().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "voice notes were not swept; it comes round again");
            }
        }
    }

    async fn expire(&self) -> Result<(), StoreError> {
        loop {
            let now = self.desk.clock.now();
            let overdue = self.desk.store.overdue_voice_notes(now, BATCH as u32).await?;
            for note in &overdue {
                let Some(expired) = note.expired(now) else { continue };
                match self
                    .desk
                    .store
                    .move_voice_note(expired, Status::PendingUpload, Context::default())
                    .await
                {
                    Ok(_) => self.remove_file(note.id).await,
                    // Its sender was faster, or removed it.
                    Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error),
                }
            }
            if overdue.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// Whether the files are this store's to remove. Those of another one are not rubbish because this one does not
    /// know of them.
    pub(super) async fn owns_files(&self) -> Result<bool, StoreError> {
        let fresh: VoiceNoteId = new_id(&*self.desk.ids, self.desk.clock.now());
        let mark = self.desk.store.mark_of_files(fresh.digits()).await?;
        match self.files.claim_for(&mark).await {
            Ok(true) => return Ok(true),
            Ok(false) => tracing::error!(
                "the place of the files of voice notes belongs to another store, so nothing in it is removed; give this one a folder or a prefix of its own"
            ),
            Err(error) => {
                let error = source_of(&error);
                tracing::warn!(
                    error,
                    "the place of the files of voice notes cannot be used, so it is not swept"
                );
            }
        }
        Ok(false)
    }

    /// Puts away what no note holds, and removes what was put away some days ago.
    async fn remove_rubbish(&self) -> Result<(), StoreError> {
        if !self.owns_files().await? {
            return Ok(());
        }
        let today = (self.desk.clock.now().as_millis() / DAY_MILLIS) as u32;
        if let Err(error) = self.files.remove_put_away(today.saturating_sub(KEPT_AWAY_DAYS)).await {
            tracing::warn!(error = source_of(&error), "files that were put away are not removed yet");
        }
        let names = match self.files.names().await {
            Ok(names) => names,
            Err(error) => {
                tracing::warn!(%error, "the files of voice notes cannot be listed");
                return Ok(());
            }
        };
        for names in names.chunks(BATCH) {
            // A note that does not hold its file never holds it again, so there is no hurry between these lines.
            let holding = self.desk.store.holding_files(names.to_vec()).await?;
            let rubbish: Vec<&VoiceNoteId> = names.iter().filter(|name| !holding.contains(name)).collect();
            for id in &rubbish {
                if let Err(error) = self.files.put_away(**id, today).await {
                    tracing::warn!(error = source_of(&error), note = %id, "a file that no note holds stays");
                }
            }
            if !rubbish.is_empty() {
                tracing::info!(files = rubbish.len(), "put files away that no voice note holds");
            }
        }
        Ok(())
    }
}
