//! What a seed makes of a world: lanes, receivers, and what their owners do.

use std::time::Duration;

use angarium_domain::delivery::{Delivery, OrderingKey, State};
use angarium_domain::dispatch::{LaneRules, Settings};
use angarium_domain::event::Origin;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{Id, SubscriptionId};
use angarium_domain::outcome::RetryOn;
use angarium_domain::time::Timestamp;

use super::Lie;
use super::world::{Happening, Site, World};
use crate::chance::Chance;
use crate::evidence::{Lane, Schedule, Span};
use crate::receivers::Behaviour;
use crate::story::Story;

/// Some day in 2026.
const DAWN: Timestamp = Timestamp::from_seconds(1_780_000_000);

/// The world of a seed.
pub(super) fn world(seed: u64, whole_story: bool, lie: Option<Lie>) -> World {
    let mut chance = Chance::seeded(seed);
    let in_flight_max = chance.within(2..=64) as usize;
    let settings = Settings {
        in_flight_max,
        held_max: in_flight_max * chance.within(1..=4) as usize,
        concurrency_max: chance.within(1..=16) as u32,
        mails_in_flight_max: in_flight_max.div_ceil(4),
        lease_margin: Duration::from_secs(5),
    };
    let mut plans = chance.branch();
    let mut world = World::new(chance, Story::new(DAWN, whole_story), DAWN, settings, lie);
    for number in 0..plans.within(1..=10) {
        add_lane(&mut world, &mut plans, number, settings.concurrency_max);
    }
    for _ in 0..plans.within(0..=3) {
        let at = DAWN + plans.millis(100..=180_000);
        world.plan(at, Happening::Kill);
    }
    world
}

fn add_lane(world: &mut World, chance: &mut Chance, number: u64, concurrency_max: u32) {
    let id: SubscriptionId = Id::new(DAWN, chance.bytes());
    // No lot is drawn for it: the stories of the seeds stay what they are but for this.
    let rules = LaneRules { mails: number % 4 == 3, ..rules(chance) };
    let handle: Handle = format!("handle-{}", number % 3).parse().expect("a handle");
    let behaviour = Behaviour::any(chance, DAWN);
    let facts = Lane {
        handle,
        schedule: schedule(chance),
        ordered: ordered(chance),
        rate_per_second: rules.rate_per_second,
        concurrency_max: rules.max_concurrency.unwrap_or(concurrency_max).min(concurrency_max),
        healthy: behaviour == Behaviour::Healthy,
        is_inbox: false,
        made: Span::at(DAWN),
        removed: None,
        pauses: Vec::new(),
        urls: Vec::new(),
        secrets: Vec::new(),
    };
    world.tell_of(id, behaviour, rules);
    if rules.mails {
        world.watch.sends_mails(id);
    }
    world.sites.insert(id, Site { facts, rules, behaviour, room: None });
    plan_owner(world, chance, id);
}

/// The rules of some lane.
pub(crate) fn rules(chance: &mut Chance) -> LaneRules {
    LaneRules {
        max_concurrency: chance.percent(30).then(|| chance.within(1..=8) as u32),
        rate_per_second: chance.percent(25).then(|| *chance.pick(&[1, 2, 5, 10, 25, 100])),
        allowed_per_minute: None,
        paused: false,
        timeout: Duration::from_secs(chance.within(1..=10)),
        mails: false,
        orphaned: false,
    }
}

/// Whether some lane stays in order.
pub(crate) fn ordered(chance: &mut Chance) -> bool {
    chance.percent(25)
}

/// The schedule of some lane.
pub(crate) fn schedule(chance: &mut Chance) -> Schedule {
    let retry_on = *chance.pick(&[RetryOn::Transient, RetryOn::AnyFailure, RetryOn::AnyFailureButGone]);
    match chance.within(0..=4) {
        0 => Schedule::custom(vec![], retry_on),
        1 => Schedule::custom(vec![1, 2, 3], retry_on),
        2 => Schedule::custom(vec![0, 30], retry_on),
        _ => Schedule::fast(),
    }
}

fn plan_owner(world: &mut World, chance: &mut Chance, lane: SubscriptionId) {
    let span = chance.within(1_000..=120_000);
    for _ in 0..chance.within(1..=12) {
        let at = DAWN + chance.millis(0..=span);
        let count = if chance.percent(15) { chance.within(10..=40) } else { chance.within(1..=3) };
        world.plan(at, Happening::Publish { lane, count });
    }
    if chance.percent(25) {
        let at = DAWN + chance.millis(0..=span);
        let back = at + chance.millis(1..=60_000);
        world.plan(at, Happening::Pause(lane));
        world.plan(back, Happening::Resume(lane));
    }
    if chance.percent(10) {
        let at = DAWN + chance.millis(0..=2 * span);
        world.plan(at, Happening::Remove(lane));
    }
}

/// A delivery of a new event.
pub(super) fn delivery(
    chance: &mut Chance,
    lane: SubscriptionId,
    facts: &Lane,
    state: State,
    now: Timestamp,
) -> Delivery {
    let key = |chance: &mut Chance| (*chance.pick(&["", "a", "b", "c"])).to_owned();
    let ordering_key = facts.ordered.then(|| OrderingKey::from_stored(key(chance)));
    Delivery {
        id: Id::new(now, chance.bytes()),
        handle: facts.handle.clone(),
        event_id: Id::new(now, chance.bytes()),
        event_type: "order.paid".parse().expect("an event type"),
        origin: Origin::Live,
        subscription_id: lane,
        ordering_key,
        replay_of: None,
        replay_id: None,
        endpoint_override: None,
        state,
        attempts_made: 0,
        interruptions: 0,
        last_outcome: None,
        discarded_at: None,
    }
}

impl World {
    fn tell_of(&mut self, id: SubscriptionId, behaviour: Behaviour, rules: LaneRules) {
        self.story.tell(self.now, format_args!("{id} is {behaviour:?} with {rules:?}"));
    }

    /// How long it has been since dawn.
    pub(super) fn lasted(&self) -> Duration {
        self.now.since(DAWN)
    }
}
