//! Random histories, lived through by an engine and by the reference at the same time.

use std::fmt::Write as _;
use std::time::Duration;

use angarium_domain::auto_disable::Outage;
use angarium_domain::chain::Progress;
use angarium_domain::delivery::{Delivery, OrderingKey, Settlement, State};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::inbox::Act;
use angarium_domain::replay::{DeliveryFilter, JobStatus, ReplayJob, replayable};
use angarium_domain::retention::Cutoffs;
use angarium_domain::statistics::{Grain, Tally};
use angarium_domain::time::Timestamp;
use secrecy::ExposeSecret;

use super::chains::{come, recounted, rests, session};
use super::fixture::{
    acme, answer, appending, at, beta, birth_lease, dead_at, delivery, entry, event, event_type_entry,
    failed, first_page, item, job, lane, ok, reader, record, repeat, token, token_id, under_key,
};
use super::inboxes::visible_inbox;
use super::shelving::{Shelving, visible_sources};
use crate::Store;
use crate::delivery_queue::{Held, LaneClaim, Lease, Settle};
use crate::directory::Change;
use crate::error::StoreError;
use crate::event_log::{Append, Beside, EventFilter, Lane};
use crate::history::LogFilter;
use crate::inboxes::{ItemFilter, Marking};
use crate::memory::MemoryStore;
use crate::page::PageRequest;
use crate::statistics::Counted;
use crate::write::{Context, Written};

const SEEDS: u64 = 4;
const STEPS: u32 = 150;

/// The same calls have the same answers, and leave the same things to be seen.
pub async fn random_histories_look_as_they_do_in_the_reference_engine(store: &dyn Store) {
    // Later seeds begin with what the earlier ones left in both.
    let reference = MemoryStore::new();
    for seed in 1..=SEEDS {
        let mut history = RandomHistory::new(seed);
        for step in 0..STEPS {
            let done = history.step(&reference, store).await;
            let (expected, found) = (visible(&reference).await, visible(store).await);
            assert!(expected == found, "seed {seed}, step {step}, after {done}:\n{expected}\nbut\n{found}");
        }
    }
}

/// A history in the making: its random numbers, its clock, and who holds which lease.
pub(super) struct RandomHistory {
    random: u64,
    now: i64,
    next: u64,
    leases: Vec<(Lease, u32)>,
}

impl RandomHistory {
    pub(super) fn new(seed: u64) -> RandomHistory {
        RandomHistory { random: seed, now: seed as i64 * 100_000, next: seed * 100_000, leases: Vec::new() }
    }

    /// One call to both stores, with the same answer. Says what it was.
    pub(super) async fn step(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        self.now += self.below(20) as i64;
        match self.below(28) {
            0..4 => self.append(reference, store).await,
            4..6 => self.claim(reference, store).await,
            6..9 => self.settle(reference, store).await,
            9 => self.release(reference, store).await,
            10 => self.take_back(reference, store).await,
            11 => self.replay(reference, store).await,
            12 => self.change(reference, store).await,
            13 => self.discard(reference, store).await,
            14 => self.note_outage(reference, store).await,
            15 => self.count(reference, store).await,
            16 | 17 => self.shelve(reference, store).await,
            18..20 => self.put_item(reference, store).await,
            20..23 => self.mark(reference, store).await,
            23 => self.signals(reference, store).await,
            24 => self.rest(reference, store).await,
            _ => self.forget(reference, store).await,
        }
    }

