//! E-mail subscriptions: asking for consent, taking it, ending it; and the address of an owner.
//!
//! Whatever goes out is a delivery, written in the same transaction as the state that it tells of.

mod forms;
mod loss;
mod owner;
mod questions;
mod readers;
mod room;
mod settings;
mod test_mails;

use std::sync::Arc;

use angarium_domain::audit::changed;
use angarium_domain::dispatch::LaneRules;
use angarium_domain::event::{Event, Origin, PayloadFormat};
use angarium_domain::event_type::{EventPattern, EventType};
use angarium_domain::handle::Handle;
use angarium_domain::headers::CustomHeaders;
use angarium_domain::idempotency::Record;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::mailbox;
use angarium_domain::payload::Payload;
use angarium_domain::recipient::{self, Purpose, Recipient, Standing};
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{ChannelKind, EndpointUrl, Status, Subscription, without_duplicates};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Change, Entry, Snapshot};
use angarium_store::event_log::{Append, Beside};
use angarium_store::write::Written;
use serde_json::{Value, json};

use crate::ids::new_id;
use crate::inbox::{Inbox, NewItem};
use crate::lanes::Lanes;
use crate::once::{Once, Reply};
use crate::planner::{Again, Plan};
use crate::post::Post;
use crate::snapshots::find;
use crate::{Caller, Desk};

pub use forms::{Confirmed, EmailError, MailTested, NewEmailSubscription, OwnerDefault, Recipients};
pub(crate) use loss::{lost, stale, suppression};
use questions::Questions;
pub use settings::{NoticeSettings, SentBack};

/// The deadline of one attempt, in seconds: servers that check a mail take their time with the reply.
const TIMEOUT_SECONDS: u32 = 30;
/// The e-mail subscriptions of all handles.
#[derive(Clone)]
pub struct Emails {
    desk: Desk,
    lanes: Lanes,
    post: Post,
    inbox: Inbox,
    questions: Questions,
}

/// A decision: how a subscription is from now on, and what is sent because of it.
struct Decision {
    entry: Arc<Entry>,
    /// The events that tell of it, each with its mails.
    told: Vec<(Arc<Event>, Vec<Again>)>,
    /// What becomes known of its mailbox, by its key.
    known: Option<(String, mailbox::Change)>,
    /// What the inbox says of it.
    item: Option<NewItem>,
    action: &'static str,
}

impl Decision {
    fn of(entry: Arc<Entry>, action: &'static str) -> Decision {
        Decision { entry, told: Vec::new(), known: None, item: None, action }
    }

    fn telling(mut self, event: Arc<Event>, mails: Vec<Again>) -> Decision {
        self.told.push((event, mails));
        self
    }

    /// What becomes known of the mailbox of the subscription as it is now.
    fn knowing(self, change: mailbox::Change) -> Decision {
        let key = mailbox(&self.entry.subscription.endpoint_url).map(|address| address.key());
        Decision { known: key.map(|key| (key, change)), ..self }
    }
}

impl Emails {
    pub(crate) fn new(desk: Desk, lanes: Lanes, post: Post, inbox: Inbox) -> Emails {
        let questions = Questions::new(desk.clone());
        Emails { desk, lanes, post, inbox, questions }
    }

