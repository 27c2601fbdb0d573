//! The life of one delivery: one event on its way to one subscription.
//!
//! Pure: no clock, no randomness, no I/O. The engine asks what should happen
//! next, the store writes the answer down; neither of them decides.

use serde::{Deserialize, Serialize};

use crate::event::{Event, Origin};
use crate::event_type::EventType;
use crate::handle::Handle;
use crate::ids::{DeliveryId, EventId, ReplayId, SubscriptionId};
use crate::outcome::{Class, Failure, Outcome};
use crate::retry::{Delay, RetryPolicy};
use crate::subscription::EndpointUrl;
use crate::time::Timestamp;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting for its next attempt, which may start at `due_at` or later.
    Scheduled {
        /// Not before this time.
        due_at: Timestamp,
    },
    /// One worker is attempting it and must settle before `lease_until`.
    InFlight {
        /// When the lease is void.
        lease_until: Timestamp,
    },
    /// The receiver accepted it. Final.
    Delivered {
        /// When its answer came.
        at: Timestamp,
    },
    /// We gave up. Listed as a dead letter until replayed, discarded or older than its retention.
    Dead {
        /// When we gave up.
        at: Timestamp,
        /// Why.
        cause: DeathCause,
    },
    /// Its subscription was deleted, or its event is one that is never sent. Final.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// Why we gave up on a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeathCause {
    /// The receiver refused it with a status that its policy does not repeat.
    TerminalStatus,
    /// The receiver answered with a redirect; we never follow one.
    RedirectNotFollowed,
    /// The endpoint's address is not one that we may connect to.
    BlockedAddress,
    /// The last attempt of the policy failed like the ones before it.
    AttemptsExhausted,
    /// It grew too old while its lane could not be attempted.
    Expired,
    /// What the store keeps of it, or of its event, cannot be read.
    Unreadable,
    /// The address takes no mail, as an earlier bounce or complaint said.
    Suppressed,
}

/// One event on its way to one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Never changes.
    pub id: DeliveryId,
    /// Never changes.
    pub handle: Handle,
    /// Never changes; a replay has its own delivery of the same event.
    pub event_id: EventId,
    /// The event's type, for lists.
    pub event_type: EventType,
    /// The event's origin, for lists.
    pub origin: Origin,
    /// Never changes.
    pub subscription_id: SubscriptionId,
    /// What it stays in order by: it waits for the unfinished ones before it in its lane that have
    /// the same key. None: it waits for nobody. From the subscription and the event at fan-out.
    pub ordering_key: Option<OrderingKey>,
    /// The delivery that this one repeats on request.
    pub replay_of: Option<DeliveryId>,
    /// The replay job that made it; none if it was made in any other way.
    pub replay_id: Option<ReplayId>,
    /// Where a replay "to the original" goes instead of the subscription's address of today.
    pub endpoint_override: Option<EndpointUrl>,
    /// Changes by settlement, release and withdrawal.
    pub state: State,
    /// Settled attempts. Grows by one with each settlement of an attempt.
    pub attempts_made: u32,
    /// Attempts that the end of our process cut short: the receiver may have seen them. They do
    /// not count against the policy, because a crash of ours is no failure of the receiver's.
    pub interruptions: u32,
    /// What the last attempt came to.
    pub last_outcome: Option<Outcome>,
    /// When the dead letter was discarded by hand.
    pub discarded_at: Option<Timestamp>,
}

/// What the deliveries of an ordered subscription stay in order by: those with the same key go one
/// after the other, others pass them by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderingKey(Box<str>);

impl OrderingKey {
    /// The key that the publisher gave to an event; events without one share a key of their own.
    pub fn of(event: &Event) -> OrderingKey {
        // No publisher can give the empty one.
        OrderingKey(event.ordering_key.clone().unwrap_or_default())
    }

    /// Takes back what [`OrderingKey::as_str`] gave to the store.
    pub fn from_stored(text: String) -> OrderingKey {
        OrderingKey(text.into())
    }

    /// As it is stored. Empty: the key of events without one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What follows from an attempt, or from the decision that there will be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Attempts settled so far, this one included.
    pub attempts_made: u32,
    /// Where the delivery stands now.
    pub next: State,
    /// What the last attempt came to; none if none was made.
    pub outcome: Option<Outcome>,
    /// The wait that `next` includes, for the record.
    pub delay: Option<Delay>,
}