    /// A number below `end`, by `SplitMix64`.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn lease_end(&self) -> Timestamp {
        at(self.now + 60)
    }

    fn handle(&mut self) -> Handle {
        if self.below(3) == 0 { beta() } else { acme() }
    }

    /// One of three lanes; the third stays in order.
    fn lane(&mut self) -> (SubscriptionId, bool) {
        let n = 1 + self.below(3) as u8;
        (lane(n), n == 3)
    }

    /// One of three keys; the empty one is that of events without one.
    fn ordering_key(&mut self) -> OrderingKey {
        OrderingKey::from_stored(["", "a", "b"][self.below(3) as usize].to_owned())
    }

    async fn append(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        self.next += 1;
        let handle = self.handle();
        let event = event(&handle, self.next);
        let mut deliveries: Vec<Delivery> = Vec::new();
        for _ in 0..self.below(4) {
            let (subscription_id, ordered) = self.lane();
            if deliveries.iter().any(|made| made.subscription_id == subscription_id) {
                continue;
            }
            let state = match self.below(3) {
                0 if !ordered => State::InFlight { lease_until: self.lease_end() },
                _ => State::Scheduled { due_at: at(self.now + self.below(40) as i64) },
            };
            let ordering_key = if ordered { Some(self.ordering_key()) } else { None };
            deliveries.push(Delivery { ordering_key, state, ..delivery(&event, subscription_id) });
        }
        let version = reference.snapshot(&handle).await.expect("it reads").version;
        let stale = u64::from(self.below(8) == 0);
        let key = if self.below(2) == 0 { self.below(12).to_string() } else { self.next.to_string() };
        let make = || Append {
            decided_upon: vec![(handle.clone(), version + stale)],
            context: under_key(&key, self.now()),
            ..appending(vec![event.clone()], deliveries.clone())
        };
        let told = told(&reference.append(make()).await);
        assert_eq!(told, self::told(&store.append(make()).await));
        if told == "done ()" {
            let born = deliveries.iter().filter(|made| matches!(made.state, State::InFlight { .. }));
            self.leases.extend(born.map(|made| (birth_lease(made), 1)));
        }
        "append"
    }

    async fn claim(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let mut lanes = Vec::new();
        for n in 1..=3 {
            let limit = self.below(4) as u32;
            lanes.push(LaneClaim { handle: self.handle(), subscription_id: lane(n), limit });
        }
        let expected = reference.claim(lanes.clone(), self.now(), self.lease_end()).await.expect("it claims");
        let found = store.claim(lanes, self.now(), self.lease_end()).await.expect("it claims");
        assert_eq!(format!("{expected:?}"), format!("{found:?}"));
        let leased = expected.into_iter().flat_map(|lane| lane.leased);
        self.leases.extend(leased.map(|leased| (leased.lease, leased.delivery.next_attempt())));
        "claim"
    }

    /// A lease that is held or was. Some stay in the list, to be used again when they are void.
    fn lease(&mut self) -> Option<(Lease, u32)> {
        if self.leases.is_empty() {
            return None;
        }
        let index = self.below(self.leases.len() as u64) as usize;
        let lease = self.leases[index].clone();
        if self.below(4) > 0 {
            self.leases.swap_remove(index);
        }
        Some(lease)
    }

    async fn settle(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let Some((lease, number)) = self.lease() else { return "nothing" };
        let (next, outcome) = match self.below(4) {
            0 => (State::Scheduled { due_at: at(self.now + 30) }, failed()),
            1 => (dead_at(self.now()), failed()),
            _ => (State::Delivered { at: self.now() }, ok()),
        };
        self.next += 1;
        let notice = event(&lease.handle, self.next);
        let follows = self.below(3) == 0;
        let stale = u64::from(self.below(3) == 0);
        let changes = self.below(3) == 0;
        let tells = self.below(3) == 0;
        let version = reference.snapshot(&lease.handle).await.expect("it reads").version;
        let make = || Settle {
            lease: lease.clone(),
            settlement: Settlement { attempts_made: number, next, outcome: Some(outcome), delay: None },
            record: Some(record(number, outcome)),
            follow_up: follows.then(|| Append {
                decided_upon: vec![(lease.handle.clone(), version + stale)],
                subscription: changes.then(|| entry(&lease.handle, lane(1), "changed by a settlement")),
                beside: tells
                    .then(|| Beside::Item(item(&lease.handle, self.next, self.now())))
                    .into_iter()
                    .collect(),
                ..appending(vec![notice.clone()], vec![])
            }),
        };
        let expected = reference.settle(make()).await.map_err(|error| error.to_string());
        assert_eq!(expected, store.settle(make()).await.map_err(|error| error.to_string()));
        "settle"
    }

    async fn release(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let due_at = self.now();
        let leases: Vec<_> = (0..2).filter_map(|_| self.lease()).map(|(lease, _)| (lease, due_at)).collect();
        reference.release(leases.clone()).await.expect("it writes");
        store.release(leases).await.expect("it writes");
        "release"
    }

    async fn take_back(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let held = if self.below(4) == 0 { Held::ByAnyone } else { Held::Until(self.now()) };
        let expected = reference.take_back(held, self.now()).await.expect("it writes");
        assert_eq!(expected, store.take_back(held, self.now()).await.expect("it writes"));
        "take_back"
    }

    async fn replay(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let handle = self.handle();
        // Now and then one that was replayed or discarded already.
        let original = if self.below(3) == 0 {
            let page =
                reference.deliveries(&handle, LogFilter::default(), first_page(5)).await.expect("it reads");
            page.items
                .into_iter()
                .map(|logged| logged.delivery)
                .rfind(|delivery| replayable(delivery).is_ok())
        } else {
            let found = reference.replayable(&handle, LogFilter::default(), None, 1).await.expect("it reads");
            found.into_iter().next()
        };
        self.next += 1;
        let replays: Vec<_> =
            original.map(|original| repeat(&original, self.next, self.now())).into_iter().collect();
        let running = job(&handle, self.next);
        let status = if self.below(2) == 0 { JobStatus::Running } else { JobStatus::Completed };
        let moved = ReplayJob { replayed: replays.len() as u64, status, ..running.clone() };
        let mut answers = Vec::new();
        for store in [reference, store] {
            assert_eq!(told(&store.create_replay(running.clone(), Context::default()).await), "done ()");
            let append = Append { job: Some(moved.clone()), ..appending(vec![], replays.clone()) };
            answers.push(told(&store.append(append).await));
        }
        assert_eq!(answers[0], answers[1]);
        "replay"
    }

    async fn change(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let handle = self.handle();
        let (subscription_id, _) = self.lane();
        let kind = self.below(7);
        self.next += 1;
        let make = || match kind {
            0 => Change::Remove(subscription_id),
            1 => Change::AddToken(token(&handle, self.next)),
            2 => Change::RevokeToken(token_id(self.next - 1)),
            3 => Change::PutEventType(Box::new(event_type_entry(self.next % 3, &self.next.to_string()))),
            4 => Change::RemoveEventType(event_type_entry(self.next % 3, "").event_type),
            _ => Change::Put(entry(&handle, subscription_id, &self.next.to_string())),
        };
        let version = reference.snapshot(&handle).await.expect("it reads").version;
        let expected = reference.change(&handle, version, make(), self.now(), Context::default()).await;
        let found = store.change(&handle, version, make(), self.now(), Context::default()).await;
        assert_eq!(told(&expected), told(&found));
        "change"
    }

    async fn note_outage(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let (handle, (id, _)) = (self.handle(), self.lane());
        let warned_at = (self.below(2) == 0).then(|| self.now());
        let outage = (self.below(3) > 0).then(|| Outage { since: self.now(), warned_at });
        reference.note_outage(&handle, id, outage).await.expect("it writes");
        store.note_outage(&handle, id, outage).await.expect("it writes");
        "note_outage"
    }

    async fn count(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let mut tally = Tally { attempts: 1 + self.below(9), ..Tally::default() };
        tally.attempt_time.count(Duration::from_micros(self.below(1_000_000)));
        let (subscription_id, _) = self.lane();
        let counted = Counted { handle: self.handle(), subscription_id, at: self.now(), tally };
        for store in [reference, store] {
            store.count(vec![counted.clone(), counted.clone()]).await.expect("it writes");
        }
        "count"
    }

    async fn shelve(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        self.next += 1;
        let (handle, source, kind) = (self.handle(), self.below(3), self.below(12));
        let shelving = Shelving { handle, source, kind, number: self.next, now: self.now() };
        shelving.step(reference, store).await;
        "shelve"
    }

    async fn signals(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let (handle, id) = (self.handle(), session(self.below(3)));
        let (progress, _) = reference.progress(&handle, &id).await.expect("it reads");
        let after = if self.below(5) == 0 { Progress::default() } else { progress };
        let count = 1 + self.below(4);
        let come = || come(&handle, &id, after, count as usize, self.now());
        let append = || Append { beside: vec![Beside::Signals(come())], ..Append::default() };
        assert_eq!(told(&reference.append(append()).await), told(&store.append(append()).await));
        "signals"
    }

    async fn rest(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        self.next += 1;
        let (handle, id) = (self.handle(), session(self.below(3)));
        let standing = reference.standing(&handle, &id, at(0)).await.expect("it reads");
        let after =
            standing.cooldowns.first().map(|it| it.decision_id).filter(|_| !self.next.is_multiple_of(3));
        let rests = || rests(&handle, &id, self.next, after, at(self.now + 100));
        let append = || Append { beside: vec![Beside::Decision(rests())], ..Append::default() };
        assert_eq!(told(&reference.append(append()).await), told(&store.append(append()).await));
        "rest"
    }

    async fn discard(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let handle = self.handle();
        let dead_letters = LogFilter { dead_letters: true, ..LogFilter::default() };
        let page = reference.deliveries(&handle, dead_letters, first_page(3)).await.expect("it reads");
        let Some(oldest) = page.items.last() else { return "nothing" };
        let id = oldest.delivery.id;
        let expected = reference.discard(&handle, id, self.now(), Context::default()).await;
        assert_eq!(told(&expected), told(&store.discard(&handle, id, self.now(), Context::default()).await));
        "discard"
    }

    async fn put_item(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let handle = self.handle();
        // Now and then with the id of one that is there, or was.
        self.next += u64::from(self.below(6) > 0);
        let item = item(&handle, self.next, self.now());
        let make = || Append { beside: vec![Beside::Item(item.clone())], ..Append::default() };
        assert_eq!(told(&reference.append(make()).await), told(&store.append(make()).await));
        "put_item"
    }

    async fn mark(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let (handle, reader) = (self.handle(), reader(self.below(3)));
        let filter = ItemFilter { archived: (self.below(2) == 0).then_some(false), ..ItemFilter::default() };
        let page = first_page(1 + self.below(5) as u32);
        let opened = reference.items(&handle, &reader, filter, page).await.expect("it reads");
        let acts = [Act::See, Act::Read, Act::Unread, Act::Archive, Act::Unarchive];
        let mut changed = Vec::new();
        for marked in &opened.found.items {
            let act = acts[self.below(5) as usize];
            changed.push((marked.number, marked.mark, marked.mark.after(act, self.now())));
        }
        let stale = u64::from(self.below(6) == 0);
        let marking = Marking {
            handle,
            reader,
            decided_upon: (opened.stock.version, opened.reading.version + stale),
            reading: opened.reading.after(changed.iter().map(|(_, old, new)| (*old, *new))),
            marks: changed.iter().map(|(number, _, new)| (*number, *new)).collect(),
        };
        let make =
            || Append { beside: vec![Beside::Marking(Box::new(marking.clone()))], ..Append::default() };
        assert_eq!(told(&reference.append(make()).await), told(&store.append(make()).await));
        "mark"
    }

    async fn forget(&mut self, reference: &dyn Store, store: &dyn Store) -> &'static str {
        let before = |age: u64| self.now().saturating_sub(Duration::from_secs(age));
        let cutoffs = Cutoffs {
            finished_before: before(200),
            dead_before: before(400),
            items_before: before(300),
            items_ended_by: self.now(),
            items_max: Some(8),
            signals_come_by: before(300),
            reports_before: before(600),
            strangers_reports_before: before(600),
            keys_ended_by: self.now(),
            fine_tallies_before: before(600),
            hourly_tallies_before: before(7_200),
        };
        let expected = reference.forget(cutoffs, 1000).await.expect("it writes");
        assert_eq!(expected, store.forget(cutoffs, 1000).await.expect("it writes"));
        "forget"
    }
}

