//! What handles know of mailboxes, in memory.

use angarium_domain::handle::Handle;
use angarium_domain::mailbox::{Change, Mailbox};
use async_trait::async_trait;

use super::{Contents, MemoryStore};
use crate::error::StoreError;
use crate::mailboxes::Mailboxes;

#[async_trait]
impl Mailboxes for MemoryStore {
    async fn mailbox(&self, handle: &Handle, key: &str) -> Result<Mailbox, StoreError> {
        let key = (handle.clone(), key.to_owned());
        Ok(self.lock().mailboxes.get(&key).cloned().unwrap_or_default())
    }
}

impl Contents {
    pub(super) fn change_mailbox(&mut self, handle: &Handle, key: &str, change: &Change) {
        let key = (handle.clone(), key.to_owned());
        let known = self.mailboxes.remove(&key).unwrap_or_default().after(change);
        if !known.is_nothing() {
            self.mailboxes.insert(key, known);
        }
    }
}