impl Settlement {
    /// The end of a delivery of which the store can read no more than that there were so many attempts:
    /// it shall neither be tried for ever nor stand in the way of others. The fault is ours.
    pub fn unreadable(attempts_made: u32, now: Timestamp) -> Settlement {
        let next = State::Dead { at: now, cause: DeathCause::Unreadable };
        let outcome = Outcome::Failed { failure: Failure::InternalError };
        Settlement { attempts_made, next, outcome: Some(outcome), delay: None }
    }

    /// Whether the delivery is given up by it.
    pub fn is_a_death(&self) -> bool {
        matches!(self.next, State::Dead { .. })
    }

    /// Shortens a wait to `percent` of the policy's, for demonstrations and tests. What the
    /// receiver asked for is kept.
    #[must_use]
    pub fn hastened(self, percent: u32, now: Timestamp) -> Settlement {
        let Some(delay) = self.delay.filter(|_| percent < 100) else { return self };
        let share = |ms: u64| ms * u64::from(percent) / 100;
        let delay =
            Delay { scheduled_ms: share(delay.scheduled_ms), jitter_ms: share(delay.jitter_ms), ..delay };
        Settlement { next: State::Scheduled { due_at: now + delay.total() }, delay: Some(delay), ..self }
    }
}

/// The delivery has no attempt in flight: its lease ran out and someone else settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the delivery is not in flight")]
pub struct NotInFlight {
    /// Where it stands instead.
    pub found: State,
}

impl Delivery {
    /// The number that the next attempt carries, from 1.
    pub fn next_attempt(&self) -> u32 {
        self.attempts_made + self.interruptions + 1
    }

    /// Decides what follows from the attempt now in flight.
    ///
    /// # Errors
    ///
    /// [`NotInFlight`] if there is none. The caller drops its result; the other settlement stands.
    pub fn settle(
        &self,
        outcome: Outcome,
        policy: &RetryPolicy,
        now: Timestamp,
    ) -> Result<Settlement, NotInFlight> {
        let State::InFlight { .. } = self.state else {
            return Err(NotInFlight { found: self.state });
        };
        let attempts_made = self.attempts_made + 1;
        let delay = match outcome.class(policy.retry_on()) {
            Class::Retry => policy.delay_after(attempts_made, asked_for(outcome), self.id),
            Class::Delivered | Class::Terminal => None,
        };
        let next = match (outcome.class(policy.retry_on()), delay) {
            (Class::Delivered, _) => State::Delivered { at: now },
            (Class::Terminal, _) => State::Dead { at: now, cause: cause_of_refusal(outcome) },
            (Class::Retry, Some(delay)) => State::Scheduled { due_at: now + delay.total() },
            (Class::Retry, None) => State::Dead { at: now, cause: DeathCause::AttemptsExhausted },
        };
        Ok(Settlement { attempts_made, next, outcome: Some(outcome), delay })
    }

    /// Decides whether to give up on a delivery without another attempt: its receiver has been
    /// out since `out_since`, and the delivery has waited through all of the policy's patience.
    ///
    /// A time in which *we* did not run, or the owner paused the subscription, does not count.
    pub fn expire(&self, policy: &RetryPolicy, out_since: Timestamp, now: Timestamp) -> Option<Settlement> {
        let waiting_since = self.id.made_at().max(out_since);
        let expired = now.since(waiting_since) > policy.patience();
        expired.then(|| self.give_up(State::Dead { at: now, cause: DeathCause::Expired }))
    }

    /// The settlement of a delivery whose subscription is gone.
    pub fn cancel(&self, now: Timestamp) -> Settlement {
        self.give_up(State::Cancelled { at: now })
    }

