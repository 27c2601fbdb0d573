//! The dispatcher's shell: it owns the machine, feeds it, and carries out what it asks for.
//!
//! No policy here. If a line in this file decides something, it belongs in
//! `angarium_domain::dispatch`.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::dispatch::{
    Claimed, Command, Dispatcher, Head, Input, LaneRules, Settings as Limits, Ticket, Want,
};
use angarium_domain::ids::SubscriptionId;
use angarium_store::delivery_queue::{ClaimedLane, LaneClaim, LaneHead, Leased, Unreadable};
use angarium_store::{Store, StoreError};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

pub(crate) mod inbox;

use inbox::{DispatcherHandle, Inbox, Message, Work};

use crate::attempt::Attempts;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::rooms::Rooms;
use crate::snapshots::{Snapshots, find};
use crate::tasks::Tasks;
use crate::{LEASE_MARGIN, Parts, Settings};

/// Messages taken in one turn.
const TURN_MAX: usize = 256;
/// The lanes are listed anew this often. Correctness does not depend on it while this process
/// owns its store; it finds work that others left.
const LIST_INTERVAL: Duration = Duration::from_secs(30);
/// The figures about lanes are counted this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The longest sleep: bounds how late we notice that the wall clock was moved.
const SLEEP_MAX: Duration = Duration::from_secs(5);

pub(crate) struct DispatcherLoop {
    machine: Dispatcher<Work>,
    inbox: Inbox,
    hands: Hands,
    rooms: Arc<Rooms>,
    metrics: Arc<Metrics>,
    drained: Vec<oneshot::Sender<()>>,
}

/// What the loop carries commands out with: each in a task of its own, so that none holds it up.
#[derive(Clone)]
struct Hands {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    snapshots: Snapshots,
    attempts: Attempts,
    dispatcher: DispatcherHandle,
    tasks: Tasks,
    lease: Duration,
}

impl DispatcherLoop {
    #[expect(clippy::too_many_arguments, reason = "called once, where the engine is put together")]
    pub(crate) fn new(
        parts: &Parts,
        settings: Settings,
        snapshots: Snapshots,
        rooms: Arc<Rooms>,
        attempts: Attempts,
        inbox: Inbox,
        dispatcher: DispatcherHandle,
        tasks: Tasks,
    ) -> DispatcherLoop {
        let limits = Limits {
            in_flight_max: settings.attempts_in_flight_max,
            held_max: settings.held_max,
            concurrency_max: settings.concurrency_per_subscription_max,
            mails_in_flight_max: parts.mailing.connections_max,
            lease_margin: LEASE_MARGIN,
        };
        let Parts { store, clock, metrics, .. } = parts.clone();
        let hands = Hands { store, clock, snapshots, attempts, dispatcher, tasks, lease: settings.lease };
        DispatcherLoop { machine: Dispatcher::new(limits), inbox, hands, rooms, metrics, drained: Vec::new() }
    }

    pub(crate) async fn run(mut self) {
        let mut list = tokio::time::interval(LIST_INTERVAL);
        list.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = tokio::time::interval(REPORT_INTERVAL);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut messages = Vec::with_capacity(TURN_MAX);
        loop {
            let sleep = self.until_next_wake();
            // In this order, so that neither a full inbox nor chance decides what is heard.
            tokio::select! {
                biased;
                _ = list.tick() => self.hands.list_lanes(),
                _ = report.tick() => self.report(),
                taken = self.inbox.0.recv_many(&mut messages, TURN_MAX) => {
                    let closed = taken == 0;
                    for message in messages.drain(..) {
                        if let Message::Close = message {
                            return;
                        }
                        self.hear(message);
                    }
                    if closed {
                        return;
                    }
                }
                () = tokio::time::sleep(sleep) => self.step(Input::Woken),
            }
            self.end_turn();
        }
    }

    fn until_next_wake(&self) -> Duration {
        let now = self.hands.clock.now();
        self.machine.next_wake().map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX))
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Inputs(inputs) => inputs.into_iter().for_each(|input| self.step(input)),
            Message::CaughtUp(answer) => {
                let _ = answer.send(());
            }
            Message::Report(lane, answer) => {
                let _ = answer.send(self.machine.report(lane, self.hands.clock.now()));
            }
            Message::Drain(answer) => {
                self.rooms.close();
                self.drained.push(answer);
                self.step(Input::Draining);
            }
            Message::ListLanes => self.hands.list_lanes(),
            Message::Close => {}
        }
    }

    fn step(&mut self, input: Input<Work>) {
        if let Input::Removed(lane) = &input {
            self.rooms.forget(*lane);
        }
        let now = self.hands.clock.now();
        for command in self.machine.step(input, now) {
            self.hands.carry_out(command);
        }
    }

    fn end_turn(&mut self) {
        let now = self.hands.clock.now();
        self.rooms.set(self.machine.rooms(now));
        if self.machine.is_idle() {
            for answer in self.drained.drain(..) {
                // Whoever asked may have gone.
                let _ = answer.send(());
            }
        }
    }

    fn report(&self) {
        let now = self.hands.clock.now();
        let inbox = self.inbox.0.len();
        self.metrics.dispatcher(self.machine.lane_counts(now), self.machine.in_flight(), inbox);
    }
}