    /// Everybody who is told by mail at a handle, newest first.
    pub async fn recipients(&self, handle: &Handle) -> Result<Recipients, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let of = |entry: &Arc<Entry>| entry.subscription.clone();
        Ok(Recipients {
            subscribers: subscribers(&snapshot).map(of).collect(),
            owner_default: owner_default(&snapshot).map(of),
            now: self.desk.clock.now(),
        })
    }

    /// Asks whoever reads a mailbox whether they want to be told. Asking again within an hour sends
    /// nothing.
    pub async fn subscribe(
        &self,
        caller: Caller,
        new: NewEmailSubscription,
        once: Once<(Subscription, Timestamp)>,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        self.require_post()?;
        let _turn = self.questions.turn(&caller.handle).await;
        // Before what a handle has asked is counted, which is not needed for a refusal.
        refuse_known(&*self.desk.snapshots.get(&caller.handle).await?, &new.email)?;
        let mut booking = self.questions.booking(&caller.handle, &new.email).await?;
        let known_of_it = self.desk.store.mailbox(&caller.handle, &new.email.key()).await?;
        require_not_left_alone(&known_of_it, self.desk.clock.now())?;
        self.make_room(&caller, &new.email).await?;
        let (id, seed) = (new_id(&*self.desk.ids, self.desk.clock.now()), self.desk.ids.key());
        let made = |entry: &Entry, now| (entry.subscription.clone(), now);
        let reply = self
            .decide(&caller, &once, made, |snapshot, now| {
                let types = without_duplicates(new.event_types.clone());
                let known = refuse_known(snapshot, &new.email)?;
                if let Some(entry) = known.filter(|entry| is_pending(entry) && is_fresh(entry, now)) {
                    // They choose when they confirm, and the page shows what they choose.
                    let entry = with(entry, now, |subscription| subscription.event_types = types);
                    return Ok(Decision::of(entry, "email.asked"));
                }
                if known.is_none() && !room::has_room(snapshot) {
                    return Err(EmailError::TooMany { limit: recipient::RECIPIENTS_PER_HANDLE_MAX });
                }
                require_not_left_alone(&known_of_it, now)?;
                let asked_at = match &known_of_it.suppressed {
                    None => booking.due_at(now)?,
                    // Nothing is sent to it, and what was never asked cannot be answered.
                    Some(_) => now.saturating_sub(recipient::QUESTION_KEPT),
                };
                let recipient = Recipient {
                    suppressed: known_of_it.suppressed.clone(),
                    ..Recipient::asked(asked_at, caller.actor.clone(), caller.ip)
                };
                let entry = match known {
                    Some(entry) => with(entry, now, |subscription| {
                        subscription.event_types = types;
                        subscription.recipient = Some(Box::new(recipient));
                    }),
                    None => made_entry(&caller.handle, id, seed, &new.email, types, recipient, now),
                };
                match &known_of_it.suppressed {
                    None => self.question(&caller, entry, asked_at, now),
                    Some(_) => Ok(Decision::of(entry, "email.asked")),
                }
            })
            .await?;
        if !reply.replayed {
            booking.keep();
        }
        Ok(reply)
    }

    /// Ends a subscription by the owner's hand, whatever its recipient said.
    pub async fn remove(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<()>,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let entry = find_subscriber(&snapshot, id).ok_or(EmailError::NotFound)?;
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&(), now);
            match self.end(&caller, &snapshot, entry, "email.removed", idempotency, now).await {
                Err(StoreError::Conflict) => {}
                written => return Ok(once.reply(written?, answer)?),
            }
        }
        Err(EmailError::OVERLOADED)
    }

    /// Takes a subscription out of its handle.
    async fn end(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        entry: &Entry,
        action: &'static str,
        idempotency: Option<Record>,
        now: Timestamp,
    ) -> Result<Written<u64>, StoreError> {
        let id = entry.subscription.id;
        let told = changed(Some(&entry.subscription), None);
        let audit = caller.audit_of(now, action, id.to_string(), told);
        let context = caller.context(idempotency, Some(audit));
        let change = Change::Remove(id);
        let written = self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await?;
        self.free_the_place(entry);
        self.lanes.removed(&caller.handle, id).await;
        self.lanes.caught_up().await;
        Ok(written)
    }

    /// Takes a mailbox off the suppression list, by the owner's hand.
    pub async fn lift_suppression(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<(Subscription, Timestamp)>,
    ) -> Result<Reply, EmailError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EmailError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let made = |entry: &Entry, now| (entry.subscription.clone(), now);
        let decided = self.decide(&caller, &once, made, |snapshot, now| {
            let entry = find_subscriber(snapshot, id).ok_or(EmailError::NotFound)?;
            if standing(entry) != Standing::Suppressed {
                return Err(EmailError::NothingToChange);
            }
            let lifted = Decision::of(owner::lifted(entry, now), "email.suppression_lifted");
            Ok(lifted.knowing(mailbox::Change::Lifted))
        });
        match decided.await {
            Err(EmailError::NothingToChange) => {
                let snapshot = self.desk.snapshots.get(&caller.handle).await?;
                let entry = find_subscriber(&snapshot, id).ok_or(EmailError::NotFound)?;
                let shown = (entry.subscription.clone(), self.desk.clock.now());
                self.unchanged(&caller, &shown, &once).await
            }
            decided => decided,
        }
    }

    /// A question that waits and is not put after all leaves its place to others.
    fn free_the_place(&self, entry: &Entry) {
        let waits = asked_at(entry).filter(|at| is_pending(entry) && *at > self.desk.clock.now());
        if let Some((at, address)) = waits.zip(mailbox(&entry.subscription.endpoint_url)) {
            self.questions.free(&address.key(), at);
        }
    }

    /// Answers that all is as it was asked for, and remembers that under the key.
    async fn unchanged<T>(&self, caller: &Caller, shown: &T, once: &Once<T>) -> Result<Reply, EmailError> {
        let (answer, idempotency) = once.answer_to(shown, self.desk.clock.now());
        let append = Append { context: caller.context(idempotency, None), ..Append::default() };
        let written = self.desk.store.append(append).await?;
        Ok(once.reply(written, answer)?)
    }

    /// The decision to put a question, when the address may have another mail.
    fn question(
        &self,
        caller: &Caller,
        entry: Arc<Entry>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<Decision, EmailError> {
        let Subscription { id, event_types, .. } = &entry.subscription;
        let address = mailbox(&entry.subscription.endpoint_url).ok_or(EmailError::NotFound)?;
        let expires_at = due_at + recipient::QUESTION_KEPT;
        let payload = json!({
            "subscriptionId": id, "email": address, "eventTypes": event_types, "expiresAt": expires_at,
        });
        let event = self.event(caller, recipient::CONFIRMATION, Origin::System, &payload, now);
        let mail = Again { not_before: Some(due_at), ..Again::default() };
        Ok(Decision::of(entry, "email.asked")
            .telling(event, vec![mail])
            .knowing(mailbox::Change::Asked(due_at)))
    }

    /// Decides for somebody of the handle, if it may act.
    async fn decide<T>(
        &self,
        caller: &Caller,
        once: &Once<T>,
        made: impl Fn(&Entry, Timestamp) -> T + Send + Sync,
        mut decide: impl FnMut(&Snapshot, Timestamp) -> Result<Decision, EmailError> + Send,
    ) -> Result<Reply, EmailError> {
        self.commit(caller, once, made, |snapshot, now| {
            snapshot.account.admits_writes()?;
            decide(snapshot, now)
        })
        .await
    }

    /// Decides, commits with what is sent, and decides again while others win the race.
    async fn commit<T>(
        &self,
        caller: &Caller,
        once: &Once<T>,
        made: impl Fn(&Entry, Timestamp) -> T + Send + Sync,
        mut decide: impl FnMut(&Snapshot, Timestamp) -> Result<Decision, EmailError> + Send,
    ) -> Result<Reply, EmailError> {
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            let now = self.desk.clock.now();
            let Decision { entry, told, known, item, action } = decide(&snapshot, now)?;
            let subscription = &entry.subscription;
            let (plan, events) = self.planned(&snapshot, subscription, told, now);
            let (answer, idempotency) = once.answer_to(&made(&entry, now), now);
            let before = find(&snapshot, subscription.id).map(|entry| &entry.subscription);
            let difference = changed(before, Some(subscription));
            let audit = caller.audit_of(now, action, subscription.id.to_string(), difference);
            let is_item = item.is_some();
            let item = item.map(|item| self.inbox.beside(&caller.handle, item));
            let known = known.map(|(key, change)| Beside::Mailbox {
                handle: caller.handle.clone(),
                key,
                change: Box::new(change),
            });
            let append = Append {
                decided_upon: vec![(caller.handle.clone(), snapshot.version)],
                events,
                deliveries: plan.deliveries(),
                subscription: Some(entry.clone()),
                beside: known.into_iter().chain(item).collect(),
                context: caller.context(idempotency, Some(audit)),
                ..Append::default()
            };
            match self.desk.store.append(append).await {
                Ok(written) => {
                    if is_item {
                        self.inbox.look(&caller.handle);
                    }
                    let rules = LaneRules::of(subscription, &snapshot.account);
                    // Attempts must find the subscription as it is now before they begin.
                    self.lanes.changed(&caller.handle, subscription.id, rules).await;
                    if let Written::Done(()) = written {
                        self.desk.planner.announce(plan).await;
                    }
                    self.lanes.caught_up().await;
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EmailError::OVERLOADED)
    }

    fn planned(
        &self,
        snapshot: &Snapshot,
        to: &Subscription,
        told: Vec<(Arc<Event>, Vec<Again>)>,
        now: Timestamp,
    ) -> (Plan, Vec<Arc<Event>>) {
        let mut plan = self.desk.planner.plan();
        let events = told.into_iter().map(|(event, mails)| {
            for mail in mails {
                self.desk.planner.add(&mut plan, &snapshot.account, to, &event, mail, now);
            }
            event
        });
        let events = events.collect();
        (plan, events)
    }

    fn event(
        &self,
        caller: &Caller,
        event_type: &str,
        origin: Origin,
        payload: &Value,
        now: Timestamp,
    ) -> Arc<Event> {
        Arc::new(Event {
            id: new_id(&*self.desk.ids, now),
            handle: caller.handle.clone(),
            event_type: event_type.parse().expect("a valid event type"),
            occurred_at: now.into(),
            accepted_at: now,
            origin,
            ordering_key: None,
            payload: Payload::of_our_own(payload),
            trace: caller.trace.clone(),
        })
    }

    fn require_post(&self) -> Result<(), EmailError> {
        if self.post.is_configured() { Ok(()) } else { Err(EmailError::NotConfigured) }
    }
}

/// A new subscription of a mailbox.
fn made_entry(
    handle: &Handle,
    id: SubscriptionId,
    seed: [u8; 32],
    address: &MailAddress,
    event_types: Vec<EventPattern>,
    recipient: Recipient,
    now: Timestamp,
) -> Arc<Entry> {
    // Nothing is signed with it: the links in mails are made of it.
    let key = SigningKey::hmac(seed);
    let subscription = Subscription {
        id,
        handle: handle.clone(),
        endpoint_url: address.to_endpoint(),
        event_types,
        filter: None,
        description: None,
        signing_profile: SigningProfile::default(),
        payload_format: PayloadFormat::default(),
        retry_policy: RetryPolicy::Email,
        headers: CustomHeaders::default(),
        rate_limit_per_second: None,
        max_concurrency: None,
        timeout_seconds: TIMEOUT_SECONDS,
        ordered: false,
        status: Status::Active,
        auto_disable: None,
        disabled: None,
        gone_at: None,
        verification: None,
        recipient: Some(Box::new(recipient)),
        secret_hint: String::new(),
        past_endpoints: Vec::new(),
        created_at: now,
        updated_at: now,
    };
    Arc::new(Entry { subscription, keys: Arc::new(SigningKeys::new(key)) })
}

/// An entry as an edit leaves it.
fn with(entry: &Entry, now: Timestamp, edit: impl FnOnce(&mut Subscription)) -> Arc<Entry> {
    let mut entry = entry.clone();
    edit(&mut entry.subscription);
    entry.subscription.updated_at = now;
    Arc::new(entry)
}

fn emails(snapshot: &Snapshot) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
    snapshot.subscriptions.iter().filter(|entry| entry.subscription.channel() == ChannelKind::Email)
}