/// A written answer as text: bodies are compared too.
fn told<T: std::fmt::Debug>(result: &Result<Written<T>, StoreError>) -> String {
    match result {
        Ok(Written::Done(value)) => format!("done {value:?}"),
        Ok(Written::Seen(record)) => format!("seen {:?} {:?}", record.scope.as_str(), record.body),
        Err(error) => error.to_string(),
    }
}

/// Everything that can be seen through the ports, as text.
pub(super) async fn visible(store: &dyn Store) -> String {
    let mut text = String::new();
    let mut lanes = store.lanes().await.expect("it reads");
    lanes.sort_by_key(|lane| (lane.handle.clone(), lane.subscription_id));
    let oldest = store.oldest_due().await.expect("it reads");
    let census = store.census().await.expect("it counts");
    let running = store.running_replays().await.expect("it reads");
    let outages = store.outages().await.expect("it reads");
    writeln!(text, "{lanes:?}\n{oldest:?}\n{census:?}\n{running:?}\n{outages:?}")
        .expect("text takes any text");
    for handle in [acme(), beta()] {
        writeln!(text, "{handle}:\n{}", visible_of(store, &handle).await).expect("text takes any text");
    }
    for key in 0..12 {
        let seen = store.seen(&answer(&key.to_string(), at(0)).scope, at(100_000)).await.expect("it reads");
        let body = seen.map(|record| (record.body, record.expires_at));
        writeln!(text, "{key}: {body:?}").expect("text takes any text");
    }
    text
}