    fn give_up(&self, next: State) -> Settlement {
        Settlement { attempts_made: self.attempts_made, next, outcome: self.last_outcome, delay: None }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(&self) -> bool {
        self.state.is_final()
    }
}

impl State {
    /// Whether nothing more will happen.
    pub fn is_final(&self) -> bool {
        match self {
            State::Scheduled { .. } | State::InFlight { .. } => false,
            State::Delivered { .. } | State::Dead { .. } | State::Cancelled { .. } => true,
        }
    }
}

fn asked_for(outcome: Outcome) -> Option<std::time::Duration> {
    match outcome {
        Outcome::Answered { retry_after_seconds, .. } => {
            retry_after_seconds.map(std::time::Duration::from_secs)
        }
        Outcome::Replied { .. } | Outcome::Stored | Outcome::Failed { .. } => None,
    }
}

fn cause_of_refusal(outcome: Outcome) -> DeathCause {
    match outcome {
        Outcome::Answered { status: 300..400, .. } => DeathCause::RedirectNotFollowed,
        Outcome::Failed { failure: Failure::BlockedAddress } => DeathCause::BlockedAddress,
        Outcome::Failed { failure: Failure::Suppressed } => DeathCause::Suppressed,
        // What was stored is never refused.
        Outcome::Answered { .. } | Outcome::Replied { .. } | Outcome::Stored | Outcome::Failed { .. } => {
            DeathCause::TerminalStatus
        }
    }
}

impl DeathCause {
    /// Every cause.
    pub const ALL: &[DeathCause] = &[
        DeathCause::TerminalStatus,
        DeathCause::RedirectNotFollowed,
        DeathCause::BlockedAddress,
        DeathCause::AttemptsExhausted,
        DeathCause::Expired,
        DeathCause::Unreadable,
        DeathCause::Suppressed,
    ];

    /// The reason on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DeathCause::TerminalStatus => "terminal_status",
            DeathCause::RedirectNotFollowed => "redirect_not_followed",
            DeathCause::BlockedAddress => "blocked_address",
            DeathCause::AttemptsExhausted => "attempts_exhausted",
            DeathCause::Expired => "expired",
            DeathCause::Unreadable => "unreadable",
            DeathCause::Suppressed => "suppressed",
        }
    }
}

