//! The dispatcher: which delivery may start now.
//!
//! A machine without a clock: [`Dispatcher::step`] takes one [`Input`] and the
//! time and answers with [`Command`]s; [`Dispatcher::next_wake`] names the one
//! time at which it wants to be asked again. Whoever owns it carries out the
//! commands and sleeps.
//!
//! Each subscription has a lane. Of a lane's backlog only a window is held in
//! memory, leased; the rest stays in the store, and is claimed when the lane
//! may start it. A receiver that hangs or is down costs its own lane's window
//! and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::handle::Handle;
use crate::health::Breaker;
use crate::ids::SubscriptionId;
use crate::outcome::Outcome;
use crate::subscription::{ChannelKind, Subscription};
use crate::time::Timestamp;
use crate::verification::Verification;

mod lane;
mod turns;

use lane::{Gate, Lane};
use turns::Turns;

/// Limits over all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Attempts under way at a time.
    pub in_flight_max: usize,
    /// Leased deliveries in memory, under way or waiting for their turn.
    pub held_max: usize,
    /// Attempts under way at a time in one lane, where its owner names no smaller number.
    pub concurrency_max: u32,
    /// Attempts of mails under way at a time, over all lanes: there are so many connections to whoever takes
    /// mails. One that would wait for a connection would wait in the place of a webhook.
    pub mails_in_flight_max: usize,
    /// How long before the end of its lease an attempt must be over.
    pub lease_margin: Duration,
}

/// Leased mails in memory, for each that may be under way.
const MAILS_HELD_EACH: usize = 4;

impl Settings {
    /// Leased mails in memory, under way or waiting for their turn.
    pub fn mails_held_max(&self) -> usize {
        self.mails_in_flight_max * MAILS_HELD_EACH
    }
}

/// What a lane must know of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneRules {
    /// At most so many attempts at a time.
    pub max_concurrency: Option<u32>,
    /// At most so many attempts a second.
    pub rate_per_second: Option<u32>,
    /// At most so many attempts a minute, by the receiver's word.
    pub allowed_per_minute: Option<u32>,
    /// Nothing goes out: its owner paused it, or something else holds its deliveries.
    pub paused: bool,
    /// The deadline of an attempt.
    pub timeout: Duration,
    /// Whether it sends mails, which go out over few connections.
    pub mails: bool,
    /// Its subscription is gone: the lane goes with the last of its deliveries.
    pub orphaned: bool,
}

impl LaneRules {
    /// The rules of a subscription of a handle with this account.
    pub fn of(subscription: &Subscription, account: &Account) -> LaneRules {
        LaneRules {
            max_concurrency: subscription.max_concurrency,
            rate_per_second: subscription.rate_limit_per_second,
            allowed_per_minute: subscription
                .verification
                .as_ref()
                .and_then(Verification::allowed_rate_per_minute),
            paused: subscription.holds() || account.holds_deliveries(),
            timeout: subscription.timeout(),
            mails: subscription.channel() == ChannelKind::Email,
            orphaned: false,
        }
    }

    /// The rules of a lane whose subscription is gone: its deliveries are only to be cancelled.
    pub fn orphaned() -> LaneRules {
        LaneRules {
            max_concurrency: None,
            rate_per_second: None,
            allowed_per_minute: None,
            paused: false,
            timeout: Duration::from_secs(1),
            mails: false,
            orphaned: true,
        }
    }
}

/// A leased delivery, in the dispatcher's eyes. `W` is what its owner needs to attempt it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket<W> {
    /// Whose turn it takes.
    pub handle: Handle,
    /// Its lane.
    pub lane: SubscriptionId,
    /// When its lease is void.
    pub lease_until: Timestamp,
    /// What its owner needs.
    pub work: W,
}

/// A lane that has work in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whose lane.
    pub handle: Handle,
    /// Which lane.
    pub lane: SubscriptionId,
    /// Its rules.
    pub rules: LaneRules,
    /// When the earliest scheduled delivery is due.
    pub due_at: Timestamp,
}

/// What a claim brought from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed<W> {
    /// Which lane.
    pub lane: SubscriptionId,
    /// In the order in which they shall start.
    pub tickets: Vec<Ticket<W>>,
    /// When the next one left in the store is due.
    pub next_due_at: Option<Timestamp>,
}