async fn visible_of(store: &dyn Store, handle: &Handle) -> String {
    let mut text = String::new();
    let snapshot = store.snapshot(handle).await.expect("it reads");
    writeln!(text, "version {} {:?}", snapshot.version, snapshot.tokens).expect("text takes any text");
    let catalog = store.catalog(handle).await.expect("it reads");
    writeln!(text, "{} {catalog:?}", snapshot.catalog_version).expect("text takes any text");
    let rulebook = store.rulebook(handle).await.expect("it reads");
    writeln!(text, "{} {rulebook:?}", snapshot.rulebook_version).expect("text takes any text");
    for n in 0..3 {
        let session = store.session(handle, &session(n), at(0)).await.expect("it reads");
        writeln!(text, "{session:?}").expect("text takes any text");
    }
    let held = recounted(store, handle, &[session(0), session(1), session(2)]).await;
    writeln!(text, "{held:?}").expect("text takes any text");
    for entry in &snapshot.subscriptions {
        let keys = entry.keys.to_stored();
        writeln!(text, "{:?} {}", entry.subscription, keys.expose_secret()).expect("text takes any text");
    }
    let mut page = first_page(7);
    loop {
        let events = store.events(handle, EventFilter::default(), page).await.expect("it reads");
        writeln!(text, "{:?}", events.items).expect("text takes any text");
        let Some(before) = events.next else { break };
        page = PageRequest { before: Some(before), limit: 7 };
    }
    for n in 1..=3 {
        let of = Lane { handle: handle.clone(), subscription_id: lane(n) };
        for grain in Grain::ALL {
            let tally = store.tally(&of, grain, at(0)).await.expect("it reads");
            writeln!(text, "{tally:?}").expect("text takes any text");
        }
        let backlog = store.waiting(&of, 3).await.expect("it reads");
        writeln!(text, "{backlog:?}").expect("text takes any text");
    }
    text.push_str(&visible_inbox(store, handle).await);
    let jobs = store.replays(handle, first_page(100)).await.expect("it reads");
    writeln!(text, "{jobs:?}\n{}", visible_sources(store, handle).await).expect("text takes any text");
    let mut page = first_page(7);
    loop {
        let deliveries = store.deliveries(handle, LogFilter::default(), page).await.expect("it reads");
        for logged in deliveries.items {
            let attempts = store.attempts(handle, logged.delivery.id).await.expect("it reads");
            writeln!(text, "{logged:?} {attempts:?}").expect("text takes any text");
        }
        let Some(before) = deliveries.next else { break };
        page = PageRequest { before: Some(before), limit: 7 };
    }
    let dead_letters = LogFilter { dead_letters: true, ..LogFilter::default() };
    let dead = store.deliveries(handle, dead_letters, first_page(100)).await.expect("it reads");
    let in_lane = DeliveryFilter { subscription_id: Some(lane(2)), ..DeliveryFilter::default() };
    let in_lane = LogFilter { conditions: in_lane, ..LogFilter::default() };
    let replayable = store.count_replayable(handle, in_lane).await.expect("it counts");
    let triggered = store.last_triggered(handle, vec![lane(1), lane(3)]).await.expect("it reads");
    writeln!(text, "{} dead letters, {replayable} replayable, {triggered:?}", dead.items.len())
        .expect("text takes any text");
    text
}
