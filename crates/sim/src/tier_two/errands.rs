//! What owners and publishers want of the product, asked until it is answered.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::access::Mode;
use angarium_domain::event::PayloadFormat;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::Scope;
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::notices::Notices;
use angarium_domain::payload::Payload;
use angarium_domain::replay::{DeliveryFilter, ReplayJob, Target};
use angarium_domain::signature::SigningProfile;
use angarium_domain::time::Timestamp;
use angarium_engine::{
    AcceptError, Accepted, Answer, Caller, DeliveryError, Described, EmailError, Engine, NewEvent, NewReplay,
    NewSubscription, NoticeSettings, Once, Patch, RepeatError, RepeatKey, ReplayError, Replayed, Reply,
    SubscriptionError, Tested, Verdict, WithSecret,
};
use angarium_store::StoreError;
use serde_json::{Value, json};

use super::channel::url_of;
use crate::evidence::{Published, Schedule};

/// Something that somebody wants, however often they have to ask.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) number: usize,
    pub(super) handle: Handle,
    /// Without a key it is asked for once, whatever is answered.
    pub(super) keyed: bool,
    pub(super) first_asked_at: Timestamp,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// Numbers of events in the ledger.
    Publish(Vec<usize>),
    Create {
        receiver: usize,
        spec: Box<Spec>,
    },
    Test {
        lane: SubscriptionId,
    },
    Pause {
        lane: SubscriptionId,
    },
    Resume {
        lane: SubscriptionId,
    },
    Move {
        lane: SubscriptionId,
        url: String,
    },
    Rotate {
        lane: SubscriptionId,
        overlap: Duration,
    },
    Delete {
        lane: SubscriptionId,
    },
    ReplayOne {
        delivery: DeliveryId,
        to: Target,
    },
    ReplayMany {
        filter: Box<DeliveryFilter>,
        missing: bool,
        rate_per_second: u32,
    },
    Discard {
        delivery: DeliveryId,
    },
    /// Every event of the handle is to become an item of its inbox.
    FillInbox,
}

/// A subscription as its owner wants it.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) schedule: Schedule,
    pub(super) profile: SigningProfile,
    pub(super) format: PayloadFormat,
    pub(super) rate_per_second: Option<u32>,
    pub(super) max_concurrency: Option<u32>,
    pub(super) timeout_seconds: u32,
    pub(super) ordered: bool,
}

/// Why an errand got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Ask again.
    NotNow,
    /// There is nothing to be had.
    Never,
}

impl What {
    /// The subscription that it changes: such errands go one after the other.
    pub(super) fn changes(&self) -> Option<SubscriptionId> {
        match self {
            What::Pause { lane }
            | What::Resume { lane }
            | What::Delete { lane }
            | What::Move { lane, .. }
            | What::Rotate { lane, .. } => Some(*lane),
            What::Publish(_)
            | What::Create { .. }
            | What::Test { .. }
            | What::ReplayOne { .. }
            | What::ReplayMany { .. }
            | What::Discard { .. }
            | What::FillInbox => None,
        }
    }
}

impl Errand {
    pub(super) fn key(&self) -> String {
        format!("key-{}", self.number)
    }

    fn once<T>(&self, answer: impl Fn(&T) -> Value + Send + Sync + 'static) -> Once<T> {
        let scope = Scope::new(self.handle.as_str(), "POST", "/", &self.key());
        let key = self.keyed.then_some(RepeatKey { scope, fingerprint: [self.number as u8; 32] });
        Once {
            key,
            answer: Box::new(move |made| Answer { status: 200, body: answer(made).to_string().into() }),
        }
    }

    fn caller(&self) -> Caller {
        Caller {
            handle: self.handle.clone(),
            actor: "owner".to_owned(),
            request_id: self.key(),
            ip: None,
            mode: Mode::Live,
            trace: None,
            draw: None,
        }
    }

    /// Asks once. `events` are those of the ledger that are to be published.
    pub(super) async fn ask(&self, engine: Arc<Engine>, events: Vec<Published>) -> Result<Vec<u8>, Refusal> {
        let caller = self.caller();
        let reply = match &self.what {
            What::Publish(_) => self.publish(&engine, events).await?,
            What::Create { receiver, spec } => {
                let shown = |made: &WithSecret| json!({ "id": made.subscription.id, "secret": made.secret });
                engine
                    .subscriptions
                    .create(caller, new_subscription(*receiver, spec), self.once(shown))
                    .await?
            }
            What::Test { lane } => {
                let shown = |made: &Tested| json!({ "deliveryId": made.delivery_id });
                engine.subscriptions.test(caller, *lane, self.once(shown)).await?
            }
            What::Pause { lane } => engine.subscriptions.pause(caller, *lane, self.once(status)).await?,
            What::Resume { lane } => engine.subscriptions.resume(caller, *lane, self.once(status)).await?,
            What::Move { lane, url } => {
                let patch = Patch { endpoint_url: Some(url.clone()), ..Patch::default() };
                engine.subscriptions.patch(caller, *lane, patch, self.once(status)).await?
            }
            What::Rotate { lane, overlap } => {
                let shown = |made: &WithSecret| json!({ "secret": made.secret });
                engine.subscriptions.rotate(caller, *lane, *overlap, self.once(shown)).await?
            }
            What::Delete { lane } => {
                engine.subscriptions.delete(caller, *lane, self.once(|()| json!({}))).await?
            }
            What::ReplayOne { delivery, to } => {
                let shown = |made: &Replayed| json!({ "deliveryId": made.delivery_id });
                engine.deliveries.replay(caller, *delivery, *to, self.once(shown)).await?
            }
            What::ReplayMany { filter, missing, rate_per_second } => {
                let (missing, rate_per_second) = (*missing, *rate_per_second);
                let filter = (**filter).clone();
                let new = NewReplay { filter, missing, to: Target::Current, rate_per_second };
                let shown = |job: &ReplayJob| json!({ "id": job.id });
                engine.replays.create(caller, new, self.once(shown)).await?
            }
            What::Discard { delivery } => {
                engine.deliveries.discard(caller, *delivery, self.once(|()| json!({}))).await?
            }
            What::FillInbox => {
                let all = vec!["*".parse().expect("a pattern")];
                let answer = self.once(|_: &NoticeSettings| json!({}));
                engine.emails.put_notice_settings(caller, (Notices::default(), all), &[], answer).await?
            }
        };
        Ok(reply.answer.body.to_vec())
    }