/// What the dispatcher is told.
#[derive(Debug)]
pub enum Input<W> {
    /// The time of [`Dispatcher::next_wake`] has come.
    Woken,
    /// A delivery was appended to a lane and leased in the same commit.
    Born {
        /// The lane's rules.
        rules: LaneRules,
        /// The delivery.
        ticket: Ticket<W>,
    },
    /// A delivery is in the store, to be claimed when it is due.
    Scheduled(Head),
    /// A claim came back. It names every lane that it was for.
    Claimed(Vec<Claimed<W>>),
    /// A claim failed for these lanes.
    ClaimFailed(Vec<SubscriptionId>),
    /// An attempt is over and settled.
    Finished {
        /// Which lane.
        lane: SubscriptionId,
        /// What it came to; none if it was cut short or none was made, which says nothing about the receiver.
        outcome: Option<Outcome>,
    },
    /// A subscription has other rules now.
    Changed {
        /// Whose lane.
        handle: Handle,
        /// Which lane.
        lane: SubscriptionId,
        /// Its rules from now on.
        rules: LaneRules,
    },
    /// A subscription is gone.
    Removed(SubscriptionId),
    /// Start nothing more.
    Draining,
}

/// What the dispatcher asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<W> {
    /// Claim from these lanes and no others; answer with one [`Input::Claimed`] or [`Input::ClaimFailed`].
    Claim(Vec<Want>),
    /// Make an attempt; answer with one [`Input::Finished`].
    Attempt {
        /// The delivery.
        ticket: Ticket<W>,
        /// Since when its receiver has been out, if this is a probe.
        out_since: Option<Timestamp>,
    },
    /// Give these back to the store, due now; then say [`Input::Scheduled`] for their lanes.
    Release(Vec<Ticket<W>>),
    /// Settle these as cancelled: their subscription is gone.
    Withdraw(Vec<Ticket<W>>),
}

/// How much to claim from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Whose lane.
    pub handle: Handle,
    /// Which lane.
    pub lane: SubscriptionId,
    /// At most so many.
    pub limit: u32,
}

/// How many lanes are in which condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneCounts {
    /// Sending or waiting for their turn.
    pub active: usize,
    /// Without work that is due.
    pub idle: usize,
    /// Held back by the breaker.
    pub open: usize,
    /// Paused, or held for another reason.
    pub paused: usize,
}

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Sending or waiting for its turn.
    Active,
    /// Without work that is due.
    Idle,
    /// Held back by the breaker.
    Open,
    /// Paused by its owner.
    Paused,
}

/// A lane, as its dispatcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneReport {
    /// What it is doing.
    pub condition: Condition,
    /// Attempts that may be under way at a time, as its receiver bears them.
    pub limit: u32,
    /// Attempts under way.
    pub in_flight: u32,
    /// Leased and waiting for their turn.
    pub held: u32,
    /// Whether its receiver is worth an attempt.
    pub breaker: Breaker,
}

/// Wait before a claim that failed is made again.
const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Lanes in one claim: bounds the time that a claim holds the store.
const LANES_PER_CLAIM: usize = 64;

/// The dispatcher. Owned by one task; needs no lock, because nobody else can reach it.
#[derive(Debug)]
pub struct Dispatcher<W> {
    settings: Settings,
    lanes: HashMap<SubscriptionId, Lane<W>>,
    /// Lanes with a ticket that may start.
    ready: Turns,
    /// Those of them that send mails.
    ready_mails: Turns,
    /// Whether it is a mail's turn, if there is one.
    mails_next: bool,
    /// Lanes with due work in the store and room for it.
    hungry: Turns,
    /// Those of them that send mails.
    hungry_mails: Turns,
    /// One time for each lane that waits for one.
    wakes: BTreeSet<(Timestamp, SubscriptionId)>,
    /// Lanes whose room may have changed since it was last asked for.
    touched: Vec<SubscriptionId>,
    /// Of all lanes.
    all: Load,
    /// Of those that send mails.
    mails: Load,
    draining: bool,
}

/// What is under way.
#[derive(Debug, Default)]
struct Load {
    in_flight: usize,
    /// Under way, or waiting for their turn.
    held: usize,
    /// Room promised to claims that are under way.
    promised: usize,
}

impl Load {
    fn room(&self, held_max: usize) -> usize {
        held_max.saturating_sub(self.held + self.promised)
    }
}

