//! Who is there: handles with their subscriptions and tokens.

use std::sync::Arc;

use angarium_domain::access::Token;
use angarium_domain::account::Account;
use angarium_domain::auto_disable::Outage;
use angarium_domain::catalog::{self, Catalog};
use angarium_domain::chain::Rulebook;
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{SubscriptionId, TokenId};
use angarium_domain::secret::SigningKeys;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

use crate::error::StoreError;
use crate::write::{Context, Written};

/// Deliveries that the removal of their subscription cancels by itself: few enough that the one
/// writer stands still for milliseconds, however long the backlog.
pub const CANCELLED_AT_ONCE: u32 = 1_000;

/// A subscription with its keys.
#[derive(Clone)]
pub struct Entry {
    /// What its owner set.
    pub subscription: Subscription,
    /// What its deliveries are signed with.
    pub keys: Arc<SigningKeys>,
}

impl AsRef<Subscription> for Entry {
    fn as_ref(&self) -> &Subscription {
        &self.subscription
    }
}

/// Everything about a handle at one version.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Grows by one with every change. 0: nothing was ever written about this handle.
    pub version: u64,
    /// By id, oldest first.
    pub subscriptions: Vec<Arc<Entry>>,
    /// Those not revoked, API keys among them, by id, oldest first.
    pub tokens: Vec<Arc<Token>>,
    /// The version at which the catalogue of event types last changed. 0: there never was one, and
    /// publishing need not ask for it.
    pub catalog_version: u64,
    /// The version at which the rulebook of its chains last changed. 0: there never was one.
    pub rulebook_version: u64,
    /// What the operator says of it.
    pub account: Account,
}

/// A change to a handle. Each makes a new version.
pub enum Change {
    /// A new subscription, or a new state of one.
    Put(Arc<Entry>),
    /// The end of a subscription, and of its outage. The first [`CANCELLED_AT_ONCE`] of its scheduled
    /// deliveries become cancelled in the same commit, the others by [`Directory::cancel_removed`];
    /// those in flight are settled by whoever holds them.
    Remove(SubscriptionId),
    /// A new token.
    AddToken(Token),
    /// The end of a token.
    RevokeToken(TokenId),
    /// A new event type in the catalogue, or a new state of one.
    PutEventType(Box<catalog::Entry>),
    /// The end of an event type in the catalogue.
    RemoveEventType(EventType),
    /// What the handle says of its chains from now on; its version is that of the change.
    SetRulebook(Box<Rulebook>),
    /// What the operator says of the handle from now on.
    SetAccount(Box<Account>),
    /// Several of these, of which no two are about the same thing: they make one version together.
    Several(Vec<Change>),
}

/// Who is there.
#[async_trait]
pub trait Directory: Send + Sync {
    /// A handle as it is now.
    async fn snapshot(&self, handle: &Handle) -> Result<Snapshot, StoreError>;

    /// A handle's catalogue of event types as it is now. Apart from the snapshot, because schemas are
    /// large and few changes touch them.
    async fn catalog(&self, handle: &Handle) -> Result<Catalog, StoreError>;

    /// Makes one change to a handle whose version is `version`, and answers the new version.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if the handle has another version by now. A key that was seen
    /// before is no error: it is [`Written::Seen`], and wins over a conflict.
    async fn change(
        &self,
        handle: &Handle,
        version: u64,
        change: Change,
        now: Timestamp,
        context: Context,
    ) -> Result<Written<u64>, StoreError>;

    /// Cancels at most `limit` of the deliveries that removals left scheduled: those of one lane,
    /// due longest first, and then those that wait behind others. Answers whether there may be more.
    async fn cancel_removed(&self, limit: u32, now: Timestamp) -> Result<bool, StoreError>;

    /// Whose token this is. None for one that is unknown or revoked.
    async fn holder_of_token(&self, id: TokenId) -> Result<Option<Handle>, StoreError>;

    /// Notes that a token was used. Makes no new version.
    async fn touch_token(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError>;

    /// The outages that were noted and have not ended, of all handles.
    async fn outages(&self) -> Result<Vec<(Handle, SubscriptionId, Outage)>, StoreError>;

    /// Notes since when a subscription does nothing but fail, or that it no longer does. Makes no
    /// new version. Of a subscription that is not there nothing is noted: the note may come late.
    async fn note_outage(
        &self,
        handle: &Handle,
        id: SubscriptionId,
        outage: Option<Outage>,
    ) -> Result<(), StoreError>;
}
