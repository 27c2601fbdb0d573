//! Delivering past events again, on request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, State, Status};
use crate::event::{Event, Origin};
use crate::event_type::EventType;
use crate::fan_out::Candidate;
use crate::handle::Handle;
use crate::ids::{DeliveryId, EventId, ReplayId, SubscriptionId};
use crate::recipient::{Place, is_private};
use crate::retention::Cutoffs;
use crate::subscription::{EndpointUrl, Subscription};
use crate::time::Timestamp;

/// Which deliveries: every named condition must hold. Also the filter of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryFilter {
    /// Deliveries to this subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<SubscriptionId>,
    /// Deliveries of this event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Deliveries of events of exactly this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<EventType>,
    /// Deliveries in this state, in the words of the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Made at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Made before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Which finished deliveries a job replays, as its caller names them: one word, or a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finished {
    /// The dead letters. What a caller means who names nothing: replaying what was delivered sends
    /// it twice.
    #[default]
    Dead,
    /// Those that were delivered.
    Delivered,
    /// All of them.
    Both,
}

impl Finished {
    /// Both, or one, or nothing that can be replayed.
    pub fn of(statuses: &[Status]) -> Result<Finished, NotFinished> {
        if let Some(other) = statuses.iter().find(|s| !matches!(s, Status::Dead | Status::Delivered)) {
            return Err(NotFinished { status: Some(*other) });
        }
        match (statuses.contains(&Status::Dead), statuses.contains(&Status::Delivered)) {
            (true, true) => Ok(Finished::Both),
            (true, false) => Ok(Finished::Dead),
            (false, true) => Ok(Finished::Delivered),
            (false, false) => Err(NotFinished { status: None }),
        }
    }

    /// The condition in a [`DeliveryFilter`], of which a job takes the finished only.
    pub fn condition(self) -> Option<Status> {
        match self {
            Finished::Dead => Some(Status::Dead),
            Finished::Delivered => Some(Status::Delivered),
            Finished::Both => None,
        }
    }

    /// The words for the condition of a job.
    pub fn words(condition: Option<Status>) -> Vec<Status> {
        condition.map_or_else(|| vec![Status::Dead, Status::Delivered], |status| vec![status])
    }
}

/// What is not finished cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct NotFinished {
    /// The word that stands in the way; none if there was no word.
    pub status: Option<Status>,
}

impl std::fmt::Display for NotFinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a replay takes dead and delivered")?;
        match self.status {
            Some(status) => write!(f, ", and not {}", status.as_str()),
            None => f.write_str(", one of them at least"),
        }
    }
}

/// Which endpoint settings a replay uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The subscription as it is now.
    #[default]
    Current,
    /// The address that the original delivery went to; keys and policy are of now.
    Original,
}

/// Why a delivery cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayable {
    /// It is still on its way.
    #[error("the delivery is not finished; it can be replayed once it is delivered or dead")]
    Unfinished,
    /// Its subscription was deleted, so there is nowhere to send it.
    #[error("the delivery was cancelled because its subscription was deleted")]
    Cancelled,
    /// A question, a test or a notice of our own for one mailbox: how often it is sent is limited where it
    /// is made, and a replay would go round that.
    #[error(
        "{event_type} is for one mailbox alone and is not repeated; what makes it can be asked for again"
    )]
    Private {
        /// Its type.
        event_type: EventType,
    },
    /// A mail to an address that its subscription has no longer, or to somebody who does not want it.
    #[error(
        "the mail would not be sent: whoever reads that mailbox has not confirmed it, or not for this address"
    )]
    Unwanted,
}

/// Whether a delivery may be replayed: the delivered and the dead may (contract 3.5).
pub fn replayable(delivery: &Delivery) -> Result<(), NotReplayable> {
    match delivery.state {
        State::Scheduled { .. } | State::InFlight { .. } => Err(NotReplayable::Unfinished),
        State::Cancelled { .. } => Err(NotReplayable::Cancelled),
        State::Delivered { .. } | State::Dead { .. } => Ok(()),
    }
}

/// Whether a subscription takes an event again, under this address of the delivery's own if it has one.
/// Of webhooks all do.
pub fn repeatable(
    event_type: &EventType,
    to: &Subscription,
    named: Option<&EndpointUrl>,
) -> Result<(), NotReplayable> {
    let Some(recipient) = &to.recipient else { return Ok(()) };
    if is_private(event_type) {
        return Err(NotReplayable::Private { event_type: event_type.clone() });
    }
    let place = Place::of(named, &to.endpoint_url);
    if recipient.may_be_sent(event_type, place) { Ok(()) } else { Err(NotReplayable::Unwanted) }
}

