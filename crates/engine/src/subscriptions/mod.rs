//! Subscriptions: making, changing and ending them, and what that implies for their deliveries.

mod forms;
mod verification;

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::Channel;
use angarium_domain::audit::{Difference, changed};
use angarium_domain::dispatch::LaneRules;
use angarium_domain::event::{Event, Origin};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::payload::Payload;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{SUBSCRIPTIONS_PER_HANDLE_MAX, Subscription};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Change, Entry, Snapshot};
use angarium_store::event_log::Append;
use angarium_store::page::{Page, PageRequest};
use angarium_store::write::Written;
use serde_json::json;

use crate::ids::new_id;
use crate::lanes::Lanes;
use crate::once::{Once, Reply};
use crate::outages::Outages;
use crate::planner::Again;
use crate::snapshots::{find, find_webhook, webhooks};
use crate::{Caller, Desk};

pub use forms::{Described, LivePublicKey, NewSubscription, Patch, SubscriptionError, Tested, WithSecret};

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
    lanes: Lanes,
    outages: Outages,
}

impl Subscriptions {
    pub(crate) fn new(
        desk: Desk,
        channel: Arc<dyn Channel>,
        lanes: Lanes,
        outages: Outages,
    ) -> Subscriptions {
        Subscriptions { desk, channel, lanes, outages }
    }

