//! What handles know of mailboxes.

use angarium_domain::handle::Handle;
use angarium_domain::mailbox::Mailbox;
use async_trait::async_trait;

use crate::error::StoreError;

/// What a handle knows of mailboxes, by their keys ([`MailAddress::key`]). It changes by
/// [`Beside::Mailbox`](crate::event_log::Beside), in the transaction of what tells of it, and goes with its handle
/// alone: no subscription takes it along.
///
/// [`MailAddress::key`]: angarium_domain::mail_address::MailAddress::key
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// What is known of one mailbox; nothing, of those that nothing was ever said of.
    async fn mailbox(&self, handle: &Handle, key: &str) -> Result<Mailbox, StoreError>;
}
