//! The loop: what happens next, and what the dispatcher makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use angarium_domain::attempt::{AttemptRecord, Exchange};
use angarium_domain::delivery::{Settlement, State};
use angarium_domain::dispatch::{
    Claimed, Command, Dispatcher, Head, Input, LaneRules, Settings, Ticket, Want,
};
use angarium_domain::ids::{DeliveryId, EventId, SubscriptionId};
use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::time::Timestamp;

use super::Lie;
use super::queue::{Lease, Queue};
use super::scene::delivery;
use super::watch::Watch;
use crate::chance::Chance;
use crate::evidence::{Appended, End, Evidence, Lane, Send, Span};
use crate::receivers::Behaviour;
use crate::story::Story;

const LEASE: Duration = Duration::from_secs(90);
/// Births in a lane that the dispatcher has not heard of.
const ROOM_OF_NEW_LANE: u32 = 8;

/// A lane with its receiver.
pub(super) struct Site {
    pub(super) facts: Lane,
    pub(super) rules: LaneRules,
    pub(super) behaviour: Behaviour,
    /// Births allowed; none while the dispatcher has not said.
    pub(super) room: Option<u32>,
}

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    Publish {
        lane: SubscriptionId,
        count: u64,
    },
    Pause(SubscriptionId),
    Resume(SubscriptionId),
    Remove(SubscriptionId),
    Kill,
    /// A new delivery, with its lease if it was born with one.
    Announced(DeliveryId, Option<Lease>),
    Claim(Vec<Want>),
    ClaimCame(Vec<Claimed<Lease>>),
    ClaimFailed(Vec<SubscriptionId>),
    Answered {
        send: usize,
        lease: Lease,
        outcome: Outcome,
    },
    Settled {
        send: Option<usize>,
        lease: Lease,
        settlement: Settlement,
        record: Option<Box<AttemptRecord>>,
    },
    Released(Vec<Lease>),
}

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) story: Story,
    pub(super) now: Timestamp,
    pub(super) sites: BTreeMap<SubscriptionId, Site>,
    settings: Settings,
    dispatcher: Dispatcher<Lease>,
    queue: Queue,
    /// By time, then by the order in which they were put down. Those of a process die with it.
    agenda: BTreeMap<(Timestamp, u64), (Option<u32>, Happening)>,
    put_down: u64,
    life: u32,
    sends: Vec<Send>,
    leased: BTreeMap<DeliveryId, Vec<Timestamp>>,
    appended: BTreeMap<DeliveryId, Appended>,
    pub(super) watch: Watch,
    lie: Option<Lie>,
}

impl World {
    pub(super) fn new(
        chance: Chance,
        story: Story,
        now: Timestamp,
        settings: Settings,
        lie: Option<Lie>,
    ) -> World {
        World {
            chance,
            story,
            now,
            sites: BTreeMap::new(),
            settings,
            dispatcher: Dispatcher::new(settings),
            queue: Queue::new(lie == Some(Lie::Disorder)),
            agenda: BTreeMap::new(),
            put_down: 0,
            life: 1,
            sends: Vec::new(),
            leased: BTreeMap::new(),
            appended: BTreeMap::new(),
            watch: Watch::new(settings),
            lie,
        }
    }

    /// Puts down what happens whether the process lives or not.
    pub(super) fn plan(&mut self, at: Timestamp, happening: Happening) {
        self.put_down += 1;
        self.agenda.insert((at, self.put_down), (None, happening));
    }

    fn soon(&mut self, after: Duration, happening: Happening) {
        self.put_down += 1;
        self.agenda.insert((self.now + after, self.put_down), (Some(self.life), happening));
    }

    /// Lets everything happen, until nothing will.
    pub(super) fn go(&mut self) {
        while let Some(at) = self.next_time() {
            if at > self.now && self.watch.has_a_look(self.now) {
                let due = self.due_lanes();
                self.watch.before_time_moves(&due, self.now);
            }
            self.now = self.now.max(at);
            if !self.turn() {
                return;
            }
        }
        let with_work = self.lanes_with_work();
        self.watch.at_the_end(&with_work);
    }

    fn next_time(&self) -> Option<Timestamp> {
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        [planned, self.dispatcher.next_wake()].into_iter().flatten().min()
    }

