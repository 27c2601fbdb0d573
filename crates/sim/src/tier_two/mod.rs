//! Tier two: the real loops of the engine, on a runtime whose time is simulated.
//!
//! Each life of the process is a runtime of its own; to kill it is to drop the runtime. The memory
//! store and the ledgers of publishers and receivers survive.

mod channel;
mod errands;
mod faulty_store;
mod inboxes;
mod life;
mod parts;
mod people;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReplayId;
use angarium_domain::retention::Retention;
use angarium_domain::time::Timestamp;
use angarium_engine::Settings;
use angarium_store::event_log::EventFilter;
use angarium_store::history::LogFilter;
use angarium_store::memory::MemoryStore;
use angarium_store::page::{LIMIT_MAX, PageRequest};
use angarium_store::{EventLog, History, Replays, StoreError, Upkeep};

use crate::chance::Chance;
use crate::checker;
use crate::evidence::{Evidence, Kept};
use crate::report::{Figures, Report, Tier};
use crate::story::Story;

use life::{Cast, Ending, Fate};
use parts::SimIds;
use stage::{Point, Stage, Weather};

/// A way in which a part can break a promise, to show that the checker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Now and then the store acknowledges an append that it did not write.
    ForgetCommit,
    /// Now and then the store acknowledges a settlement that it did not write.
    ForgetSettlement,
    /// The store drops what follows from a settlement.
    HideDeaths,
    /// The channel sends every request twice.
    SendTwice,
    /// The channel changes bodies.
    ChangeBody,
    /// The channel takes a 5xx for a success.
    Mistell,
    /// The channel sends to the first address of each subscription.
    KeepAddress,
    /// The store forgets idempotency keys.
    ForgetKeys,
    /// The store forgets what stays in order.
    Disorder,
    /// The store forgets what was replayed, and lets it be replayed again.
    ForgetReplays,
    /// The store takes its time to say that it has written.
    Dawdle,
}

/// Some day in 2026.
const DAWN: Timestamp = Timestamp::from_seconds(1_780_000_000);

/// Runs one seed.
pub fn run(seed: u64, whole_story: bool, lie: Option<Lie>) -> Report {
    let mut chance = Chance::seeded(seed);
    // Every fourth world is calm: there, nobody may have to wait for us.
    let calm = seed.is_multiple_of(4);
    let cast = Cast {
        settings: settings(&mut chance, calm),
        ids: Arc::new(SimIds::new(chance.branch())),
        store: MemoryStore::new(),
        handles: ["acme", "globex"].map(|name| name.parse().expect("a handle")).to_vec(),
        stage: Stage::new(chance.branch(), Story::new(DAWN, whole_story), lie),
    };
    let mut now = DAWN;
    for fate in fates(&mut chance, calm, now) {
        now = cast.live(now, &fate) + chance.millis(0..=20_000);
    }
    conclude(seed, cast, calm, now)
}

fn settings(chance: &mut Chance, calm: bool) -> Settings {
    // Nothing is forgotten: the checker wants to see all of it.
    let retention = {
        let year = Duration::from_hours(8_760);
        Retention { finished: year, dead: year, inbox: year, ..Retention::default() }
    };
    if calm {
        return Settings { retention, ..Settings::default() };
    }
    let attempts_in_flight_max = chance.within(4..=64) as usize;
    Settings {
        attempts_in_flight_max,
        held_max: attempts_in_flight_max * 2,
        concurrency_per_subscription_max: chance.within(2..=16) as u32,
        lease: Duration::from_secs(chance.within(40..=90)),
        retention,
        retry_waits_percent: 100,
        ..Settings::default()
    }
}

fn fates(chance: &mut Chance, calm: bool, now: Timestamp) -> Vec<Fate> {
    let subscriptions = chance.within(2..=6);
    let mut fates = Vec::new();
    if !calm {
        for number in 0..chance.within(1..=4) {
            let first = if number == 0 { subscriptions } else { 0 };
            fates.push(Fate { subscriptions: first, ..troubled(chance, now) });
        }
    }
    let first = if calm { subscriptions } else { 0 };
    let errands = if calm { chance.within(20..=60) } else { 5 };
    fates.push(Fate {
        weather: Weather::default(),
        subscriptions: first,
        errands,
        ending: Ending::Completion,
    });
    fates
}