/// A delivery's state as the wire shows it (contract 3.5): the state, its history and its
/// subscription's pause in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waiting for its first attempt.
    Pending,
    /// Being attempted.
    InFlight,
    /// Waiting for another attempt.
    Retrying,
    /// Accepted by the receiver.
    Delivered,
    /// Given up.
    Dead,
    /// Its subscription was deleted.
    Cancelled,
    /// Its subscription holds its deliveries: it is paused, or switched off.
    Held,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InFlight => "in_flight",
            Status::Retrying => "retrying",
            Status::Delivered => "delivered",
            Status::Dead => "dead",
            Status::Cancelled => "cancelled",
            Status::Held => "held",
        }
    }

    /// The word for a delivery, given whether its subscription holds its deliveries.
    pub fn of(delivery: &Delivery, held: bool) -> Status {
        match delivery.state {
            State::Scheduled { .. } if held => Status::Held,
            State::Scheduled { .. } if delivery.next_attempt() > 1 => Status::Retrying,
            State::Scheduled { .. } => Status::Pending,
            State::InFlight { .. } => Status::InFlight,
            State::Delivered { .. } => Status::Delivered,
            State::Dead { .. } => Status::Dead,
            State::Cancelled { .. } => Status::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::RetryOn;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn in_flight(attempts_made: u32) -> Delivery {
        Delivery {
            id: DeliveryId::new(Timestamp::from_seconds(0), [1; 10]),
            handle: "acme".parse().expect("a handle"),
            event_id: EventId::from_bytes([2; 16]),
            event_type: "order.paid".parse().expect("a type"),
            origin: Origin::Live,
            subscription_id: SubscriptionId::from_bytes([3; 16]),
            ordering_key: None,
            replay_of: None,
            replay_id: None,
            endpoint_override: None,
            state: State::InFlight { lease_until: NOON },
            attempts_made,
            interruptions: 0,
            last_outcome: None,
            discarded_at: None,
        }
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after_seconds: None }
    }

    fn asking(seconds: u64) -> Outcome {
        Outcome::Answered { status: 503, retry_after_seconds: Some(seconds) }
    }

    fn dead(cause: DeathCause) -> State {
        State::Dead { at: NOON, cause }
    }

    /// Settles an attempt at noon under the policy "5 s, then 5 min, then give up".
    /// Scheduled times are compared without their jitter.
    #[track_caller]
    fn check(attempts_made: u32, outcome: Outcome, expected: State) {
        let policy = RetryPolicy::custom(vec![5, 300], RetryOn::Transient).expect("a policy");
        let settlement = in_flight(attempts_made).settle(outcome, &policy, NOON).expect("in flight");
        let next = match (settlement.next, settlement.delay) {
            (State::Scheduled { due_at }, Some(delay)) => {
                State::Scheduled { due_at: due_at.saturating_sub(Duration::from_millis(delay.jitter_ms)) }
            }
            (other, _) => other,
        };
        assert_eq!(next, expected);
        assert_eq!(settlement.attempts_made, attempts_made + 1);
    }

    #[test]
    fn success_is_final_at_every_attempt() {
        for made in 0..3 {
            check(made, answered(204), State::Delivered { at: NOON });
        }
    }

    #[test]
    fn failures_wait_as_the_policy_says_and_then_end() {
        check(0, answered(500), State::Scheduled { due_at: NOON + Duration::from_secs(5) });
        check(1, answered(500), State::Scheduled { due_at: NOON + Duration::from_mins(5) });
        check(2, answered(500), dead(DeathCause::AttemptsExhausted));
        check(2, Outcome::Failed { failure: Failure::Timeout }, dead(DeathCause::AttemptsExhausted));
    }

    #[test]
    fn receiver_may_ask_for_more_time_but_not_for_less() {
        check(0, asking(60), State::Scheduled { due_at: NOON + Duration::from_mins(1) });
        check(0, asking(1), State::Scheduled { due_at: NOON + Duration::from_secs(5) });
    }

    #[test]
    fn refusal_is_death_however_many_retries_remain() {
        check(0, answered(404), dead(DeathCause::TerminalStatus));
        check(0, answered(301), dead(DeathCause::RedirectNotFollowed));
        check(0, Outcome::Failed { failure: Failure::BlockedAddress }, dead(DeathCause::BlockedAddress));
    }

    #[test]
    fn only_an_attempt_in_flight_can_be_settled() {
        for state in [
            State::Scheduled { due_at: NOON },
            State::Delivered { at: NOON },
            dead(DeathCause::Expired),
            State::Cancelled { at: NOON },
        ] {
            let delivery = Delivery { state, ..in_flight(0) };
            assert_eq!(
                delivery.settle(answered(200), &RetryPolicy::Fast, NOON),
                Err(NotInFlight { found: state })
            );
        }
    }

    #[test]
    fn a_delivery_expires_when_its_receiver_was_out_for_all_of_its_policys_patience() {
        let delivery = in_flight(0);
        let patience = RetryPolicy::Fast.patience();
        let made_at = delivery.id.made_at();
        assert_eq!(delivery.expire(&RetryPolicy::Fast, made_at, made_at + patience), None);
        let late = made_at + patience + Duration::from_millis(1);
        let settlement = delivery.expire(&RetryPolicy::Fast, made_at, late).expect("expired");
        assert_eq!(settlement.next, State::Dead { at: late, cause: DeathCause::Expired });
        assert_eq!(settlement.attempts_made, 0);
        let lately = made_at + Duration::from_secs(1);
        assert_eq!(delivery.expire(&RetryPolicy::Fast, lately, late), None);
    }

    #[test]
    fn haste_shortens_the_schedule_but_not_what_the_receiver_asked_for() {
        let settle = |outcome| in_flight(0).settle(outcome, &RetryPolicy::Fast, NOON).expect("in flight");
        let wait = |s: Settlement| match s.next {
            State::Scheduled { due_at } => due_at.since(NOON),
            other => panic!("{other:?}"),
        };
        assert!(wait(settle(answered(500)).hastened(10, NOON)) <= Duration::from_millis(550));
        assert!(wait(settle(asking(60)).hastened(10, NOON)) >= Duration::from_mins(1));
        assert_eq!(settle(answered(200)).hastened(10, NOON), settle(answered(200)));
    }

    #[test]
    fn the_wire_sees_history_and_pause_in_one_word() {
        let scheduled = Delivery { state: State::Scheduled { due_at: NOON }, ..in_flight(0) };
        assert_eq!(Status::of(&scheduled, false), Status::Pending);
        assert_eq!(Status::of(&scheduled, true), Status::Held);
        assert_eq!(Status::of(&Delivery { attempts_made: 1, ..scheduled.clone() }, false), Status::Retrying);
        assert_eq!(Status::of(&Delivery { interruptions: 1, ..scheduled }, false), Status::Retrying);
        assert_eq!(Status::of(&in_flight(0), true), Status::InFlight);
    }
}
