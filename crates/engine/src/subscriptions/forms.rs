//! What is asked for and what is answered: new subscriptions, patches, refusals.

use std::time::Duration;

use angarium_channels::RefusedAddress;
use angarium_domain::account::Closed;
use angarium_domain::auto_disable::AutoDisable;
use angarium_domain::event::PayloadFormat;
use angarium_domain::event_type::EventPattern;
use angarium_domain::filter::Filter;
use angarium_domain::handle::Handle;
use angarium_domain::headers::CustomHeaders;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::{OwnSecret, PublicKey};
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{EndpointUrl, Status, Subscription, without_duplicates};
use angarium_domain::time::Timestamp;
use angarium_domain::verification::{Method, Verification};
use angarium_store::StoreError;

use crate::once::RepeatError;

/// A subscription as it is asked for; validated field by field, except for the address.
#[derive(Clone)]
pub struct NewSubscription {
    /// Judged by the channel.
    pub endpoint_url: String,
    /// Not empty; duplicates collapse.
    pub event_types: Vec<EventPattern>,
    /// Which payloads of those types; all, if there is none.
    pub filter: Option<Filter>,
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
    /// Switched off after long failing; none for never.
    pub auto_disable: Option<AutoDisable>,
    /// How the receiver is asked for its consent; none for not at all.
    pub verification: Option<Method>,
    /// The caller's own secret, for a profile whose key is shared; none to have one made.
    pub secret: Option<OwnSecret>,
}

/// What is to be changed; none leaves a field as it is. Absent, null and a value are three things.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// Judged by the channel.
    pub endpoint_url: Option<String>,
    /// Not empty; duplicates collapse.
    pub event_types: Option<Vec<EventPattern>>,
    /// Holds for events published from now on. Null removes it.
    pub filter: Option<Option<Filter>>,
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
    /// Null means never.
    pub auto_disable: Option<Option<AutoDisable>>,
    /// Null means not at all.
    pub verification: Option<Option<Method>>,
    /// Pauses or resumes together with the rest, as the operations of these names do.
    pub paused: Option<bool>,
}

/// A subscription and the secret that is shown once.
pub struct WithSecret {
    /// The subscription.
    pub subscription: Subscription,
    /// As far back as the delivery log goes.
    pub last_triggered_at: Option<Timestamp>,
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
    /// Since when it does nothing but fail. Known for those that may be switched off for it.
    pub failing_since: Option<Timestamp>,
    /// What deliveries are verified with, if that is no secret.
    pub public_key: Option<PublicKey>,
}

/// A public key that verifies deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivePublicKey {
    /// The key.
    pub key: PublicKey,
    /// When its private half stops signing. None for the newest.
    pub until: Option<Timestamp>,
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
    /// It asks for no consent.
    #[error("this subscription asks for no verification")]
    NothingToVerify,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
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

impl NewSubscription {
    /// The subscription that this asks for.
    pub(super) fn made(
        &self,
        handle: &Handle,
        id: SubscriptionId,
        url: &EndpointUrl,
        secret_hint: String,
        now: Timestamp,
    ) -> Subscription {
        Subscription {
            id,
            handle: handle.clone(),
            endpoint_url: url.clone(),
            event_types: without_duplicates(self.event_types.clone()),
            filter: self.filter.clone(),
            description: self.description.clone(),
            signing_profile: self.signing_profile,
            payload_format: self.payload_format,
            retry_policy: self.retry_policy.clone(),
            headers: self.headers.clone(),
            rate_limit_per_second: self.rate_limit_per_second,
            max_concurrency: self.max_concurrency,
            timeout_seconds: self.timeout_seconds,
            ordered: self.ordered,
            status: Status::Active,
            auto_disable: self.auto_disable,
            disabled: None,
            gone_at: None,
            verification: self.verification.map(Verification::due),
            recipient: None,
            secret_hint,
            past_endpoints: Vec::new(),
            created_at: now,
            updated_at: now,
        }
    }
}

impl Patch {
    /// Changes a subscription as this says.
    pub(super) fn apply(
        &self,
        subscription: &mut Subscription,
        url: Option<&EndpointUrl>,
        now: Timestamp,
    ) -> Result<(), SubscriptionError> {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        if self
            .signing_profile
            .is_some_and(|p| p.is_asymmetric() != subscription.signing_profile.is_asymmetric())
        {
            return Err(SubscriptionError::KeyKind);
        }
        if let Some(url) = url {
            subscription.point_to(url.clone(), now);
        }
        let patterns = self.event_types.clone().map(without_duplicates);
        set(&mut subscription.event_types, patterns.as_ref());
        set(&mut subscription.filter, self.filter.as_ref());
        set(&mut subscription.description, self.description.as_ref());
        set(&mut subscription.signing_profile, self.signing_profile.as_ref());
        set(&mut subscription.payload_format, self.payload_format.as_ref());
        set(&mut subscription.retry_policy, self.retry_policy.as_ref());
        set(&mut subscription.headers, self.headers.as_ref());
        set(&mut subscription.rate_limit_per_second, self.rate_limit_per_second.as_ref());
        set(&mut subscription.max_concurrency, self.max_concurrency.as_ref());
        set(&mut subscription.timeout_seconds, self.timeout_seconds.as_ref());
        set(&mut subscription.auto_disable, self.auto_disable.as_ref());
        if let Some(method) = self.verification {
            subscription.verify_by(method);
        }
        match self.paused {
            Some(true) => _ = subscription.pause(),
            Some(false) => _ = subscription.resume(),
            None => {}
        }
        subscription.updated_at = now;
        Ok(())
    }
}
