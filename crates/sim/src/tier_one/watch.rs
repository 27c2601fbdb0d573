//! What is checked at every step: leases held, claims made, and that no lane is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use angarium_domain::dispatch::{Settings, Want};
use angarium_domain::ids::{DeliveryId, SubscriptionId};
use angarium_domain::time::Timestamp;

use crate::checker::Violation;

/// A lane with due work waits no longer than the longest wait for a probe, and a little.
const IDLE_MAX: Duration = Duration::from_secs(65);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Steps at one instant: the machine must not ask to be woken for nothing.
const WAKES_AT_AN_INSTANT_MAX: u32 = 50;

/// Looks over the dispatcher's shoulder.
pub(super) struct Watch {
    settings: Settings,
    /// Leased deliveries that the dispatcher knows of, with their lanes.
    held: BTreeMap<DeliveryId, SubscriptionId>,
    in_flight: usize,
    /// Room asked for by claims under way.
    claiming: BTreeMap<SubscriptionId, u32>,
    idle_since: BTreeMap<SubscriptionId, Timestamp>,
    /// Lanes that send mails.
    mails: BTreeSet<SubscriptionId>,
    looked_at: Timestamp,
    woken_at: (Timestamp, u32),
    /// Lanes claimed from.
    pub(super) claims: u64,
    /// Reasons for a claim: whatever was published, attempted, released, or failed.
    pub(super) reasons: u64,
    pub(super) violations: Vec<Violation>,
}

impl Watch {
    pub(super) fn new(settings: Settings) -> Watch {
        Watch {
            settings,
            held: BTreeMap::new(),
            in_flight: 0,
            claiming: BTreeMap::new(),
            idle_since: BTreeMap::new(),
            mails: BTreeSet::new(),
            looked_at: Timestamp::default(),
            woken_at: (Timestamp::default(), 0),
            claims: 0,
            reasons: 0,
            violations: Vec::new(),
        }
    }

    fn broken(&mut self, promise: &'static str, what: String) {
        self.violations.push(Violation { promise, what });
    }

    /// A new dispatcher knows of nothing.
    pub(super) fn begin_again(&mut self) {
        self.held.clear();
        self.claiming.clear();
        self.idle_since.clear();
        self.in_flight = 0;
    }

    pub(super) fn given(&mut self, id: DeliveryId, lane: SubscriptionId) {
        self.idle_since.remove(&lane);
        self.held.insert(id, lane);
    }

    pub(super) fn taken_back(&mut self, id: DeliveryId) {
        self.reasons += 1;
        if self.held.remove(&id).is_none() {
            self.broken("leases held", format!("{id} was given back and not held"));
        }
    }

    pub(super) fn started(&mut self, id: DeliveryId) {
        self.in_flight += 1;
        if !self.held.contains_key(&id) {
            self.broken("leases held", format!("{id} was attempted and not held"));
        }
    }

    pub(super) fn finished(&mut self, id: DeliveryId) {
        self.in_flight -= 1;
        self.taken_back(id);
    }

    pub(super) fn claims(&mut self, wants: &[Want], silent: &BTreeSet<SubscriptionId>) {
        for want in wants {
            self.claims += 1;
            self.idle_since.remove(&want.lane);
            if self.claiming.insert(want.lane, want.limit).is_some() {
                self.broken("claims", format!("{} is claimed from twice at once", want.lane));
            }
            if silent.contains(&want.lane) {
                self.broken("claims", format!("{} is claimed from and may start nothing", want.lane));
            }
        }
        let promised: usize = self.claiming.values().map(|limit| *limit as usize).sum();
        if self.held.len() + promised > self.settings.held_max {
            let (held, limit) = (self.held.len(), self.settings.held_max);
            self.broken(
                "leases held",
                format!("{promised} are claimed while {held} are held, the limit is {limit}"),
            );
        }
        let (mails, limit) = (self.mails_held(), self.settings.mails_held_max());
        if mails > limit {
            self.broken("mails held", format!("{mails} mails are held or claimed, the limit is {limit}"));
        }
    }

    pub(super) fn claims_ended(&mut self, lanes: &[SubscriptionId]) {
        for lane in lanes {
            self.claiming.remove(lane);
        }
    }

    pub(super) fn woken(&mut self, now: Timestamp) -> bool {
        let (at, count) = self.woken_at;
        self.woken_at = (now, if at == now { count + 1 } else { 0 });
        let in_circles = self.woken_at.1 > WAKES_AT_AN_INSTANT_MAX;
        if in_circles {
            self.broken("wakes", format!("woken {WAKES_AT_AN_INSTANT_MAX} times at {now}"));
        }
        !in_circles
    }

    /// A lane of mails was made.
    pub(super) fn sends_mails(&mut self, lane: SubscriptionId) {
        self.mails.insert(lane);
    }

    /// A lane is gone, and what is left of it is not sent.
    pub(super) fn sends_nothing(&mut self, lane: SubscriptionId) {
        self.mails.remove(&lane);
    }

    /// Mails that are leased or promised.
    fn mails_held(&self) -> usize {
        let held = self.held.values().filter(|lane| self.mails.contains(lane)).count();
        let promised = self.claiming.iter().filter(|(lane, _)| self.mails.contains(lane));
        held + promised.map(|(_, limit)| *limit as usize).sum::<usize>()
    }

    /// Whether it is time to look for lanes that were forgotten: that takes a walk through all of them.
    pub(super) fn has_a_look(&mut self, now: Timestamp) -> bool {
        let long_ago = now.since(self.looked_at) >= LOOK_INTERVAL;
        if long_ago {
            self.looked_at = now;
        }
        long_ago
    }

    /// Nothing more happens at `now`. `due` are the lanes that may go on and have work to do.
    pub(super) fn before_time_moves(&mut self, due: &BTreeSet<SubscriptionId>, now: Timestamp) {
        let promised: usize = self.claiming.values().map(|limit| *limit as usize).sum();
        let full = self.in_flight >= self.settings.in_flight_max
            || self.held.len() + promised >= self.settings.held_max;
        let busy: BTreeSet<SubscriptionId> =
            self.held.values().chain(self.claiming.keys()).copied().collect();
        let full_of_mails = self.mails_held() >= self.settings.mails_in_flight_max;
        let mails = &self.mails;
        let waits = |lane: &SubscriptionId| full || full_of_mails && mails.contains(lane);
        self.idle_since.retain(|lane, _| !waits(lane) && due.contains(lane) && !busy.contains(lane));
        if full {
            return;
        }
        for lane in due.difference(&busy).filter(|lane| !waits(lane)) {
            self.idle_since.entry(*lane).or_insert(now);
        }
        let forgotten: Vec<_> = self
            .idle_since
            .iter()
            .filter(|(_, since)| now.since(**since) > IDLE_MAX)
            .map(|(lane, _)| *lane)
            .collect();
        for lane in forgotten {
            self.idle_since.remove(&lane);
            self.broken(
                "no lane is forgotten",
                format!("{lane} has due work and nothing happened for {IDLE_MAX:?}"),
            );
        }
    }

    /// Nothing will happen any more.
    pub(super) fn at_the_end(&mut self, due: &BTreeSet<SubscriptionId>) {
        for lane in due {
            self.broken("no lane is forgotten", format!("{lane} has work and no wake is set"));
        }
        if self.claims > 2 * self.reasons {
            let (claims, reasons) = (self.claims, self.reasons);
            self.broken("claims", format!("{claims} claims for {reasons} reasons"));
        }
    }

    pub(super) fn had_a_reason(&mut self) {
        self.reasons += 1;
    }
}
