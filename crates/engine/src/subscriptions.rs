//! Subscriptions: making, changing and ending them, and what that implies for their deliveries.

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::{Channel, RefusedAddress};
use angarium_domain::dispatch::{Input, LaneRules};
use angarium_domain::event::{Event, Origin, PayloadFormat};
use angarium_domain::event_type::EventPattern;
use angarium_domain::handle::Handle;
use angarium_domain::headers::CustomHeaders;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::payload::Payload;
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{
    EndpointUrl, SUBSCRIPTIONS_PER_HANDLE_MAX, Status, Subscription, without_duplicates,
};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Change, Entry, Snapshot};
use angarium_store::event_log::Append;
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::{Context, Written};

use crate::dispatcher::DispatcherHandle;
use crate::ids::new_id;
use crate::once::{Once, RepeatError, Reply};
use crate::planner::Again;
use crate::snapshots::find;
use crate::{Caller, DECISIONS_MAX, Desk};

/// A subscription as it is asked for; validated field by field, except for the address.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Judged by the channel.
    pub endpoint_url: String,
    /// Not empty; duplicates collapse.
    pub event_types: Vec<EventPattern>,
    /// The owner's words.
    pub description: Option<String>,
    /// Decides which kind of key is made.
    pub signing_profile: SigningProfile,
    /// The shape of bodies.
    pub payload_format: PayloadFormat,
    /// When failed attempts are repeated.
    pub retry_policy: RetryPolicy,
    /// Sent with every attempt.
    pub headers: CustomHeaders,
    /// At most so many attempts a second.
    pub rate_limit_per_second: Option<u32>,
    /// At most so many attempts at a time.
    pub max_concurrency: Option<u32>,
    /// The deadline of one attempt.
    pub timeout_seconds: u32,
    /// One at a time, oldest first. Cannot be changed later.
    pub ordered: bool,
}

/// What is to be changed; none leaves a field as it is. Absent, null and a value are three things.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// Judged by the channel.
    pub endpoint_url: Option<String>,
    /// Not empty; duplicates collapse.
    pub event_types: Option<Vec<EventPattern>>,
    /// Null removes it.
    pub description: Option<Option<String>>,
    /// Must use the kind of key that the subscription has.
    pub signing_profile: Option<SigningProfile>,
    /// The shape of bodies.
    pub payload_format: Option<PayloadFormat>,
    /// Holds from the next settlement on.
    pub retry_policy: Option<RetryPolicy>,
    /// Replaces all of them.
    pub headers: Option<CustomHeaders>,
    /// Null removes the limit.
    pub rate_limit_per_second: Option<Option<u32>>,
    /// Null removes the limit.
    pub max_concurrency: Option<Option<u32>>,
    /// The deadline of one attempt.
    pub timeout_seconds: Option<u32>,
}

/// A subscription and the secret that is shown once.
pub struct WithSecret {
    /// The subscription.
    pub subscription: Subscription,
    /// `whsec_…`, or the public key `whpk_…` where deliveries are signed with a key pair.
    pub secret: String,
}

/// A subscription and when it last had a delivery.
#[derive(Debug, Clone)]
pub struct Described {
    /// The subscription.
    pub subscription: Subscription,
    /// As far back as the delivery log goes.
    pub last_triggered_at: Option<Timestamp>,
}