impl Hands {
    fn carry_out(&self, command: Command<Work>) {
        let hands = self.clone();
        match command {
            Command::Claim(wants) => drop(self.tasks.spawn(async move { hands.claim(wants).await })),
            Command::Attempt { ticket, out_since } => {
                let cutoff = self.tasks.cutoff();
                self.tasks.spawn(hands.attempts.run(ticket.work, out_since, cutoff));
            }
            Command::Release(tickets) => drop(self.tasks.spawn(async move { hands.release(tickets).await })),
            Command::Withdraw(tickets) => {
                drop(self.tasks.spawn(async move { hands.withdraw(tickets).await }));
            }
        }
    }

    async fn claim(self, wants: Vec<Want>) {
        let now = self.clock.now();
        let lanes = wants.iter().map(lane_claim).collect();
        let input = match self.store.claim(lanes, now, now + self.lease).await {
            Ok(mut claimed) => {
                for lane in &mut claimed {
                    let unreadable = lane.unreadable.drain(..).map(|found| (lane.subscription_id, found));
                    unreadable.for_each(|(lane, found)| self.give_up(lane, found));
                }
                Input::Claimed(claimed.into_iter().map(tickets).collect())
            }
            Err(error) => {
                tracing::warn!(%error, "a claim failed; it is made again");
                Input::ClaimFailed(wants.into_iter().map(|want| want.lane).collect())
            }
        };
        self.dispatcher.tell(vec![input]).await;
    }

    /// Ends a delivery that cannot be read, in a task of its own.
    fn give_up(&self, lane: SubscriptionId, found: Unreadable) {
        let hands = self.clone();
        self.tasks.spawn(async move {
            let handle = found.lease.handle.clone();
            match hands.attempts.give_up(found).await {
                Ok(next_due_at) => {
                    let head = |next_due_at| LaneHead { handle, subscription_id: lane, next_due_at };
                    hands.tell_heads(next_due_at.map(head).into_iter().collect()).await;
                }
                Err(StoreError::LeaseLost) => {}
                Err(error) => {
                    tracing::warn!(%error, "a delivery that cannot be read could not be ended; its lease ends by itself");
                }
            }
        });
    }

    async fn release(self, tickets: Vec<Ticket<Work>>) {
        let now = self.clock.now();
        let leases = tickets.iter().map(|ticket| (ticket.work.0.lease.clone(), now)).collect();
        if let Err(error) = self.store.release(leases).await {
            // Their leases end by themselves, and the chores take them back.
            tracing::warn!(%error, count = tickets.len(), "deliveries could not be released");
            return;
        }
        let lanes = tickets.into_iter().map(|ticket| LaneHead {
            handle: ticket.handle,
            subscription_id: ticket.lane,
            next_due_at: now,
        });
        self.tell_heads(lanes.collect()).await;
    }

    async fn withdraw(self, tickets: Vec<Ticket<Work>>) {
        for Ticket { work, .. } in tickets {
            match self.attempts.cancel(&work.0).await {
                Ok(_) | Err(StoreError::LeaseLost) => {}
                Err(error) => {
                    tracing::warn!(%error, "a delivery could not be withdrawn; its lease ends by itself");
                }
            }
        }
    }

    /// Lists the lanes with work in the store, in a task of its own.
    fn list_lanes(&self) {
        let hands = self.clone();
        self.tasks.spawn(async move {
            match hands.store.lanes().await {
                Ok(lanes) => hands.tell_heads(lanes).await,
                Err(error) => tracing::warn!(%error, "the lanes could not be listed; they are listed again"),
            }
        });
    }

    async fn tell_heads(&self, lanes: Vec<LaneHead>) {
        let mut inputs = Vec::with_capacity(lanes.len());
        for lane in lanes {
            match self.head(lane).await {
                Ok(head) => inputs.extend(head.map(Input::Scheduled)),
                Err(error) => tracing::warn!(%error, "a lane could not be looked up; it is listed again"),
            }
        }
        self.dispatcher.tell(inputs).await;
    }

    /// None for a handle that was deleted: what it had is removed, and not one by one.
    async fn head(&self, lane: LaneHead) -> Result<Option<Head>, StoreError> {
        let LaneHead { handle, subscription_id, next_due_at } = lane;
        let snapshot = self.snapshots.get(&handle).await?;
        if snapshot.account.is_removed() {
            return Ok(None);
        }
        let entry = find(&snapshot, subscription_id);
        // Without a subscription the deliveries are only to be cancelled, which their attempt finds out.
        let rules = entry
            .map_or(LaneRules::orphaned(), |entry| LaneRules::of(&entry.subscription, &snapshot.account));
        Ok(Some(Head { handle, lane: subscription_id, rules, due_at: next_due_at }))
    }
}

fn lane_claim(want: &Want) -> LaneClaim {
    LaneClaim { handle: want.handle.clone(), subscription_id: want.lane, limit: want.limit }
}

fn tickets(claimed: ClaimedLane) -> Claimed<Work> {
    let ticket = |leased: Leased| Ticket {
        handle: leased.lease.handle.clone(),
        lane: leased.delivery.subscription_id,
        lease_until: leased.lease.until,
        work: Work(Box::new(leased)),
    };
    Claimed {
        lane: claimed.subscription_id,
        tickets: claimed.leased.into_iter().map(ticket).collect(),
        next_due_at: claimed.next_due_at,
    }
}
