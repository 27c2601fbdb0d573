//! The end of a handle: everything that it had is removed, batch by batch.

use std::time::Duration;

use angarium_domain::account::{Account, Presence};
use angarium_domain::handle::Handle;
use angarium_store::StoreError;
use angarium_store::directory::Change;
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::Context;

use super::Handles;

/// How much of each kind is removed in one commit.
const BATCH_MAX: u32 = 500;
/// Between batches, so that others get their commits.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a store that could not is asked again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Handles {
    /// Goes on with the removals of the process before us.
    pub(crate) async fn go_on(&self) -> Result<(), StoreError> {
        for handle in self.desk.store.leaving().await? {
            self.spawn_removal(handle);
        }
        Ok(())
    }

    pub(super) fn spawn_removal(&self, handle: Handle) {
        let this = self.clone();
        self.desk.tasks.spawn(async move {
            match this.remove(&handle).await {
                Ok(true) => tracing::info!(%handle, "a deleted handle is removed"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, %handle, "the removal of a handle stopped; it goes on at the next start");
                }
            }
        });
    }

    /// Removes a handle that is leaving. Answers whether it is gone: a drain comes before.
    async fn remove(&self, handle: &Handle) -> Result<bool, StoreError> {
        let stopped = self.desk.tasks.stopped();
        let mut has_files = true;
        loop {
            let removed = async {
                if has_files {
                    self.remove_files(handle).await?;
                    has_files = false;
                }
                self.remove_some(handle).await
            };
            let pause = match removed.await {
                Ok(true) => return Ok(true),
                Ok(false) | Err(StoreError::Conflict) => PAUSE,
                Err(StoreError::Unavailable { .. }) => PAUSE_AFTER_FAILURE,
                Err(error) => return Err(error),
            };
            tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(false),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Removes the files of a handle's notes, while their rows still name them. What cannot be removed is rubbish
    /// then, and goes later.
    async fn remove_files(&self, handle: &Handle) -> Result<(), StoreError> {
        let mut page = PageRequest { before: None, limit: BATCH_MAX };
        loop {
            let Page { items, next } = self.desk.store.voice_notes(handle, None, page).await?;
            for note in items {
                if let Err(error) = self.files.remove(note.id).await {
                    tracing::warn!(%error, note = %note.id, "the file of a deleted handle's voice note stays for some days");
                }
            }
            let Some(before) = next else { return Ok(()) };
            page.before = Some(before);
        }
    }

    /// One batch; once nothing is left, the end. Answers whether it was the end.
    async fn remove_some(&self, handle: &Handle) -> Result<bool, StoreError> {
        if self.desk.store.clear(handle, BATCH_MAX).await? > 0 {
            return Ok(false);
        }
        let snapshot = self.desk.snapshots.refresh(handle).await?;
        let Presence::Leaving { .. } = snapshot.account.presence else { return Ok(true) };
        let now = self.desk.clock.now();
        let gone = Account { presence: Presence::Gone { at: now }, ..Account::default() };
        let change = Change::SetAccount(Box::new(gone));
        self.desk.store.change(handle, snapshot.version, change, now, Context::default()).await?;
        self.desk.snapshots.renew(handle).await;
        Ok(true)
    }
}