/// Those who asked for events, newest first.
fn subscribers(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Entry>> {
    emails(snapshot).rev().filter(|entry| purpose(entry) == Some(Purpose::Subscriber))
}

/// The owner's default address, if there ever was one.
fn owner_default(snapshot: &Snapshot) -> Option<&Arc<Entry>> {
    emails(snapshot).find(|entry| purpose(entry) == Some(Purpose::OwnerDefault))
}

/// Who is told by mail of an event that somebody must hear of: those who asked for its type, or else the
/// owner's default address if it takes mails. Nobody is told about `but`, whom it is about.
pub(crate) fn told_of<'a>(
    snapshot: &'a Snapshot,
    event_type: &EventType,
    but: Option<SubscriptionId>,
) -> Vec<&'a Arc<Entry>> {
    let others = || emails(snapshot).filter(move |entry| Some(entry.subscription.id) != but);
    let asked: Vec<_> = others().filter(|entry| is_told_of(entry, event_type)).collect();
    if !asked.is_empty() {
        return asked;
    }
    let default = others().filter(|entry| purpose(entry) == Some(Purpose::OwnerDefault));
    default.filter(|entry| matches!(standing(entry), Standing::Active | Standing::Degraded)).collect()
}

/// Whether somebody asked for a type and takes mails. A suppressed mailbox hides nothing: the next one
/// in line is told.
fn is_told_of(entry: &Entry, event_type: &EventType) -> bool {
    let takes_mails = matches!(standing(entry), Standing::Active | Standing::Degraded);
    takes_mails && entry.subscription.wants(event_type)
}

