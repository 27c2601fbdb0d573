//! Inboxes: items come, and each reader sees, reads and puts them away for themselves.

pub mod live;
mod marks;
mod subscribing;

pub(crate) use subscribing::{asks_for, patterns, subscribing};

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::account::Closed;
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{ActionUrl, Counts, Item, Reader};
use angarium_domain::payload::Payload;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::Snapshot;
use angarium_store::event_log::{Append, Beside};
use angarium_store::inboxes::{ItemFilter, Marked, Opened};
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::Written;

use self::live::{After, InboxListener, InboxLive, ListenError};
use crate::ids::new_id;
use crate::metrics::Metrics;
use crate::once::{Once, RepeatError, Reply};
use crate::{Caller, Desk};

/// An item as it is posted; its texts are as the domain wants them.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// What kind of thing it tells of.
    pub item_type: EventType,
    /// One line.
    pub title: String,
    /// More lines.
    pub body: Option<String>,
    /// For programs.
    pub data: Option<Payload>,
    /// Where its reader may go.
    pub action_url: Option<ActionUrl>,
    /// When it is forgotten, if not by its age.
    pub expires_at: Option<Timestamp>,
}

/// An item after a reader did something with it, and what that made of the counts.
#[derive(Debug, Clone)]
pub struct MarkedItem {
    /// The item as the reader has it.
    pub marked: Marked,
    /// The reader's counts.
    pub counts: Counts,
}

/// Why nothing was done with an inbox.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The handle has no such item.
    #[error("there is no such item")]
    NotFound,
    /// An item would be forgotten before anybody saw it.
    #[error("expiresAt is {expires_at}, which has passed; leave it out, or name a time to come")]
    Ended {
        /// When it would have ended.
        expires_at: Timestamp,
    },
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Others were always faster.
    #[error("too much changes at once; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The inboxes of all handles.
#[derive(Clone)]
pub struct Inbox {
    desk: Desk,
    live: InboxLive,
    metrics: Arc<Metrics>,
}

impl Inbox {
    pub(crate) fn new(desk: Desk, live: InboxLive, metrics: Arc<Metrics>) -> Inbox {
        Inbox { desk, live, metrics }
    }

    /// How many listen to inboxes.
    pub fn listeners(&self) -> usize {
        self.live.listeners()
    }

    /// Begins to listen to an inbox, as one reader of it.
    pub async fn listen(
        &self,
        handle: &Handle,
        reader: &Reader,
        after: After,
    ) -> Result<InboxListener, ListenError> {
        self.live.listen(handle, reader, after).await
    }

    /// A handle's items, newest first, and a reader's counts: both of one moment.
    pub async fn items(
        &self,
        handle: &Handle,
        reader: &Reader,
        filter: ItemFilter,
        page: PageRequest,
    ) -> Result<(Page<Marked>, Counts), StoreError> {
        let Opened { stock, reading, found } = self.desk.store.items(handle, reader, filter, page).await?;
        Ok((found, reading.counts(&stock)))
    }

    /// Puts an item into the inbox of the caller's handle.
    pub async fn post(
        &self,
        caller: Caller,
        new: NewItem,
        once: Once<Arc<Item>>,
    ) -> Result<Reply, InboxError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        let now = self.desk.clock.now();
        if let Some(expires_at) = new.expires_at.filter(|end| *end <= now) {
            // It was yet to come when the same request was made before.
            let earlier = self.desk.repeats.earlier::<InboxError>(once.key.as_ref()).await?;
            return earlier.ok_or(InboxError::Ended { expires_at });
        }
        let item = Arc::new(new.made(&caller.handle, new_id(&*self.desk.ids, now), now));
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            match self.try_post(&caller, &snapshot, &item, &once).await {
                Err(InboxError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(InboxError::OVERLOADED)
    }

    async fn try_post(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        item: &Arc<Item>,
        once: &Once<Arc<Item>>,
    ) -> Result<Reply, InboxError> {
        snapshot.account.admits_writes()?;
        let (answer, idempotency) = once.answer_to(item, item.created_at);
        let audit = caller.audit(item.created_at, "inbox.item.posted", item.id.to_string());
        let append = Append {
            decided_upon: vec![(caller.handle.clone(), snapshot.version)],
            beside: vec![Beside::Item(item.clone())],
            context: caller.context(idempotency, Some(audit)),
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        self.live.look(&caller.handle);
        if let Written::Done(()) = written {
            self.metrics.item_posted();
        }
        Ok(once.reply(written, answer)?)
    }
}

impl InboxError {
    const OVERLOADED: InboxError = InboxError::Overloaded { retry_after: Duration::from_secs(1) };
}

impl Inbox {
    /// An item of our own, to be written in the transaction of what it tells of. [`Inbox::look`] is to be
    /// called when it is written.
    pub(crate) fn beside(&self, handle: &Handle, new: NewItem) -> Beside {
        let now = self.desk.clock.now();
        Beside::Item(Arc::new(new.made(handle, new_id(&*self.desk.ids, now), now)))
    }

    /// Lets those who listen to an inbox hear of what was written into it.
    pub(crate) fn look(&self, handle: &Handle) {
        self.live.look(handle);
    }
}

impl NewItem {
    pub(crate) fn made(self, handle: &Handle, id: ItemId, now: Timestamp) -> Item {
        let NewItem { item_type, title, body, data, action_url, expires_at } = self;
        Item {
            id,
            handle: handle.clone(),
            item_type,
            title,
            body,
            data,
            action_url,
            created_at: now,
            expires_at,
        }
    }
}