impl<W> Dispatcher<W> {
    /// A dispatcher without lanes.
    pub fn new(settings: Settings) -> Dispatcher<W> {
        Dispatcher {
            settings,
            lanes: HashMap::new(),
            ready: Turns::default(),
            ready_mails: Turns::default(),
            mails_next: false,
            hungry: Turns::default(),
            hungry_mails: Turns::default(),
            wakes: BTreeSet::new(),
            touched: Vec::new(),
            all: Load::default(),
            mails: Load::default(),
            draining: false,
        }
    }

    /// Takes one input and answers with what is to be done now.
    pub fn step(&mut self, input: Input<W>, now: Timestamp) -> Vec<Command<W>> {
        let mut commands = Vec::new();
        self.take(input, now, &mut commands);
        self.wake_lanes(now);
        self.start_attempts(now, &mut commands);
        self.plan_claim(now, &mut commands);
        commands
    }

    /// When to step with [`Input::Woken`], if nothing else happens before.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.all.in_flight == 0 && self.all.promised == 0
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.all.in_flight
    }

    /// For each lane whose room may have changed since the last call: how many deliveries may be
    /// born leased in it.
    pub fn rooms(&mut self, now: Timestamp) -> Vec<(SubscriptionId, u32)> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let left = |lane: &Lane<W>| self.room(lane.mails) as u32;
        let room = |lane: &Lane<W>| if self.draining { 0 } else { lane.room_for_births(now).min(left(lane)) };
        touched.into_iter().filter_map(|id| Some((id, room(self.lanes.get(&id)?)))).collect()
    }

    /// How many lanes are in which condition.
    pub fn lane_counts(&self, now: Timestamp) -> LaneCounts {
        let mut counts = LaneCounts::default();
        for lane in self.lanes.values() {
            *match lane.condition(now) {
                Condition::Paused => &mut counts.paused,
                Condition::Open => &mut counts.open,
                Condition::Active => &mut counts.active,
                Condition::Idle => &mut counts.idle,
            } += 1;
        }
        counts
    }

    /// One lane. None if nothing was heard of it since the dispatcher began.
    pub fn report(&self, id: SubscriptionId, now: Timestamp) -> Option<LaneReport> {
        self.lanes.get(&id).map(|lane| lane.report(now))
    }

    fn take(&mut self, input: Input<W>, now: Timestamp, commands: &mut Vec<Command<W>>) {
        match input {
            Input::Woken => {}
            Input::Born { rules, ticket } => self.hold(rules, ticket, now, commands),
            Input::Scheduled(head) => {
                self.lane(&head.handle, head.lane, head.rules).scheduled(head.due_at);
                self.consider(head.lane, now);
            }
            Input::Claimed(lanes) => {
                for claimed in lanes {
                    self.claimed(claimed, now, commands);
                }
            }
            Input::ClaimFailed(lanes) => {
                for id in lanes {
                    self.claim_failed(id, now);
                }
            }
            Input::Finished { lane, outcome } => self.finished(lane, outcome, now, commands),
            Input::Changed { handle, lane, rules } => self.changed(&handle, lane, rules, now, commands),
            Input::Removed(id) => self.removed(id, commands),
            Input::Draining => self.drain(commands),
        }
    }

    fn lane(&mut self, handle: &Handle, id: SubscriptionId, rules: LaneRules) -> &mut Lane<W> {
        let concurrency_max = self.settings.concurrency_max;
        self.lanes.entry(id).or_insert_with(|| Lane::new(handle.clone(), rules, concurrency_max))
    }

    fn hold(&mut self, rules: LaneRules, ticket: Ticket<W>, now: Timestamp, commands: &mut Vec<Command<W>>) {
        let id = ticket.lane;
        let (full, full_of_mails) = (self.draining || self.room(false) == 0, self.room(true) == 0);
        let lane = self.lane(&ticket.handle, id, rules);
        let (mails, full) = (lane.mails, full || lane.mails && full_of_mails);
        if lane.removed {
            commands.push(Command::Withdraw(vec![ticket]));
        } else if full || lane.rules.paused || !lane.breaker.is_closed() {
            // It would wait here for something that may not come before its lease ends.
            commands.push(Command::Release(vec![ticket]));
        } else {
            lane.held.push_back(ticket);
            self.change_load(mails, |load| load.held += 1);
        }
        self.consider(id, now);
    }

    fn claimed(&mut self, claimed: Claimed<W>, now: Timestamp, commands: &mut Vec<Command<W>>) {
        let Some(lane) = self.lanes.get_mut(&claimed.lane) else {
            // Removed while the claim was under way.
            return push_unless_empty(commands, Command::Withdraw, claimed.tickets);
        };
        let (mails, promised) = (lane.mails, lane.end_claim(claimed.next_due_at) as usize);
        let mut tickets = claimed.tickets;
        if lane.removed {
            push_unless_empty(commands, Command::Withdraw, tickets);
        } else {
            let kept = if self.draining { 0 } else { lane.keeps(now).min(tickets.len()) };
            let rest = tickets.split_off(kept);
            let held = tickets.len();
            lane.held.extend(tickets);
            self.change_load(mails, |load| load.held += held);
            push_unless_empty(commands, Command::Release, rest);
        }
        self.change_load(mails, |load| load.promised -= promised);
        self.consider_or_forget(claimed.lane, now);
    }

    fn claim_failed(&mut self, id: SubscriptionId, now: Timestamp) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            let (mails, promised) = (lane.mails, lane.end_claim(Some(now + CLAIM_AGAIN_AFTER)) as usize);
            self.change_load(mails, |load| load.promised -= promised);
            self.consider(id, now);
        }
    }

    fn finished(
        &mut self,
        id: SubscriptionId,
        outcome: Option<Outcome>,
        now: Timestamp,
        commands: &mut Vec<Command<W>>,
    ) {
        let mails = self.lanes.get(&id).is_some_and(|lane| lane.mails);
        self.change_load(mails, |load| {
            load.in_flight -= 1;
            load.held -= 1;
        });
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let opened = lane.finished(outcome, now);
        if lane.removed && lane.in_flight == 0 {
            if lane.next_due_at.is_none() {
                self.lanes.remove(&id);
                return;
            }
            // An attempt that outlived the removal was settled for a retry: it is still to be cancelled.
            lane.removed = false;
            lane.rules = LaneRules::orphaned();
        }
        if opened {
            self.release_held(id, commands);
        }
        self.consider_or_forget(id, now);
    }

    fn changed(
        &mut self,
        handle: &Handle,
        id: SubscriptionId,
        rules: LaneRules,
        now: Timestamp,
        commands: &mut Vec<Command<W>>,
    ) {
        let concurrency_max = self.settings.concurrency_max;
        self.lane(handle, id, rules).change(rules, concurrency_max, now);
        if rules.paused {
            self.release_held(id, commands);
        }
        self.consider(id, now);
    }

    fn removed(&mut self, id: SubscriptionId, commands: &mut Vec<Command<W>>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let held: Vec<_> = lane.held.drain(..).collect();
        // What a claim under way brings will be withdrawn when it comes.
        let (mails, promised) = (lane.mails, std::mem::take(&mut lane.promised) as usize);
        let in_flight = lane.in_flight;
        self.change_load(mails, |load| {
            load.held -= held.len();
            load.promised -= promised;
        });
        self.wakes.retain(|(_, waiting)| *waiting != id);
        self.touched.push(id);
        if in_flight == 0 {
            self.lanes.remove(&id);
        } else if let Some(lane) = self.lanes.get_mut(&id) {
            lane.removed = true;
            // The store has cancelled whatever was scheduled.
            lane.next_due_at = None;
        }
        push_unless_empty(commands, Command::Withdraw, held);
    }

    fn drain(&mut self, commands: &mut Vec<Command<W>>) {
        self.draining = true;
        self.wakes.clear();
        let mut lanes: Vec<_> = self.lanes.keys().copied().collect();
        lanes.sort_unstable();
        for id in lanes {
            self.touched.push(id);
            self.release_held(id, commands);
        }
    }

    fn release_held(&mut self, id: SubscriptionId, commands: &mut Vec<Command<W>>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let held: Vec<_> = lane.held.drain(..).collect();
        let mails = lane.mails;
        self.change_load(mails, |load| load.held -= held.len());
        push_unless_empty(commands, Command::Release, held);
    }

    /// Forgets a lane whose subscription is gone once nothing of it is left, and else considers it.
    fn consider_or_forget(&mut self, id: SubscriptionId, now: Timestamp) {
        if self.lanes.get(&id).is_some_and(|lane| lane.rules.orphaned && lane.is_empty()) {
            self.lanes.remove(&id);
        }
        self.consider(id, now);
    }

    /// Puts a lane where its condition says: among the ready, the hungry, or those that wait.
    fn consider(&mut self, id: SubscriptionId, now: Timestamp) {
        self.touched.push(id);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if self.draining || lane.removed {
            return;
        }
        if lane.gate(now) == Gate::Open && !lane.held.is_empty() {
            let ready = if lane.mails { &mut self.ready_mails } else { &mut self.ready };
            ready.push(&lane.handle, id);
        }
        if lane.wants(now) > 0 {
            let hungry = if lane.mails { &mut self.hungry_mails } else { &mut self.hungry };
            hungry.push(&lane.handle, id);
        }
        let wake_at = lane.waits_until(now);
        if let Some(before) = std::mem::replace(&mut lane.wake_at, wake_at) {
            self.wakes.remove(&(before, id));
        }
        if let Some(at) = wake_at {
            self.wakes.insert((at, id));
        }
    }

    fn wake_lanes(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, id));
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.wake_at = None;
            }
            self.consider(id, now);
        }
    }

    fn start_attempts(&mut self, now: Timestamp, commands: &mut Vec<Command<W>>) {
        while !self.draining && self.all.in_flight < self.settings.in_flight_max {
            let Some(id) = self.next_ready() else { return };
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            if lane.gate(now) == Gate::Open
                && let Some(ticket) = lane.held.pop_front()
            {
                let mails = lane.mails;
                let over_by = now + lane.rules.timeout + self.settings.lease_margin;
                if over_by <= ticket.lease_until {
                    let out_since = lane.breaker.out_since();
                    lane.start(now);
                    self.change_load(mails, |load| load.in_flight += 1);
                    commands.push(Command::Attempt { ticket, out_since });
                } else {
                    // It waited too long: a new lease, rather than an attempt that someone else may repeat.
                    self.change_load(mails, |load| load.held -= 1);
                    commands.push(Command::Release(vec![ticket]));
                }
            }
            self.consider(id, now);
        }
    }

    /// The lane that starts the next attempt. Mails and the rest take turns, as long as both may start.
    fn next_ready(&mut self) -> Option<SubscriptionId> {
        self.mails_next = !self.mails_next;
        let mails_may = self.mails.in_flight < self.settings.mails_in_flight_max;
        if self.mails_next && mails_may {
            return self.ready_mails.pop().or_else(|| self.ready.pop());
        }
        let other = self.ready.pop();
        if mails_may { other.or_else(|| self.ready_mails.pop()) } else { other }
    }

    /// How many more deliveries may be held: mails, or any.
    fn room(&self, mails: bool) -> usize {
        let room = self.all.room(self.settings.held_max);
        if mails { room.min(self.mails.room(self.settings.mails_held_max())) } else { room }
    }

    fn change_load(&mut self, mails: bool, change: impl Fn(&mut Load)) {
        change(&mut self.all);
        if mails {
            change(&mut self.mails);
        }
    }

    fn plan_claim(&mut self, now: Timestamp, commands: &mut Vec<Command<W>>) {
        let mut wants = Vec::new();
        while !self.draining && wants.len() < LANES_PER_CLAIM {
            let (left, left_for_mails) = (self.room(false) as u32, self.room(true) as u32);
            if left == 0 {
                break;
            }
            let mail = if left_for_mails > 0 { self.hungry_mails.pop() } else { None };
            let Some(id) = mail.or_else(|| self.hungry.pop()) else { break };
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            let limit = lane.wants(now).min(if lane.mails { left_for_mails } else { left });
            if limit > 0 {
                lane.begin_claim(limit);
                let (mails, handle) = (lane.mails, lane.handle.clone());
                self.change_load(mails, |load| load.promised += limit as usize);
                wants.push(Want { handle, lane: id, limit });
            }
        }
        push_unless_empty(commands, Command::Claim, wants);
    }
}

fn push_unless_empty<W, T>(commands: &mut Vec<Command<W>>, command: fn(Vec<T>) -> Command<W>, items: Vec<T>) {
    if !items.is_empty() {
        commands.push(command(items));
    }
}

#[cfg(test)]
mod tests;