    async fn publish(&self, engine: &Engine, events: Vec<Published>) -> Result<Reply, AcceptError> {
        let mut new: Vec<NewEvent> = events.into_iter().map(new_event).collect();
        let shown = |made: &Accepted| json!([made.event_id, made.deliveries]);
        if new.len() == 1 {
            let only = new.pop().expect("one event");
            let answer = self.once(move |made| json!([shown(made)]));
            return engine.intake.publish(self.caller(), only, answer).await;
        }
        let fits = |verdict: &Verdict| verdict.clone().expect("nobody sets schemas here");
        let answer =
            self.once(move |made: &Vec<Verdict>| made.iter().map(|made| shown(&fits(made))).collect());
        engine.intake.publish_batch(self.caller(), new, answer).await
    }
}

/// What a publisher reads in the answer.
pub(super) fn accepted_in(answer: &[u8]) -> Vec<(EventId, usize)> {
    serde_json::from_slice(answer).expect("an answer that we wrote")
}

fn status(made: &Described) -> Value {
    json!(made.subscription.status)
}

fn new_event(event: Published) -> NewEvent {
    NewEvent {
        event_type: event.event_type.parse().expect("an event type"),
        payload: Payload::from_stored(event.payload.into()),
        occurred_at: None,
        ordering_key: event.ordering_key.map(Into::into),
    }
}

fn new_subscription(receiver: usize, spec: &Spec) -> NewSubscription {
    NewSubscription {
        endpoint_url: url_of(receiver, 0),
        event_types: vec!["*".parse().expect("a pattern")],
        filter: None,
        description: None,
        signing_profile: spec.profile,
        payload_format: spec.format,
        retry_policy: spec.schedule.policy.clone(),
        headers: angarium_domain::headers::CustomHeaders::default(),
        rate_limit_per_second: spec.rate_per_second,
        max_concurrency: spec.max_concurrency,
        timeout_seconds: spec.timeout_seconds,
        ordered: spec.ordered,
        auto_disable: None,
        verification: None,
        secret: None,
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Refusal {
        match error {
            StoreError::Unavailable { .. } => Refusal::NotNow,
            StoreError::Conflict
            | StoreError::LeaseLost
            | StoreError::Exhausted(_)
            | StoreError::Corrupt { .. } => Refusal::Never,
        }
    }
}

impl From<&RepeatError> for Refusal {
    fn from(error: &RepeatError) -> Refusal {
        match error {
            RepeatError::StillRunning => Refusal::NotNow,
            RepeatError::Reused => Refusal::Never,
        }
    }
}

impl From<AcceptError> for Refusal {
    fn from(error: AcceptError) -> Refusal {
        match &error {
            AcceptError::Repeat(error) => error.into(),
            AcceptError::Overloaded { .. } => Refusal::NotNow,
            AcceptError::Mismatch(_) => unreachable!("nobody sets schemas here"),
            AcceptError::Closed(_) => Refusal::Never,
            AcceptError::Store(error) => error.into(),
        }
    }
}

impl From<SubscriptionError> for Refusal {
    fn from(error: SubscriptionError) -> Refusal {
        match &error {
            SubscriptionError::Repeat(error) => error.into(),
            SubscriptionError::Overloaded { .. } => Refusal::NotNow,
            SubscriptionError::Store(error) => error.into(),
            SubscriptionError::NotFound
            | SubscriptionError::Closed(_)
            | SubscriptionError::RefusedAddress(_)
            | SubscriptionError::TooMany { .. }
            | SubscriptionError::KeyKind
            | SubscriptionError::NothingToVerify => Refusal::Never,
        }
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Refusal {
        match &error {
            DeliveryError::Repeat(error) => error.into(),
            DeliveryError::Overloaded { .. } => Refusal::NotNow,
            DeliveryError::Store(error) => error.into(),
            DeliveryError::NotFound
            | DeliveryError::Closed(_)
            | DeliveryError::NotReplayable(_)
            | DeliveryError::SubscriptionGone
            | DeliveryError::TestMode => Refusal::Never,
        }
    }
}

impl From<EmailError> for Refusal {
    fn from(error: EmailError) -> Refusal {
        match &error {
            EmailError::Repeat(error) => error.into(),
            EmailError::Overloaded { .. } => Refusal::NotNow,
            EmailError::Store(error) => error.into(),
            _ => Refusal::Never,
        }
    }
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Refusal {
        match &error {
            ReplayError::Repeat(error) => error.into(),
            ReplayError::Store(error) => error.into(),
            ReplayError::NotFound
            | ReplayError::NoSuchSubscription
            | ReplayError::Finished
            | ReplayError::TooMany { .. } => Refusal::Never,
        }
    }
}