/// A job that replays many deliveries at a bounded rate. It survives a restart: `cursor` moves in
/// the same commit as the deliveries that it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayJob {
    /// Never changes.
    pub id: ReplayId,
    /// Never changes.
    pub handle: Handle,
    /// Which deliveries. Those made after the job are not included.
    pub filter: DeliveryFilter,
    /// Whether it makes the first deliveries of what one subscription missed, and repeats none. The
    /// filter then names the subscription and the earliest acceptance, and no state.
    #[serde(default)]
    pub missing: bool,
    /// Which endpoint settings.
    pub to: Target,
    /// How many deliveries a second are made at most.
    pub rate_per_second: u32,
    /// How many matched when the job was made.
    pub matched: u64,
    /// How many were made so far.
    pub replayed: u64,
    /// How many matched but could not be replayed: their subscription is gone, they had been
    /// replayed, discarded or forgotten before the job came to them, or they are mails that are not
    /// sent again ([`repeatable`]).
    pub skipped: u64,
    /// The last delivery looked at; the job goes from old to new.
    pub cursor: Option<DeliveryId>,
    /// The last event looked at, by a job for what is missing; it, too, goes from old to new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<EventId>,
    /// When it made its last batch: a job that goes on after a restart keeps to its rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<Timestamp>,
    /// Where the job stands.
    pub status: JobStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Batches a second, where the rate is no lower than that.
const BATCHES_PER_SECOND: u32 = 5;
/// The most deliveries in one batch, which is one commit.
const BATCH_MAX: u32 = 200;

/// Events that are so much younger than the oldest delivery that may have been forgotten are safe
/// from it while they are looked at.
const FORGETTING_MARGIN: Duration = Duration::from_hours(1);

/// The earliest acceptance of what a subscription can be said to have missed. An event may outlive
/// its delivery to one subscription by its delivery to another; of those that are older than the
/// retention of finished deliveries nobody knows any more whether they arrived.
pub fn missed_since(since: Timestamp, cutoffs: Cutoffs) -> Timestamp {
    since.max(cutoffs.finished_before + FORGETTING_MARGIN)
}

/// Whether an event without a delivery to a subscription was missed by it: it is wanted, and it was
/// kept from the subscription neither as a test nor as something told about itself.
pub fn is_missed(event: &Event, subscription: &Subscription, filter: &DeliveryFilter) -> bool {
    let candidate = Candidate::new(event);
    filter.event_type.as_ref().is_none_or(|wanted| *wanted == event.event_type)
        && candidate.is_wanted_by(subscription)
        && subscription.recipient.as_ref().is_none_or(|recipient| recipient.missed(event))
        && match event.origin {
            Origin::Live => true,
            Origin::System => !is_private(&event.event_type) && !tells_of(&candidate, subscription.id),
            // Of another subscription, and what is never sent.
            Origin::Test | Origin::Sandbox => false,
        }
}

/// Whether one of our own events is about this subscription.
fn tells_of(event: &Candidate<'_>, id: SubscriptionId) -> bool {
    event.payload()["subscriptionId"].as_str() == Some(id.to_string().as_str())
}

impl ReplayJob {
    /// How many deliveries are made in one commit at most.
    pub fn batch(&self) -> u32 {
        (self.rate_per_second / BATCHES_PER_SECOND).clamp(1, BATCH_MAX)
    }

    /// The time from one batch to the next.
    pub fn pause(&self) -> Duration {
        Duration::from_secs(1) * self.batch() / self.rate_per_second.max(1)
    }

    /// When the next batch may be made. Never further ahead than one pause, or else the clock was
    /// put back.
    pub fn next_batch_at(&self, now: Timestamp) -> Timestamp {
        let pause = self.pause();
        self.moved_at.map_or(now, |moved_at| (moved_at + pause).clamp(now, now + pause))
    }

    /// How many of those that matched are still to be looked at; 0 once it has ended.
    pub fn remaining(&self) -> u64 {
        match self.status {
            JobStatus::Running => self.matched.saturating_sub(self.replayed + self.skipped),
            JobStatus::Completed | JobStatus::Cancelled => 0,
        }
    }

    /// When a running job will have made the rest at its rate, if nothing holds it up.
    pub fn expected_end(&self, now: Timestamp) -> Option<Timestamp> {
        let millis = self.remaining().saturating_mul(1_000) / u64::from(self.rate_per_second.max(1));
        (self.status == JobStatus::Running).then(|| now + Duration::from_millis(millis))
    }
}