    /// One happening, or a wake. Answers false if the dispatcher goes round in circles.
    fn turn(&mut self) -> bool {
        let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= self.now) else {
            self.input(Input::Woken);
            return self.watch.woken(self.now);
        };
        let (life, happening) = entry.remove();
        if life.is_none_or(|life| life == self.life) {
            self.happen(happening);
        }
        true
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        self.story.tell(self.now, what);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Publish { lane, count } => (0..count).for_each(|_| self.publish(lane)),
            Happening::Pause(lane) => self.pause(lane, true),
            Happening::Resume(lane) => self.pause(lane, false),
            Happening::Remove(lane) => self.remove(lane),
            Happening::Kill => self.kill(),
            Happening::Announced(id, lease) => self.announce(id, lease),
            Happening::Claim(wants) => self.claim(&wants),
            Happening::ClaimCame(claimed) => self.claimed(claimed),
            Happening::ClaimFailed(lanes) => {
                self.tell(format_args!("a claim from {} lanes failed", lanes.len()));
                self.watch.claims_ended(&lanes);
                self.input(Input::ClaimFailed(lanes));
            }
            Happening::Answered { send, lease, outcome } => self.answered(send, lease, outcome),
            Happening::Settled { send, lease, settlement, record } => {
                self.settled(send, lease, settlement, record);
            }
            Happening::Released(leases) => self.released(leases),
        }
    }

    fn input(&mut self, input: Input<Lease>) {
        let commands = self.dispatcher.step(input, self.now);
        for command in commands {
            self.carry_out(command);
        }
        for (lane, room) in self.dispatcher.rooms(self.now) {
            if let Some(site) = self.sites.get_mut(&lane) {
                site.room = Some(room);
            }
        }
    }

    fn publish(&mut self, lane: SubscriptionId) {
        let site = self.sites.get_mut(&lane).expect("only made lanes are published to");
        if site.facts.removed.is_some() {
            return;
        }
        let room = site.room.get_or_insert(ROOM_OF_NEW_LANE);
        let born_leased = *room > 0 && !site.facts.ordered && !site.rules.paused;
        let lease_until = self.now + LEASE;
        let state =
            if born_leased { State::InFlight { lease_until } } else { State::Scheduled { due_at: self.now } };
        *room -= u32::from(born_leased);
        let delivery = delivery(&mut self.chance, lane, &site.facts, state, self.now);
        let id = delivery.id;
        self.queue.append(delivery);
        self.appended.insert(id, Appended { at: self.now, number: self.appended.len() });
        self.tell(format_args!("{id} appended to {lane}{}", if born_leased { ", leased" } else { "" }));
        let after = self.chance.millis(0..=5);
        let lease = Lease { id, token: 1, until: lease_until };
        self.soon(after, Happening::Announced(id, Some(lease).filter(|_| born_leased)));
    }

    fn announce(&mut self, id: DeliveryId, lease: Option<Lease>) {
        self.watch.had_a_reason();
        let lane = self.queue.get(id).subscription_id;
        let (handle, rules) = (self.sites[&lane].facts.handle.clone(), self.rules_of(lane));
        if let Some(lease) = lease {
            self.watch.given(id, lane);
            let ticket = Ticket { handle, lane, lease_until: lease.until, work: lease };
            self.input(Input::Born { rules, ticket });
        } else {
            self.input(self.head_of(lane, id.made_at()));
        }
    }

    /// The rules that the dispatcher is told.
    fn rules_of(&self, lane: SubscriptionId) -> LaneRules {
        let site = &self.sites[&lane];
        let rules = if site.facts.removed.is_some() { LaneRules::orphaned() } else { site.rules };
        match self.lie {
            Some(Lie::HideRate) => LaneRules { rate_per_second: None, ..rules },
            Some(Lie::HideConcurrency) => LaneRules { max_concurrency: None, ..rules },
            Some(Lie::HidePause) => LaneRules { paused: false, ..rules },
            _ => rules,
        }
    }

    fn head_of(&self, lane: SubscriptionId, due_at: Timestamp) -> Input<Lease> {
        let handle = self.sites[&lane].facts.handle.clone();
        Input::Scheduled(Head { handle, lane, rules: self.rules_of(lane), due_at })
    }

    fn pause(&mut self, lane: SubscriptionId, paused: bool) {
        let now = self.now;
        let site = self.sites.get_mut(&lane).expect("only made lanes are paused");
        if site.facts.removed.is_some() || site.rules.paused == paused {
            return;
        }
        site.rules.paused = paused;
        if paused {
            site.facts.pauses.push(Span { from: now, until: Timestamp::MAX });
        } else if let Some(pause) = site.facts.pauses.last_mut() {
            pause.until = now;
        }
        let handle = site.facts.handle.clone();
        self.watch.had_a_reason();
        self.tell(format_args!("{lane} {}", if paused { "paused" } else { "resumed" }));
        self.input(Input::Changed { handle, lane, rules: self.rules_of(lane) });
    }

    fn remove(&mut self, lane: SubscriptionId) {
        self.tell(format_args!("{lane} removed"));
        let site = self.sites.get_mut(&lane).expect("only made lanes are removed");
        site.facts.removed = Some(Span::at(self.now));
        self.watch.sends_nothing(lane);
        self.queue.cancel(lane, self.now);
        // What a claim under way brings is withdrawn when it comes: no room is kept for it.
        self.watch.claims_ended(&[lane]);
        self.input(Input::Removed(lane));
    }

    fn kill(&mut self) {
        self.tell(format_args!("killed"));
        for send in &mut self.sends {
            if let End::Killed { at } = &mut send.end
                && *at == Timestamp::MAX
            {
                *at = self.now;
            }
        }
        self.life += 1;
        self.now = self.now + self.chance.millis(1..=5_000);
        self.queue.take_back(self.now);
        self.dispatcher = Dispatcher::new(self.settings);
        self.watch.begin_again();
        self.sites.values_mut().for_each(|site| site.room = None);
        let heads: Vec<_> =
            self.sites.keys().filter_map(|lane| Some((*lane, self.queue.next_due(*lane)?))).collect();
        for (lane, due_at) in heads {
            self.watch.had_a_reason();
            self.input(self.head_of(lane, due_at));
        }
    }

    fn carry_out(&mut self, command: Command<Lease>) {
        match command {
            Command::Claim(wants) => {
                // A lane that was removed may be claimed from: what was late for its end is cancelled so.
                let silent = |site: &Site| site.rules.paused && site.facts.removed.is_none();
                let lanes = wants.iter().map(|want| want.lane).filter(|lane| silent(&self.sites[lane]));
                let silent = lanes.collect();
                self.watch.claims(&wants, &silent);
                let after = self.chance.millis(0..=10);
                self.soon(after, Happening::Claim(wants));
            }
            Command::Attempt { ticket, out_since } => self.attempt(&ticket, out_since),
            Command::Release(tickets) => {
                self.tell(format_args!("{} released", tickets.len()));
                let leases: Vec<Lease> = tickets.into_iter().map(|ticket| ticket.work).collect();
                for lease in &leases {
                    self.watch.taken_back(lease.id);
                }
                let after = self.chance.millis(0..=10);
                self.soon(after, Happening::Released(leases));
            }
            Command::Withdraw(tickets) => {
                for lease in tickets.into_iter().map(|ticket| ticket.work) {
                    self.watch.taken_back(lease.id);
                    let settlement = self.queue.get(lease.id).cancel(self.now);
                    self.queue.settle(lease, settlement, None);
                }
            }
        }
    }

    fn claim(&mut self, wants: &[Want]) {
        if self.chance.percent(4) {
            self.watch.had_a_reason();
            return self.soon(
                Duration::from_millis(5),
                Happening::ClaimFailed(wants.iter().map(|want| want.lane).collect()),
            );
        }
        let mut claimed = Vec::with_capacity(wants.len());
        for want in wants {
            let (leases, next_due_at) = self.queue.claim(want, self.now, self.now + LEASE);
            let ticket = |lease: &Lease| Ticket {
                handle: want.handle.clone(),
                lane: want.lane,
                lease_until: lease.until,
                work: *lease,
            };
            let tickets: Vec<_> = leases.iter().map(ticket).collect();
            for lease in &leases {
                self.leased.entry(lease.id).or_default().push(self.now);
            }
            self.tell(format_args!("{} of {} claimed from {}", tickets.len(), want.limit, want.lane));
            claimed.push(Claimed { lane: want.lane, tickets, next_due_at });
        }
        // Now and then an answer comes when its leases are nearly over, or are.
        let late = self.chance.percent(2);
        let after = if late { self.chance.millis(70_000..=100_000) } else { self.chance.millis(0..=10) };
        if self.lie != Some(Lie::SwallowClaims) {
            self.soon(after, Happening::ClaimCame(claimed));
        }
    }

    fn claimed(&mut self, claimed: Vec<Claimed<Lease>>) {
        for Claimed { lane, tickets, .. } in &claimed {
            self.watch.claims_ended(&[*lane]);
            for ticket in tickets {
                self.watch.given(ticket.work.id, *lane);
            }
        }
        self.input(Input::Claimed(claimed));
    }

    fn attempt(&mut self, ticket: &Ticket<Lease>, out_since: Option<Timestamp>) {
        let lease = ticket.work;
        self.watch.started(lease.id);
        let site = &self.sites[&ticket.lane];
        let policy = &site.facts.schedule.policy;
        let delivery = self.queue.get(lease.id);
        let given_up = if site.facts.removed.is_some() {
            Some(delivery.cancel(self.now))
        } else {
            out_since.and_then(|since| delivery.expire(policy, since, self.now))
        };
        if let Some(settlement) = given_up {
            return self
                .soon(Duration::ZERO, Happening::Settled { send: None, lease, settlement, record: None });
        }
        let reaction = site.behaviour.react(&mut self.chance, self.now, site.rules.timeout);
        let (event_id, attempt) = (delivery.event_id, delivery.next_attempt());
        self.send(ticket.lane, event_id, attempt);
        let answered = Happening::Answered { send: self.sends.len() - 1, lease, outcome: reaction.outcome };
        self.soon(reaction.after, answered);
        if self.lie == Some(Lie::SendTwice) {
            self.send(ticket.lane, event_id, attempt);
        }
    }

    fn send(&mut self, lane: SubscriptionId, event_id: EventId, attempt: u32) {
        self.tell(format_args!("{event_id} sent to {lane}, attempt {attempt}"));
        self.sends.push(Send {
            life: self.life,
            lane,
            event_id,
            attempt: Some(attempt),
            started_at: self.now,
            // Until something else is known: whoever is still under way at a kill dies with it.
            end: End::Killed { at: Timestamp::MAX },
            request: None,
        });
    }

    fn answered(&mut self, send: usize, lease: Lease, outcome: Outcome) {
        let event = self.sends[send].event_id;
        self.tell(format_args!("{event} answered {outcome}"));
        self.sends[send].end = End::Answered { at: self.now, outcome };
        let delivery = self.queue.get(lease.id);
        let schedule = &self.sites[&self.sends[send].lane].facts.schedule;
        let judged = match (self.lie, outcome) {
            (Some(Lie::WrongClass), Outcome::Answered { status: 500.., .. }) => {
                Outcome::Answered { status: 404, retry_after_seconds: None }
            }
            _ => outcome,
        };
        let Ok(mut settlement) = delivery.settle(judged, &schedule.policy, self.now) else { return };
        if let (Some(Lie::TooSoon), State::Scheduled { .. }) = (self.lie, settlement.next) {
            settlement.next = State::Scheduled { due_at: self.now };
        }
        let exchange = Exchange { outcome, ..Exchange::failed(Failure::InternalError, "", "") };
        let record = AttemptRecord {
            number: delivery.next_attempt(),
            started_at: self.sends[send].started_at,
            exchange,
            class: judged.class(schedule.policy.retry_on()),
            delay: settlement.delay,
        };
        let record = Some(Box::new(record)).filter(|_| self.lie != Some(Lie::ForgetRecord));
        let after = self.chance.millis(0..=10);
        self.soon(after, Happening::Settled { send: Some(send), lease, settlement, record });
    }

    fn settled(
        &mut self,
        send: Option<usize>,
        lease: Lease,
        settlement: Settlement,
        record: Option<Box<AttemptRecord>>,
    ) {
        let lane = self.queue.get(lease.id).subscription_id;
        self.tell(format_args!("{} settled as {:?}", lease.id, settlement.next));
        let forgets = self.lie == Some(Lie::ForgetSettlement);
        let record = record.map(|record| *record);
        let next_due_at = if forgets { None } else { self.queue.settle(lease, settlement, record) };
        self.watch.finished(lease.id);
        let due_at = match settlement.next {
            State::Scheduled { due_at } => Some(due_at),
            _ => next_due_at,
        };
        if let Some(due_at) = due_at {
            self.input(self.head_of(lane, due_at));
        }
        let outcome = send.and_then(|send| self.sends[send].end.outcome());
        self.input(Input::Finished { lane, outcome });
    }

    fn released(&mut self, leases: Vec<Lease>) {
        let mut lanes = BTreeSet::new();
        for lease in leases {
            lanes.insert(self.queue.get(lease.id).subscription_id);
            self.queue.release(lease, self.now);
        }
        for lane in lanes {
            if self.sites[&lane].facts.removed.is_some() {
                // The engine's attempt finds out; here the store does.
                self.queue.cancel(lane, self.now);
            } else {
                self.input(self.head_of(lane, self.now));
            }
        }
    }

    fn lanes_with_work(&self) -> BTreeSet<SubscriptionId> {
        let going = self.sites.iter().filter(|(_, site)| !site.rules.paused && site.facts.removed.is_none());
        going.map(|(lane, _)| *lane).filter(|lane| self.queue.next_due(*lane).is_some()).collect()
    }

    /// Lanes that may go on and have something that is due.
    fn due_lanes(&self) -> BTreeSet<SubscriptionId> {
        let with_work = self.lanes_with_work().into_iter();
        with_work.filter(|lane| self.queue.next_due(*lane).is_some_and(|due| due <= self.now)).collect()
    }

    /// What is left for the checker.
    pub(super) fn into_evidence(self) -> (Evidence, Story, Watch, usize) {
        let deliveries = self.queue.len();
        let evidence = Evidence {
            lanes: self.sites.into_iter().map(|(id, site)| (id, site.facts)).collect(),
            sends: self.sends,
            kept: self.queue.into_kept(),
            appended: self.appended,
            leased: self.leased,
            in_flight_max: self.settings.in_flight_max,
            crashes: self.life - 1,
            ..Evidence::default()
        };
        (evidence, self.story, self.watch, deliveries)
    }
}
