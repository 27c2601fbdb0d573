//! From events and subscriptions to deliveries, and from deliveries to the dispatcher.
//!
//! Every new delivery is made here: of a published event, of a test, of a
//! terminal failure, of a replay. There is no second way.

use std::sync::Arc;

use angarium_domain::account::Account;
use angarium_domain::delivery::{Delivery, OrderingKey, State};
use angarium_domain::dispatch::{Head, Input, LaneRules, Ticket};
use angarium_domain::event::Event;
use angarium_domain::fan_out::{self, Candidate};
use angarium_domain::ids::{DeliveryId, ReplayId};
use angarium_domain::subscription::{EndpointUrl, Subscription};
use angarium_domain::time::Timestamp;
use angarium_store::delivery_queue::{Lease, Leased};
use angarium_store::directory::{Entry, Snapshot};
use angarium_store::event_log::BIRTH_TOKEN;

use crate::clock::Clock;
use crate::dispatcher::inbox::{DispatcherHandle, Work};
use crate::ids::{IdSource, new_id};
use crate::rooms::{Births, Rooms};
use crate::{Parts, Settings};

#[derive(Clone)]
pub(crate) struct Planner {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    rooms: Arc<Rooms>,
    dispatcher: DispatcherHandle,
    settings: Settings,
}

/// Deliveries that are to be appended. Dropping a plan gives its places back.
pub(crate) struct Plan {
    planned: Vec<(Delivery, Arc<Event>, LaneRules)>,
    rooms: Arc<Rooms>,
    /// Dropped last: a drain waits until the dispatcher knows of every birth.
    births: Option<Births>,
}

/// What a delivery has beside what its event and its subscription say: mostly what a replay adds.
#[derive(Default)]
pub(crate) struct Again {
    pub(crate) replay_of: Option<DeliveryId>,
    /// The job that asks for it.
    pub(crate) replay_id: Option<ReplayId>,
    pub(crate) endpoint_override: Option<EndpointUrl>,
    /// It is not to go out before this time.
    pub(crate) not_before: Option<Timestamp>,
}

impl Planner {
    pub(crate) fn new(
        parts: &Parts,
        settings: Settings,
        rooms: Arc<Rooms>,
        dispatcher: DispatcherHandle,
    ) -> Planner {
        Planner { clock: parts.clock.clone(), ids: parts.ids.clone(), rooms, dispatcher, settings }
    }

    /// An empty plan.
    pub(crate) fn plan(&self) -> Plan {
        Plan { planned: Vec::new(), rooms: self.rooms.clone(), births: None }
    }

    /// Adds a delivery to every subscription that wants the event. Answers how many there are.
    pub(crate) fn fan_out(&self, plan: &mut Plan, snapshot: &Snapshot, event: &Arc<Event>) -> usize {
        self.fan_out_candidate(plan, snapshot, event, &Candidate::new(event))
    }

    /// The same for an event whose payload somebody may have parsed already.
    pub(crate) fn fan_out_candidate(
        &self,
        plan: &mut Plan,
        snapshot: &Snapshot,
        event: &Arc<Event>,
        candidate: &Candidate<'_>,
    ) -> usize {
        self.deliver(plan, &snapshot.account, fan_out::matching(&snapshot.subscriptions, candidate), event)
    }

    /// The same for an event of our own, among the subscriptions that `may_know` of it.
    pub(crate) fn fan_out_to(
        &self,
        plan: &mut Plan,
        snapshot: &Snapshot,
        event: &Arc<Event>,
        may_know: impl Fn(&Subscription) -> bool,
    ) -> usize {
        let candidate = Candidate::new(event);
        let wanting = fan_out::matching(&snapshot.subscriptions, &candidate);
        let wanting = wanting.filter(|entry| may_know(&entry.subscription));
        self.deliver(plan, &snapshot.account, wanting, event)
    }

    fn deliver<'a>(
        &self,
        plan: &mut Plan,
        account: &Account,
        to: impl Iterator<Item = &'a Arc<Entry>>,
        event: &Arc<Event>,
    ) -> usize {
        let before = plan.planned.len();
        let now = self.clock.now();
        for entry in to {
            self.add(plan, account, &entry.subscription, event, Again::default(), now);
        }
        plan.planned.len() - before
    }

    /// Adds one delivery to a subscription of a handle with this account.
    pub(crate) fn add(
        &self,
        plan: &mut Plan,
        account: &Account,
        to: &Subscription,
        event: &Arc<Event>,
        again: Again,
        now: Timestamp,
    ) -> DeliveryId {
        let rules = LaneRules::of(to, account);
        let is_sent = event.origin.is_sent();
        // What is not sent waits for nothing, and nothing waits for it.
        let ordering_key = (is_sent && to.ordered).then(|| OrderingKey::of(event));
        // Only the store knows whether something older has the same key.
        let due_at = again.not_before.unwrap_or(now).max(now);
        let may_be_born_leased = is_sent && !rules.paused && ordering_key.is_none() && due_at == now;
        if may_be_born_leased {
            plan.births.get_or_insert_with(|| self.rooms.begin_births());
        }
        let state = if !is_sent {
            State::Cancelled { at: now }
        } else if may_be_born_leased && self.rooms.take(to.id) {
            State::InFlight { lease_until: now + self.settings.lease }
        } else {
            State::Scheduled { due_at }
        };
        let delivery = Delivery {
            id: new_id(&*self.ids, now),
            handle: event.handle.clone(),
            event_id: event.id,
            event_type: event.event_type.clone(),
            origin: event.origin,
            subscription_id: to.id,
            ordering_key,
            replay_of: again.replay_of,
            replay_id: again.replay_id,
            endpoint_override: again.endpoint_override,
            state,
            attempts_made: 0,
            interruptions: 0,
            last_outcome: None,
            discarded_at: None,
        };
        let id = delivery.id;
        plan.planned.push((delivery, event.clone(), rules));
        id
    }

    /// Tells the dispatcher of deliveries that are on stable storage and are to be sent.
    pub(crate) async fn announce(&self, mut plan: Plan) {
        let inputs: Vec<_> = plan
            .planned
            .drain(..)
            .filter_map(|(delivery, event, rules)| input(delivery, event, rules))
            .collect();
        if !inputs.is_empty() {
            self.dispatcher.tell(inputs).await;
        }
    }
}

/// What the dispatcher is told of a new delivery; nothing, if it was born finished.
fn input(delivery: Delivery, event: Arc<Event>, rules: LaneRules) -> Option<Input<Work>> {
    let (handle, lane) = (delivery.handle.clone(), delivery.subscription_id);
    match delivery.state {
        State::InFlight { lease_until } => {
            let lease = Lease {
                handle: handle.clone(),
                delivery_id: delivery.id,
                token: BIRTH_TOKEN,
                until: lease_until,
                in_order: false,
            };
            let work = Work(Box::new(Leased { lease, delivery, event }));
            Some(Input::Born { rules, ticket: Ticket { handle, lane, lease_until, work } })
        }
        State::Scheduled { due_at } => Some(Input::Scheduled(Head { handle, lane, rules, due_at })),
        State::Delivered { .. } | State::Dead { .. } | State::Cancelled { .. } => None,
    }
}

impl Plan {
    /// How many deliveries there are.
    pub(crate) fn deliveries_count(&self) -> usize {
        self.planned.len()
    }

    /// The deliveries, for the append.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.planned.iter().map(|(delivery, ..)| delivery.clone()).collect()
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        for (delivery, ..) in &self.planned {
            if let State::InFlight { .. } = delivery.state {
                self.rooms.give_back(delivery.subscription_id);
            }
        }
    }
}