fn troubled(chance: &mut Chance, now: Timestamp) -> Fate {
    let kill_at = chance.percent(50).then(|| (*chance.pick(&Point::ALL), chance.within(1..=40) as u32));
    let refuses_percent = *chance.pick(&[0, 0, 1, 5]);
    let outage = chance.percent(20).then(|| {
        let from = now + chance.millis(1_000..=20_000);
        (from, from + chance.millis(500..=30_000))
    });
    let ending = match chance.within(0..=3) {
        0 | 1 => Ending::Kill,
        2 => Ending::Drain(*chance.pick(&[
            Duration::ZERO,
            Duration::from_millis(300),
            Duration::from_secs(30),
        ])),
        _ => Ending::KillDuringDrain(chance.millis(0..=3_000)),
    };
    let errands = chance.within(5..=50);
    Fate { weather: Weather { kill_at, refuses_percent, outage }, subscriptions: 0, errands, ending }
}

fn conclude(seed: u64, cast: Cast, calm: bool, now: Timestamp) -> Report {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without input and output");
    let jobs = std::mem::take(&mut cast.stage.ledgers().jobs);
    let stored = runtime.block_on(stored(&cast.store, &cast.handles, &jobs));
    let mut evidence = stored.expect("a store in memory can be read");
    let inboxes = std::mem::take(&mut cast.stage.ledgers().inboxes);
    let concurrency_max = cast.settings.concurrency_per_subscription_max;
    let lanes = runtime.block_on(inboxes::open(&cast.store, inboxes, concurrency_max, &mut evidence));
    let lanes = lanes.expect("a store in memory can be read");
    let in_flight_max = cast.settings.attempts_in_flight_max;
    let Cast { stage, .. } = cast;
    let mut ledgers = stage.ledgers();
    let receivers = std::mem::take(&mut ledgers.receivers);
    let sends = std::mem::take(&mut ledgers.sends).into_iter();
    let unowned =
        |receiver: usize| panic!("receiver {receiver} has no lane, though every errand was pursued");
    evidence.sends = sends
        .map(|(receiver, mut send)| {
            send.lane = receivers[receiver].lane.unwrap_or_else(|| unowned(receiver));
            send
        })
        .collect();
    evidence.lanes = std::mem::take(&mut ledgers.lanes);
    evidence.lanes.extend(lanes);
    evidence.appended = std::mem::take(&mut ledgers.appended);
    evidence.leased = std::mem::take(&mut ledgers.leased);
    evidence.published = std::mem::take(&mut ledgers.published);
    evidence.answers = std::mem::take(&mut ledgers.answers);
    evidence.promised = std::mem::take(&mut ledgers.promised);
    evidence.replays_told = ledgers.replays_told;
    (evidence.crashes, evidence.refusals) = (ledgers.crashes, ledgers.refusals);
    evidence.calm = calm;
    evidence.in_flight_max = in_flight_max;
    let story = std::mem::replace(&mut ledgers.story, Story::new(DAWN, false));
    let figures = Figures {
        deliveries: evidence.kept.len(),
        sends: evidence.sends.len(),
        crashes: evidence.crashes,
        lasted: now.since(DAWN),
    };
    let violations = checker::judge_all(&evidence);
    Report { tier: Tier::Two, seed, digest: story.digest(), violations, story: story.into_lines(), figures }
}

/// Everything that the store holds.
async fn stored(
    store: &MemoryStore,
    handles: &[Handle],
    jobs: &[(Handle, ReplayId)],
) -> Result<Evidence, StoreError> {
    let mut evidence = Evidence { census: store.census().await?, ..Evidence::default() };
    for handle in handles {
        let mut page = PageRequest { before: None, limit: LIMIT_MAX };
        loop {
            let found = store.deliveries(handle, LogFilter::default(), page).await?;
            for logged in found.items {
                let attempts = store.attempts(handle, logged.delivery.id).await?;
                evidence.kept.push(Kept { delivery: logged.delivery, attempts });
            }
            page.before = found.next;
            if found.next.is_none() {
                break;
            }
        }
        loop {
            let found = store.events(handle, EventFilter::default(), page).await?;
            evidence.events.extend(found.items.into_iter().map(|event| (event.id, event)));
            page.before = found.next;
            if found.next.is_none() {
                break;
            }
        }
    }
    for (handle, id) in jobs {
        evidence.jobs.extend(store.replay(handle, *id).await?);
    }
    Ok(evidence)
}

#[cfg(test)]
mod tests;