/// Where a replay job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Making deliveries.
    Running,
    /// Done.
    Completed,
    /// Ended by its owner.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail_address::MailAddress;
    use crate::payload::Payload;
    use crate::recipient::{CONFIRMATION, Recipient};

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn job(rate_per_second: u32) -> ReplayJob {
        ReplayJob {
            id: ReplayId::from_bytes([1; 16]),
            handle: "acme".parse().expect("a handle"),
            filter: DeliveryFilter::default(),
            missing: false,
            to: Target::Current,
            rate_per_second,
            matched: 100,
            replayed: 0,
            skipped: 0,
            cursor: None,
            looked_at: None,
            moved_at: None,
            status: JobStatus::Running,
            created_at: NOON,
            finished_at: None,
        }
    }

    #[test]
    fn a_replay_is_of_the_dead_the_delivered_or_both() {
        use Status::{Dead, Delivered, Pending};
        for (words, finished) in [
            (vec![Dead], Finished::Dead),
            (vec![Delivered, Delivered], Finished::Delivered),
            (vec![Delivered, Dead], Finished::Both),
        ] {
            assert_eq!(Finished::of(&words), Ok(finished));
            assert_eq!(Finished::of(&Finished::words(finished.condition())), Ok(finished));
        }
        let refused = |words: &[Status]| Finished::of(words).expect_err("nothing finished").to_string();
        assert_eq!(refused(&[Dead, Pending]), "a replay takes dead and delivered, and not pending");
        assert_eq!(refused(&[]), "a replay takes dead and delivered, one of them at least");
    }

    #[test]
    fn batches_and_pauses_come_to_the_rate_and_no_batch_is_large() {
        for rate in [1, 4, 5, 7, 50, 999, 1_000] {
            let job = job(rate);
            let made_a_second = f64::from(job.batch()) / job.pause().as_secs_f64();
            assert!((made_a_second / f64::from(rate) - 1.0).abs() < 1e-6, "{rate}: {made_a_second}");
            assert!((1..=200).contains(&job.batch()), "{rate}");
        }
    }

    #[test]
    fn a_job_that_goes_on_waits_for_what_is_left_of_its_pause() {
        let at = |millis| NOON + Duration::from_millis(millis);
        let moved = ReplayJob { moved_at: Some(NOON), ..job(1) };
        assert_eq!(job(1).next_batch_at(NOON), NOON);
        assert_eq!(moved.next_batch_at(at(400)), at(1_000));
        assert_eq!(moved.next_batch_at(at(5_000)), at(5_000));
        // The clock was put back by an hour.
        let ahead = ReplayJob { moved_at: Some(at(3_600_000)), ..job(1) };
        assert_eq!(ahead.next_batch_at(NOON), at(1_000));
    }

    #[test]
    fn what_retention_may_have_made_look_missed_is_not() {
        let cutoffs = Cutoffs { finished_before: NOON, ..Cutoffs::default() };
        let safe = NOON + FORGETTING_MARGIN;
        assert_eq!(missed_since(Timestamp::from_seconds(0), cutoffs), safe);
        assert_eq!(missed_since(NOON, cutoffs), safe);
        assert_eq!(missed_since(safe + Duration::from_secs(1), cutoffs), safe + Duration::from_secs(1));
    }

    #[test]
    fn what_was_kept_from_a_subscription_was_not_missed() {
        let subscription: Subscription = serde_json::from_value(serde_json::json!({
            "id": SubscriptionId::from_bytes([2; 16]), "handle": "acme",
            "endpointUrl": "https://hooks.example.com/in", "eventTypes": ["a", "webhook.*"],
            "description": null, "signingProfile": "arjun", "payloadFormat": "native",
            "retryPolicy": "fast", "headers": {}, "rateLimitPerSecond": null, "maxConcurrency": null,
            "timeoutSeconds": 10, "ordered": false, "status": "active", "secretHint": "abcd",
            "createdAt": NOON, "updatedAt": NOON,
        }))
        .expect("a subscription as it is stored");
        let about = |n| serde_json::json!({ "subscriptionId": SubscriptionId::from_bytes([n; 16]) });
        let is_missed = |origin, event_type: &str, payload: serde_json::Value, filter: &DeliveryFilter| {
            let event = Event {
                id: EventId::from_bytes([1; 16]),
                handle: subscription.handle.clone(),
                event_type: event_type.parse().expect("a type"),
                occurred_at: NOON.into(),
                accepted_at: NOON,
                origin,
                ordering_key: None,
                trace: None,
                payload: Payload::of_our_own(&payload),
            };
            is_missed(&event, &subscription, filter)
        };
        let any = DeliveryFilter::default();
        assert!(is_missed(Origin::Live, "a", about(2), &any));
        assert!(!is_missed(Origin::Live, "b", about(2), &any));
        assert!(!is_missed(Origin::Test, "a", about(2), &any));
        assert!(!is_missed(Origin::Sandbox, "a", about(2), &any));
        assert!(is_missed(Origin::System, "webhook.subscription.gone", about(3), &any));
        assert!(!is_missed(Origin::System, "webhook.subscription.gone", about(2), &any));
        let others = DeliveryFilter { event_type: Some("webhook.x".parse().expect("a type")), ..any };
        assert!(!is_missed(Origin::Live, "a", about(2), &others));
        assert!(is_missed(Origin::Live, "webhook.x", about(2), &others));
    }

    #[test]
    fn a_mail_is_repeated_to_whoever_wants_it_and_a_question_to_nobody() {
        let address = |text: &str| text.parse::<MailAddress>().expect("an address").to_endpoint();
        let mut mailbox: Subscription = serde_json::from_value(serde_json::json!({
            "id": SubscriptionId::from_bytes([2; 16]), "handle": "acme",
            "endpointUrl": "mailto:anna@example.com", "eventTypes": ["*"],
            "description": null, "signingProfile": "arjun", "payloadFormat": "native",
            "retryPolicy": "email", "headers": {}, "rateLimitPerSecond": null, "maxConcurrency": null,
            "timeoutSeconds": 10, "ordered": false, "status": "active", "secretHint": "",
            "createdAt": NOON, "updatedAt": NOON,
        }))
        .expect("a subscription as it is stored");
        mailbox.endpoint_url = address("anna@example.com");
        let mut recipient = Recipient::asked(NOON, "user:1".to_owned(), None);
        let (order, question): (EventType, EventType) =
            ("order.paid".parse().expect("a type"), CONFIRMATION.parse().expect("a type"));
        mailbox.recipient = Some(Box::new(recipient.clone()));
        assert_eq!(repeatable(&order, &mailbox, None), Err(NotReplayable::Unwanted));
        recipient.confirm(NOON, None, String::new());
        mailbox.recipient = Some(Box::new(recipient));
        let private = NotReplayable::Private { event_type: question.clone() };
        assert_eq!(repeatable(&question, &mailbox, None), Err(private));
        assert_eq!(repeatable(&order, &mailbox, Some(&address("anna@example.com"))), Ok(()));
        let other = address("bob@example.com");
        assert_eq!(repeatable(&order, &mailbox, Some(&other)), Err(NotReplayable::Unwanted));
        mailbox.recipient = None;
        assert_eq!(repeatable(&question, &mailbox, Some(&other)), Ok(()));
    }

    #[test]
    fn a_mailbox_missed_nothing_from_before_its_consent_and_no_failure() {
        let mut recipient = Recipient::asked(NOON, "user:1".to_owned(), None);
        let event = |event_type: &str, accepted_at| Event {
            id: EventId::from_bytes([1; 16]),
            handle: "acme".parse().expect("a handle"),
            event_type: event_type.parse().expect("a type"),
            occurred_at: NOON.into(),
            accepted_at,
            origin: Origin::Live,
            ordering_key: None,
            trace: None,
            payload: Payload::of_our_own(&serde_json::json!({})),
        };
        let (before, after) = (NOON, NOON + Duration::from_secs(20));
        assert!(!recipient.missed(&event("a", after)));
        recipient.confirm(NOON + Duration::from_secs(10), None, String::new());
        assert!(recipient.missed(&event("a", after)) && !recipient.missed(&event("a", before)));
        assert!(!recipient.missed(&event("webhook.delivery.terminal_failure", after)));
    }

    #[test]
    fn what_remains_is_told_with_its_end_until_the_job_ends() {
        let half = ReplayJob { replayed: 30, skipped: 20, ..job(10) };
        assert_eq!((half.remaining(), half.expected_end(NOON)), (50, Some(NOON + Duration::from_secs(5))));
        let more_than_matched = ReplayJob { replayed: 130, ..job(10) };
        assert_eq!(more_than_matched.remaining(), 0);
        let ended = ReplayJob { status: JobStatus::Cancelled, ..half };
        assert_eq!((ended.remaining(), ended.expected_end(NOON)), (0, None));
    }
}