    /// A handle's subscriptions, newest first.
    pub async fn list(&self, handle: &Handle, page: PageRequest) -> Result<Page<Described>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let older = webhooks(&snapshot).rev();
        let older =
            older.filter(|entry| page.before.is_none_or(|before| *entry.subscription.id.as_bytes() < before));
        let found: Vec<_> = older.take(page.limit as usize + 1).cloned().collect();
        let page = Page::cut(found, page.limit, |entry| *entry.subscription.id.as_bytes());
        let ids = page.items.iter().map(|entry| entry.subscription.id).collect();
        let mut triggered = self.desk.store.last_triggered(handle, ids).await?.into_iter();
        Ok(page.map(|entry| self.described(&entry, triggered.next().flatten())))
    }

    /// One subscription of a handle.
    pub async fn get(&self, handle: &Handle, id: SubscriptionId) -> Result<Option<Described>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let Some(entry) = find_webhook(&snapshot, id) else { return Ok(None) };
        let last_triggered_at = self.last_triggered(handle, id).await?;
        Ok(Some(self.described(entry, last_triggered_at)))
    }

    /// The public keys that verify what is sent to a subscription now, newest first. Empty where
    /// secrets are shared.
    pub async fn public_keys(
        &self,
        handle: &Handle,
        id: SubscriptionId,
    ) -> Result<Option<Vec<LivePublicKey>>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let Some(entry) = find_webhook(&snapshot, id) else { return Ok(None) };
        let live = entry.keys.public_keys(self.desk.clock.now());
        Ok(Some(live.map(|(key, until)| LivePublicKey { key, until }).collect()))
    }

    /// Makes a subscription with a new key.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewSubscription,
        once: Once<WithSecret>,
    ) -> Result<Reply, SubscriptionError> {
        // The address may be judged otherwise today; the answer of then stands.
        if let Some(reply) = self.desk.repeats.earlier::<SubscriptionError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let url = self.channel.check_address(&new.endpoint_url).await?;
        let now = self.desk.clock.now();
        let id = new_id(&*self.desk.ids, now);
        let seed = self.desk.ids.key();
        let verifies = new.verification.is_some();
        let reply = self
            .change(&caller, "subscription.created", once, |snapshot| {
                if webhooks(snapshot).count() >= SUBSCRIPTIONS_PER_HANDLE_MAX {
                    return Err(SubscriptionError::TooMany { limit: SUBSCRIPTIONS_PER_HANDLE_MAX });
                }
                let key = match &new.secret {
                    Some(secret) if !new.signing_profile.is_asymmetric() => secret.key(),
                    Some(_) => return Err(SubscriptionError::KeyKind),
                    None => new_key(new.signing_profile, seed),
                };
                let subscription = new.made(&caller.handle, id, &url, key.hint(), now);
                let made = WithSecret { subscription, last_triggered_at: None, secret: key.shown() };
                let entry =
                    Entry { subscription: made.subscription.clone(), keys: Arc::new(SigningKeys::new(key)) };
                Ok(Decision {
                    change: Change::Put(Arc::new(entry)),
                    made,
                    object: id,
                    lane: LaneChange::None,
                })
            })
            .await?;
        if verifies && !reply.replayed {
            self.verify_later(&caller.handle, id);
        }
        Ok(reply)
    }

    /// Changes some of a subscription's settings.
    pub async fn patch(
        &self,
        caller: Caller,
        id: SubscriptionId,
        patch: Patch,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        if let Some(reply) = self.desk.repeats.earlier::<SubscriptionError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let url = match &patch.endpoint_url {
            Some(url) => Some(self.channel.check_address(url).await?),
            None => None,
        };
        let now = self.desk.clock.now();
        let reply = self
            .put(&caller, id, "subscription.changed", once, |subscription| {
                patch.apply(subscription, url.as_ref(), now)
            })
            .await?;
        if url.is_some() || patch.auto_disable.is_some() || patch.paused.is_some() {
            self.outages.forget(&caller.handle, id).await;
        }
        if url.is_some() || patch.verification.is_some() {
            self.verify_later(&caller.handle, id);
        }
        Ok(reply)
    }

    /// Holds a subscription's deliveries. Pausing a paused one changes nothing.
    pub async fn pause(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        self.set_status(caller, id, "subscription.paused", once, Subscription::pause).await
    }

    /// Lets held deliveries go out, those due longest first, whatever held them.
    pub async fn resume(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        self.set_status(caller, id, "subscription.resumed", once, Subscription::resume).await
    }

    /// Ends a subscription. After this returns no new attempt starts. Its queued deliveries are
    /// cancelled by then, or soon if they are many.
    pub async fn delete(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<()>,
    ) -> Result<Reply, SubscriptionError> {
        self.change(&caller, "subscription.deleted", once, |snapshot| {
            find_webhook(snapshot, id).ok_or(SubscriptionError::NotFound)?;
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
        let last_triggered_at = self.last_triggered(&caller.handle, id).await?;
        self.change(&caller, "subscription.secret_rotated", once, |snapshot| {
            let entry = find_webhook(snapshot, id).ok_or(SubscriptionError::NotFound)?;
            let key = new_key(entry.subscription.signing_profile, seed);
            let mut subscription = entry.subscription.clone();
            subscription.secret_hint = key.hint();
            subscription.updated_at = now;
            let made =
                WithSecret { subscription: subscription.clone(), last_triggered_at, secret: key.shown() };
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
        if let Some(reply) = self.desk.repeats.earlier::<SubscriptionError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let event = Arc::new(self.test_event(&caller, id));
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            match self.try_test(&caller, &snapshot, id, &event, &once).await {
                Err(SubscriptionError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(SubscriptionError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    fn test_event(&self, caller: &Caller, id: SubscriptionId) -> Event {
        let now = self.desk.clock.now();
        Event {
            id: new_id(&*self.desk.ids, now),
            handle: caller.handle.clone(),
            event_type: "webhook.test".parse().expect("a valid event type"),
            occurred_at: now.into(),
            accepted_at: now,
            origin: Origin::of_test(caller.mode),
            ordering_key: None,
            payload: Payload::of_our_own(&json!({ "subscriptionId": id, "test": true })),
            trace: caller.trace.clone(),
        }
    }

    async fn try_test(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        id: SubscriptionId,
        event: &Arc<Event>,
        once: &Once<Tested>,
    ) -> Result<Reply, SubscriptionError> {
        snapshot.account.admits_writes()?;
        let entry = find_webhook(snapshot, id).ok_or(SubscriptionError::NotFound)?;
        let now = self.desk.clock.now();
        let mut plan = self.desk.planner.plan();
        let delivery_id = self.desk.planner.add(
            &mut plan,
            &snapshot.account,
            &entry.subscription,
            event,
            Again::default(),
            now,
        );
        let (answer, idempotency) = once.answer_to(&Tested { event_id: event.id, delivery_id }, now);
        let told = changed(None, Some(&json!({ "eventId": event.id, "deliveryId": delivery_id })));
        let audit = caller.audit_of(now, "subscription.tested", id.to_string(), told);
        let append = Append {
            decided_upon: vec![(caller.handle.clone(), snapshot.version)],
            events: vec![event.clone()],
            deliveries: plan.deliveries(),
            context: caller.context(idempotency, Some(audit)),
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        if let Written::Done(()) = written {
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }

    /// Writes a subscription that its owner holds or lets go, and begins its outage without a
    /// judgement: while it was held nobody looked how its receiver was.
    async fn set_status(
        &self,
        caller: Caller,
        id: SubscriptionId,
        action: &'static str,
        once: Once<Described>,
        set: impl Fn(&mut Subscription) -> bool + Send + Sync,
    ) -> Result<Reply, SubscriptionError> {
        let now = self.desk.clock.now();
        let reply = self
            .put(&caller, id, action, once, |subscription| {
                if set(subscription) {
                    subscription.updated_at = now;
                }
                Ok(())
            })
            .await?;
        self.outages.forget(&caller.handle, id).await;
        Ok(reply)
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
        let last_triggered_at = self.last_triggered(&caller.handle, id).await?;
        self.change(caller, action, once, |snapshot| {
            let entry = find_webhook(snapshot, id).ok_or(SubscriptionError::NotFound)?;
            let mut subscription = entry.subscription.clone();
            edit(&mut subscription)?;
            let lane = LaneChange::Rules(LaneRules::of(&subscription, &snapshot.account));
            let entry = Entry { subscription, keys: entry.keys.clone() };
            let made = self.described(&entry, last_triggered_at);
            let change = Change::Put(Arc::new(entry));
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
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let Decision { change, made, object, lane } = decide(&snapshot)?;
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&made, now);
            let told = told(&snapshot, object, &change);
            let audit = caller.audit_of(now, action, object.to_string(), told);
            let context = caller.context(idempotency, Some(audit));
            match self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await {
                Ok(written) => {
                    self.tell(&caller.handle, object, lane).await;
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(SubscriptionError::Overloaded { retry_after: Duration::from_secs(1) })
    }

    /// Tells the dispatcher how a lane is now.
    async fn tell(&self, handle: &Handle, id: SubscriptionId, lane: LaneChange) {
        match lane {
            LaneChange::None => return self.lanes.unchanged(handle).await,
            LaneChange::Rules(rules) => self.lanes.changed(handle, id, rules).await,
            LaneChange::Removed => self.lanes.removed(handle, id).await,
        }
        // When the answer goes out, the dispatcher has acted upon the change.
        self.lanes.caught_up().await;
    }

    fn described(&self, entry: &Entry, last_triggered_at: Option<Timestamp>) -> Described {
        let subscription = entry.subscription.clone();
        let outage = self.outages.of(subscription.id).filter(|_| subscription.auto_disable.is_some());
        Described {
            public_key: entry.keys.newest().public_key(),
            failing_since: outage.map(|outage| outage.since),
            subscription,
            last_triggered_at,
        }
    }

    async fn last_triggered(
        &self,
        handle: &Handle,
        id: SubscriptionId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let triggered = self.desk.store.last_triggered(handle, vec![id]).await?;
        Ok(triggered.into_iter().next().flatten())
    }
}

/// What a change makes of a subscription, for the audit log.
fn told(snapshot: &Snapshot, object: SubscriptionId, change: &Change) -> Difference {
    let before = find(snapshot, object).map(|entry| &entry.subscription);
    let after = match change {
        Change::Put(entry) => Some(&entry.subscription),
        _ => None,
    };
    changed(before, after)
}

fn new_key(profile: SigningProfile, seed: [u8; 32]) -> SigningKey {
    if profile.is_asymmetric() { SigningKey::ed25519(seed) } else { SigningKey::hmac(seed) }
}