fn find_email(snapshot: &Snapshot, id: SubscriptionId) -> Option<&Arc<Entry>> {
    find(snapshot, id).filter(|entry| entry.subscription.channel() == ChannelKind::Email)
}

fn find_subscriber(snapshot: &Snapshot, id: SubscriptionId) -> Option<&Arc<Entry>> {
    find_email(snapshot, id).filter(|entry| purpose(entry) == Some(Purpose::Subscriber))
}

fn purpose(entry: &Entry) -> Option<Purpose> {
    entry.subscription.recipient.as_ref().map(|recipient| recipient.purpose)
}

fn standing(entry: &Entry) -> Standing {
    entry.subscription.recipient.as_ref().map_or(Standing::Unsubscribed, |recipient| recipient.standing())
}

fn asked_at(entry: &Entry) -> Option<Timestamp> {
    entry.subscription.recipient.as_ref().and_then(|recipient| recipient.asked_at())
}

fn is_pending(entry: &Entry) -> bool {
    standing(entry) == Standing::PendingConfirmation
}

/// The subscription of a mailbox, if it has one; refused if it needs no question, or may have none.
fn refuse_known<'a>(
    snapshot: &'a Snapshot,
    email: &MailAddress,
) -> Result<Option<&'a Arc<Entry>>, EmailError> {
    let known = subscribers(snapshot).find(|entry| is_mailbox_of(entry, email));
    match known.map(|entry| (entry, standing(entry))) {
        Some((entry, Standing::Active | Standing::Degraded)) => {
            Err(EmailError::Subscribed(entry.subscription.id))
        }
        Some((_, Standing::Suppressed)) => Err(EmailError::Suppressed),
        Some((_, Standing::PendingConfirmation | Standing::Unsubscribed)) | None => Ok(known),
    }
}

/// Refuses a question to somebody who ended their mails, and was asked once since.
fn require_not_left_alone(known: &mailbox::Mailbox, now: Timestamp) -> Result<(), EmailError> {
    match known.left_alone_until(now) {
        Some(until) => Err(EmailError::LeftAlone { retry_after: until.since(now) }),
        None => Ok(()),
    }
}

/// Whether the last question is too new for another.
fn is_fresh(entry: &Entry, now: Timestamp) -> bool {
    asked_at(entry).is_some_and(|at| now < at + recipient::QUESTION_INTERVAL)
}

fn is_mailbox_of(entry: &Entry, address: &MailAddress) -> bool {
    mailbox(&entry.subscription.endpoint_url).is_some_and(|known| known.is_same_mailbox(address))
}

fn mailbox(endpoint: &EndpointUrl) -> Option<MailAddress> {
    MailAddress::of_endpoint(endpoint)
}