/// What a test made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tested {
    /// The `webhook.test` event.
    pub event_id: EventId,
    /// Its only delivery.
    pub delivery_id: DeliveryId,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The handle has no such subscription.
    #[error("there is no such subscription")]
    NotFound,
    /// The egress policy refuses the address.
    #[error(transparent)]
    RefusedAddress(#[from] RefusedAddress),
    /// The handle has as many as it may have.
    #[error("the handle has {limit} subscriptions, which is the limit")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// The profile needs another kind of key than the subscription has.
    #[error("this signing profile needs another kind of key; make a new subscription for it")]
    KeyKind,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// Others change the handle all the time.
    #[error("the handle is being changed by others; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a decision makes of a handle: the change, what to answer with, and the rules of the lane after it.
struct Decision<T> {
    change: Change,
    made: T,
    object: SubscriptionId,
    lane: LaneChange,
}

enum LaneChange {
    None,
    Rules(LaneRules),
    Removed,
}

/// The subscriptions of all handles.
#[derive(Clone)]
pub struct Subscriptions {
    desk: Desk,
    channel: Arc<dyn Channel>,
    dispatcher: DispatcherHandle,
}

impl Subscriptions {
    pub(crate) fn new(desk: Desk, channel: Arc<dyn Channel>, dispatcher: DispatcherHandle) -> Subscriptions {
        Subscriptions { desk, channel, dispatcher }
    }

    /// A handle's subscriptions, newest first.
    pub async fn list(&self, handle: &Handle, page: PageRequest) -> Result<Page<Described>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let older = snapshot.subscriptions.iter().rev().map(|entry| &entry.subscription);
        let older = older
            .filter(|subscription| page.before.is_none_or(|before| *subscription.id.as_bytes() < before));
        let found: Vec<_> = older.take(page.limit as usize + 1).cloned().collect();
        let page = Page::cut(found, page.limit, |subscription| *subscription.id.as_bytes());
        let ids = page.items.iter().map(|subscription| subscription.id).collect();
        let mut triggered = self.desk.store.last_triggered(handle, ids).await?.into_iter();
        Ok(page.map(|subscription| Described { subscription, last_triggered_at: triggered.next().flatten() }))
    }

    /// One subscription of a handle.
    pub async fn get(&self, handle: &Handle, id: SubscriptionId) -> Result<Option<Described>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let Some(entry) = find(&snapshot, id) else { return Ok(None) };
        Ok(Some(self.describe(entry.subscription.clone()).await?))
    }

    /// Makes a subscription with a new key.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewSubscription,
        once: Once<WithSecret>,
    ) -> Result<Reply, SubscriptionError> {
        let url = self.channel.check_address(&new.endpoint_url).await?;
        let now = self.desk.clock.now();
        let id = new_id(&*self.desk.ids, now);
        let seed = self.desk.ids.key();
        self.change(&caller, "subscription.created", once, |snapshot| {
            if snapshot.subscriptions.len() >= SUBSCRIPTIONS_PER_HANDLE_MAX {
                return Err(SubscriptionError::TooMany { limit: SUBSCRIPTIONS_PER_HANDLE_MAX });
            }
            let key = new_key(new.signing_profile, seed);
            let made = WithSecret {
                subscription: subscription(&caller.handle, id, &url, &new, key.hint(), now),
                secret: key.shown(),
            };
            let entry =
                Entry { subscription: made.subscription.clone(), keys: Arc::new(SigningKeys::new(key)) };
            Ok(Decision { change: Change::Put(Arc::new(entry)), made, object: id, lane: LaneChange::None })
        })
        .await
    }

    /// Changes some of a subscription's settings.
    pub async fn patch(
        &self,
        caller: Caller,
        id: SubscriptionId,
        patch: Patch,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        let url = match &patch.endpoint_url {
            Some(url) => Some(self.channel.check_address(url).await?),
            None => None,
        };
        let now = self.desk.clock.now();
        self.put(&caller, id, "subscription.changed", once, |subscription| {
            apply(subscription, &patch, url.as_ref(), now)
        })
        .await
    }

    /// Holds a subscription's deliveries. Pausing a paused one changes nothing.
    pub async fn pause(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        self.set_status(caller, id, Status::Paused, "subscription.paused", once).await
    }

    /// Lets held deliveries go out, those due longest first.
    pub async fn resume(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        self.set_status(caller, id, Status::Active, "subscription.resumed", once).await
    }

    /// Ends a subscription. Its queued deliveries become cancelled; after this returns no new
    /// attempt starts.
    pub async fn delete(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<()>,
    ) -> Result<Reply, SubscriptionError> {
        self.change(&caller, "subscription.deleted", once, |snapshot| {
            find(snapshot, id).ok_or(SubscriptionError::NotFound)?;
            Ok(Decision { change: Change::Remove(id), made: (), object: id, lane: LaneChange::Removed })
        })
        .await
    }

    /// Gives a subscription a new key; the old one signs beside it for `overlap`.
    pub async fn rotate(
        &self,
        caller: Caller,
        id: SubscriptionId,
        overlap: Duration,
        once: Once<WithSecret>,
    ) -> Result<Reply, SubscriptionError> {
        let now = self.desk.clock.now();
        let seed = self.desk.ids.key();
        self.change(&caller, "subscription.secret_rotated", once, |snapshot| {
            let entry = find(snapshot, id).ok_or(SubscriptionError::NotFound)?;
            let key = new_key(entry.subscription.signing_profile, seed);
            let mut subscription = entry.subscription.clone();
            subscription.secret_hint = key.hint();
            subscription.updated_at = now;
            let made = WithSecret { subscription: subscription.clone(), secret: key.shown() };
            let keys = Arc::new(entry.keys.rotated(key, overlap, now));
            let change = Change::Put(Arc::new(Entry { subscription, keys }));
            Ok(Decision { change, made, object: id, lane: LaneChange::None })
        })
        .await
    }

    /// Queues a `webhook.test` event for one subscription, whatever it asks for.
    pub async fn test(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<Tested>,
    ) -> Result<Reply, SubscriptionError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        let event = Arc::new(self.test_event(&caller.handle, id));
        for _ in 0..DECISIONS_MAX {
            match self.try_test(&caller, id, &event, &once).await {
                Err(SubscriptionError::Store(StoreError::Conflict)) => {
                    self.desk.snapshots.refresh(&caller.handle).await?;
                }
                decided => return decided,
            }
        }
        Err(SubscriptionError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    fn test_event(&self, handle: &Handle, id: SubscriptionId) -> Event {
        let now = self.desk.clock.now();
        Event {
            id: new_id(&*self.desk.ids, now),
            handle: handle.clone(),
            event_type: "webhook.test".parse().expect("a valid event type"),
            occurred_at: now.into(),
            accepted_at: now,
            origin: Origin::Test,
            ordering_key: None,
            payload: Payload::of_our_own(&serde_json::json!({ "subscriptionId": id, "test": true })),
        }
    }

    async fn try_test(
        &self,
        caller: &Caller,
        id: SubscriptionId,
        event: &Arc<Event>,
        once: &Once<Tested>,
    ) -> Result<Reply, SubscriptionError> {
        let snapshot = self.desk.snapshots.get(&caller.handle).await?;
        let entry = find(&snapshot, id).ok_or(SubscriptionError::NotFound)?;
        let now = self.desk.clock.now();
        let mut plan = self.desk.planner.plan();
        let delivery_id = self.desk.planner.add(&mut plan, &entry.subscription, event, Again::default(), now);
        let (answer, idempotency) = once.answer_to(&Tested { event_id: event.id, delivery_id }, now);
        let append = Append {
            decided_upon: vec![(caller.handle.clone(), snapshot.version)],
            events: vec![event.clone()],
            deliveries: plan.deliveries(),
            job: None,
            context: Context { idempotency, audit: None },
        };
        let written = self.desk.store.append(append).await?;
        if let Written::Done(()) = written {
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }

    async fn set_status(
        &self,
        caller: Caller,
        id: SubscriptionId,
        status: Status,
        action: &'static str,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        let now = self.desk.clock.now();
        self.put(&caller, id, action, once, |subscription| {
            if subscription.status != status {
                subscription.status = status;
                subscription.updated_at = now;
            }
            Ok(())
        })
        .await
    }

    /// Writes a subscription as `edit` leaves it.
    async fn put(
        &self,
        caller: &Caller,
        id: SubscriptionId,
        action: &'static str,
        once: Once<Described>,
        edit: impl Fn(&mut Subscription) -> Result<(), SubscriptionError> + Send + Sync,
    ) -> Result<Reply, SubscriptionError> {
        let last_triggered_at =
            self.desk.store.last_triggered(&caller.handle, vec![id]).await?.into_iter().next().flatten();
        self.change(caller, action, once, |snapshot| {
            let entry = find(snapshot, id).ok_or(SubscriptionError::NotFound)?;
            let mut subscription = entry.subscription.clone();
            edit(&mut subscription)?;
            let lane = LaneChange::Rules(LaneRules::of(&subscription));
            let made = Described { subscription: subscription.clone(), last_triggered_at };
            let change = Change::Put(Arc::new(Entry { subscription, keys: entry.keys.clone() }));
            Ok(Decision { change, made, object: id, lane })
        })
        .await
    }

    /// Decides, commits, and decides again while others win the race.
    async fn change<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        once: Once<T>,
        decide: impl Fn(&Snapshot) -> Result<Decision<T>, SubscriptionError> + Send + Sync,
    ) -> Result<Reply, SubscriptionError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<SubscriptionError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        for _ in 0..DECISIONS_MAX {
            let snapshot = self.desk.snapshots.get(&caller.handle).await?;
            let Decision { change, made, object, lane } = decide(&snapshot)?;
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&made, now);
            let context = Context { idempotency, audit: Some(caller.audit(now, action, object.to_string())) };
            match self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await {
                Ok(written) => {
                    self.desk.snapshots.renew(&caller.handle).await;
                    self.tell(&caller.handle, object, lane).await;
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => {
                    self.desk.snapshots.refresh(&caller.handle).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(SubscriptionError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    async fn tell(&self, handle: &Handle, id: SubscriptionId, lane: LaneChange) {
        let input = match lane {
            LaneChange::None => return,
            LaneChange::Rules(rules) => Input::Changed { handle: handle.clone(), lane: id, rules },
            LaneChange::Removed => Input::Removed(id),
        };
        self.dispatcher.tell(vec![input]).await;
        // When the answer goes out, the dispatcher has acted upon the change.
        self.dispatcher.caught_up().await;
    }

    async fn describe(&self, subscription: Subscription) -> Result<Described, StoreError> {
        let triggered = self.desk.store.last_triggered(&subscription.handle, vec![subscription.id]).await?;
        Ok(Described { subscription, last_triggered_at: triggered.into_iter().next().flatten() })
    }
}

fn new_key(profile: SigningProfile, seed: [u8; 32]) -> SigningKey {
    if profile.is_asymmetric() { SigningKey::ed25519(seed) } else { SigningKey::hmac(seed) }
}

fn subscription(
    handle: &Handle,
    id: SubscriptionId,
    url: &EndpointUrl,
    new: &NewSubscription,
    secret_hint: String,
    now: Timestamp,
) -> Subscription {
    Subscription {
        id,
        handle: handle.clone(),
        endpoint_url: url.clone(),
        event_types: without_duplicates(new.event_types.clone()),
        description: new.description.clone(),
        signing_profile: new.signing_profile,
        payload_format: new.payload_format,
        retry_policy: new.retry_policy.clone(),
        headers: new.headers.clone(),
        rate_limit_per_second: new.rate_limit_per_second,
        max_concurrency: new.max_concurrency,
        timeout_seconds: new.timeout_seconds,
        ordered: new.ordered,
        status: Status::Active,
        secret_hint,
        past_endpoints: Vec::new(),
        created_at: now,
        updated_at: now,
    }
}

fn apply(
    subscription: &mut Subscription,
    patch: &Patch,
    url: Option<&EndpointUrl>,
    now: Timestamp,
) -> Result<(), SubscriptionError> {
    fn set<T: Clone>(field: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            field.clone_from(value);
        }
    }
    if patch
        .signing_profile
        .is_some_and(|p| p.is_asymmetric() != subscription.signing_profile.is_asymmetric())
    {
        return Err(SubscriptionError::KeyKind);
    }
    if let Some(url) = url {
        subscription.point_to(url.clone(), now);
    }
    let patterns = patch.event_types.clone().map(without_duplicates);
    set(&mut subscription.event_types, patterns.as_ref());
    set(&mut subscription.description, patch.description.as_ref());
    set(&mut subscription.signing_profile, patch.signing_profile.as_ref());
    set(&mut subscription.payload_format, patch.payload_format.as_ref());
    set(&mut subscription.retry_policy, patch.retry_policy.as_ref());
    set(&mut subscription.headers, patch.headers.as_ref());
    set(&mut subscription.rate_limit_per_second, patch.rate_limit_per_second.as_ref());
    set(&mut subscription.max_concurrency, patch.max_concurrency.as_ref());
    set(&mut subscription.timeout_seconds, patch.timeout_seconds.as_ref());
    subscription.updated_at = now;
    Ok(())
}
