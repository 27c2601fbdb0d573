//! The people around the product: they think of errands, ask, and write down what they were told.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::delivery::Status;
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::replay::{DeliveryFilter, Target};
use angarium_domain::signature::SigningProfile;
use angarium_domain::time::Timestamp;
use angarium_engine::{Clock, Engine};
use angarium_store::page::PageRequest;
use serde_json::Value;
use tokio::task::JoinSet;

use super::channel::url_of;
use super::errands::{Errand, Refusal, Spec, What, accepted_in};
use super::stage::{Ledgers, Receiver, Stage};
use crate::chance::Chance;
use crate::evidence::{Lane, Published, Span, Told};
use crate::receivers::Behaviour;
use crate::tier_one::scene;

/// The people, with one life of the product before them.
#[derive(Clone)]
pub(super) struct People {
    pub(super) stage: Stage,
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) concurrency_max: u32,
}

/// Replays of single deliveries after which nobody asks for many: a replayed death is a death more.
const REPLAYS_MAX: usize = 12;
/// Jobs in one world: enough that some meet each other.
const JOBS_MAX: usize = 4;

impl People {
    /// Makes a receiver and wants a subscription for it.
    pub(super) fn think_of_a_subscription(&self, handle: &Handle) -> Errand {
        let now = self.clock.now();
        let mut ledgers = self.stage.ledgers();
        let receiver = ledgers.receivers.len();
        let behaviour = Behaviour::any(&mut ledgers.chance, now);
        ledgers.receivers.push(Receiver { lane: None, behaviour });
        let spec = spec(&mut ledgers.chance);
        ledgers.story.tell(now, format_args!("receiver {receiver} is {behaviour:?} with {spec:?}"));
        ledgers.errand(handle, now, What::Create { receiver, spec: Box::new(spec) })
    }

    /// Wants events in the inboxes of some handles.
    pub(super) fn think_of_inboxes(&self, handles: &[Handle]) -> Vec<Errand> {
        let now = self.clock.now();
        let mut ledgers = self.stage.ledgers();
        let filled: Vec<&Handle> = handles.iter().filter(|_| ledgers.chance.percent(50)).collect();
        filled.into_iter().map(|handle| ledgers.errand(handle, now, What::FillInbox)).collect()
    }

    /// Wants something, if there is anything to be wanted.
    pub(super) async fn think(&self, handle: &Handle) -> Option<Errand> {
        let now = self.clock.now();
        let dice = self.stage.ledgers().chance.within(0..=99);
        match dice {
            0..=3 => self.think_of_a_delivery(handle, true).await,
            4..=5 => self.think_of_a_delivery(handle, false).await,
            6..=8 => self.stage.ledgers().think_of_many_replays(handle, now),
            9 => Some(self.think_of_a_subscription(handle)),
            10..=26 => self.stage.ledgers().think_of_a_change(handle, now),
            _ => Some(self.stage.ledgers().think_of_events(handle, now)),
        }
    }

    async fn think_of_a_delivery(&self, handle: &Handle, replay: bool) -> Option<Errand> {
        let status = Some(if replay && self.stage.ledgers().chance.percent(50) {
            Status::Delivered
        } else {
            Status::Dead
        });
        let filter = DeliveryFilter { status, ..DeliveryFilter::default() };
        let newest = PageRequest { before: None, limit: 20 };
        let found = self.engine.deliveries.list(handle, filter, !replay, newest).await.ok()?;
        let now = self.clock.now();
        let mut ledgers = self.stage.ledgers();
        if found.items.is_empty() {
            return None;
        }
        let delivery = ledgers.chance.pick(&found.items).logged.delivery.id;
        let to = *ledgers.chance.pick(&[Target::Current, Target::Original]);
        let what = if replay { What::ReplayOne { delivery, to } } else { What::Discard { delivery } };
        Some(ledgers.errand(handle, now, what))
    }

    /// Asks, now and then twice at once, and again until there is an answer.
    pub(super) fn send_out(&self, errand: &Errand, on_their_way: &mut JoinSet<()>) {
        let twice = errand.keyed && self.stage.ledgers().chance.percent(20);
        for _ in 0..=usize::from(twice) {
            on_their_way.spawn(self.clone().pursue(errand.clone()));
        }
    }

    async fn pursue(self, errand: Errand) {
        loop {
            let events = self.stage.ledgers().events_of(&errand);
            let asked = errand.ask(self.engine.clone(), events).await;
            // What a dead process says is heard by nobody.
            self.stage.alive().await;
            let now = self.clock.now();
            let wait = {
                let mut ledgers = self.stage.ledgers();
                match asked {
                    Ok(answer) => return ledgers.told(&errand, &answer, self.concurrency_max, now),
                    Err(Refusal::NotNow) if errand.keyed => ledgers.chance.millis(50..=1_500),
                    Err(refusal) => return ledgers.refused(&errand, refusal, now),
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

impl Ledgers {
    fn errand(&mut self, handle: &Handle, now: Timestamp, what: What) -> Errand {
        self.errands_made += 1;
        let keyed = !matches!(what, What::Publish(_)) || self.chance.percent(70);
        let errand =
            Errand { number: self.errands_made, handle: handle.clone(), keyed, first_asked_at: now, what };
        self.story.tell(now, format_args!("wanted: {} {:?}", errand.number, errand.what));
        if keyed {
            self.open.insert(errand.number, errand.clone());
        }
        errand
    }

    fn think_of_events(&mut self, handle: &Handle, now: Timestamp) -> Errand {
        let count = if self.chance.percent(20) { self.chance.within(2..=5) } else { 1 };
        let first = self.published.len();
        for number in first..first + count as usize {
            self.published.push(Published {
                handle: handle.clone(),
                event_type: (*self.chance.pick(&["order.paid", "order.fulfilled", "link.clicked"]))
                    .to_owned(),
                // Number formats and spaces are the publisher's, and must arrive as they are.
                payload: format!("{{ \"event\":{number},\"amount\" : 1.50e2 }}"),
                ordering_key: *self.chance.pick(&[None, None, Some("a"), Some("b")]),
                asked_at: now,
                told: None,
            });
        }
        self.errand(handle, now, What::Publish((first..first + count as usize).collect()))
    }

    fn events_of(&self, errand: &Errand) -> Vec<Published> {
        let What::Publish(numbers) = &errand.what else { return Vec::new() };
        let events = numbers.iter().map(|number| &self.published[*number]);
        events.cloned().collect()
    }

    fn think_of_many_replays(&mut self, handle: &Handle, now: Timestamp) -> Option<Errand> {
        if self.replays_told > REPLAYS_MAX || self.jobs_wanted >= JOBS_MAX {
            return None;
        }
        self.jobs_wanted += 1;
        let missing = self.chance.percent(40);
        let filter = if missing { self.what_a_lane_missed(handle)? } else { self.what_is_finished() };
        let rate_per_second = self.chance.within(1..=50) as u32;
        Some(self.errand(
            handle,
            now,
            What::ReplayMany { filter: Box::new(filter), missing, rate_per_second },
        ))
    }

    fn what_is_finished(&mut self) -> DeliveryFilter {
        let status = if self.chance.percent(70) { Some(Status::Dead) } else { None };
        DeliveryFilter { status, ..DeliveryFilter::default() }
    }

    /// Everything since the beginning, for one of the newer lanes as a rule: they missed more.
    fn what_a_lane_missed(&mut self, handle: &Handle) -> Option<DeliveryFilter> {
        let of_handle =
            self.lanes.iter().filter(|(_, lane)| lane.handle == *handle && lane.removed.is_none());
        let lanes: Vec<SubscriptionId> = of_handle.map(|(id, _)| *id).collect();
        let newest = *lanes.last()?;
        let lane = if self.chance.percent(70) { newest } else { *self.chance.pick(&lanes) };
        let since = Some(Timestamp::from_seconds(0));
        Some(DeliveryFilter { subscription_id: Some(lane), since, ..DeliveryFilter::default() })
    }

    /// Something that changes a subscription which nobody else is changing.
    fn think_of_a_change(&mut self, handle: &Handle, now: Timestamp) -> Option<Errand> {
        let busy: Vec<SubscriptionId> =
            self.open.values().filter_map(|errand| errand.what.changes()).collect();
        let free = self
            .lanes
            .iter()
            .filter(|(id, lane)| lane.handle == *handle && lane.removed.is_none() && !busy.contains(id));
        let free: Vec<SubscriptionId> = free.map(|(id, _)| *id).collect();
        if free.is_empty() {
            return None;
        }
        let lane = *self.chance.pick(&free);
        let paused = self.is_paused(lane);
        let receiver = self.receivers.iter().position(|receiver| receiver.lane == Some(lane))?;
        let version = self.lanes[&lane].urls.len();
        let what = match self.chance.within(0..=9) {
            0..=2 => What::Test { lane },
            3..=5 if paused => What::Resume { lane },
            3..=5 => What::Pause { lane },
            6 | 7 => What::Move { lane, url: url_of(receiver, version) },
            8 => What::Rotate { lane, overlap: Duration::from_secs(*self.chance.pick(&[0, 3_600])) },
            _ => What::Delete { lane },
        };
        Some(self.change(handle, lane, now, what))
    }

    /// What ends every pause, when all is to come to its end.
    pub(super) fn think_of_resuming(&mut self, now: Timestamp) -> Vec<Errand> {
        let busy: Vec<SubscriptionId> =
            self.open.values().filter_map(|errand| errand.what.changes()).collect();
        let paused: Vec<_> = self
            .lanes
            .iter()
            .filter(|(id, lane)| lane.removed.is_none() && !busy.contains(id))
            .map(|(id, lane)| (*id, lane.handle.clone()))
            .collect();
        let paused: Vec<_> = paused.into_iter().filter(|(id, _)| self.is_paused(*id)).collect();
        paused
            .into_iter()
            .map(|(lane, handle)| self.change(&handle, lane, now, What::Resume { lane }))
            .collect()
    }

    fn is_paused(&self, lane: SubscriptionId) -> bool {
        self.lanes[&lane].pauses.last().is_some_and(|pause| pause.until == Timestamp::MAX)
    }

    fn change(&mut self, handle: &Handle, lane: SubscriptionId, now: Timestamp, what: What) -> Errand {
        let facts = self.lanes.get_mut(&lane).expect("a lane that we were told of");
        match what {
            What::Resume { .. } => facts.pauses.last_mut().expect("it is paused").until = now,
            What::Delete { .. } => facts.removed = Some(Span { from: now, until: Timestamp::MAX }),
            _ => {}
        }
        self.errand(handle, now, what)
    }

    fn refused(&mut self, errand: &Errand, refusal: Refusal, now: Timestamp) {
        self.open.remove(&errand.number);
        self.story.tell(now, format_args!("errand {} ended: {refusal:?}", errand.number));
    }

    /// Writes an answer down. Of several to one errand, the first counts; all must be the same.
    fn told(&mut self, errand: &Errand, answer: &[u8], concurrency_max: u32, now: Timestamp) {
        if errand.keyed {
            self.answers.entry(errand.key()).or_default().insert(answer.to_vec());
            if self.open.remove(&errand.number).is_none() {
                return;
            }
        }
        self.story.tell(now, format_args!("told: {} {}", errand.number, String::from_utf8_lossy(answer)));
        let span = Span { from: errand.first_asked_at, until: now };
        if let What::Publish(numbers) = &errand.what {
            for (number, (event_id, deliveries)) in numbers.iter().zip(accepted_in(answer)) {
                self.published[*number].told = Some(Told { event_id, deliveries, at: now });
            }
            return;
        }
        let answer: Value = serde_json::from_slice(answer).expect("an answer that we wrote");
        let text = |field: &str| answer[field].as_str().expect("a field that we wrote").to_owned();
        match &errand.what {
            What::Create { receiver, spec } => {
                let id: SubscriptionId = text("id").parse().expect("an id");
                let lane = self.lane(errand, *receiver, spec, text("secret"), span, concurrency_max);
                self.receivers[*receiver].lane = Some(id);
                self.lanes.insert(id, lane);
            }
            What::Test { .. } => drop(self.promised.insert(text("deliveryId").parse().expect("an id"))),
            What::ReplayOne { .. } => {
                self.promised.insert(text("deliveryId").parse().expect("an id"));
                self.replays_told += 1;
            }
            What::Pause { lane } => self.facts(*lane).pauses.push(Span { from: now, until: Timestamp::MAX }),
            What::Move { lane, url } => self.facts(*lane).urls.push((url.clone(), span)),
            What::Rotate { lane, .. } => self.facts(*lane).secrets.push((text("secret"), span)),
            What::Delete { lane } => self.facts(*lane).removed = Some(span),
            What::ReplayMany { .. } => {
                self.jobs.push((errand.handle.clone(), text("id").parse().expect("an id")));
            }
            What::FillInbox => drop(self.inboxes.insert(errand.handle.clone(), span)),
            What::Publish(_) | What::Resume { .. } | What::Discard { .. } => {}
        }
    }

    fn facts(&mut self, lane: SubscriptionId) -> &mut Lane {
        self.lanes.get_mut(&lane).expect("a lane that we were told of")
    }

    fn lane(
        &self,
        errand: &Errand,
        receiver: usize,
        spec: &Spec,
        secret: String,
        made: Span,
        concurrency_max: u32,
    ) -> Lane {
        Lane {
            handle: errand.handle.clone(),
            schedule: spec.schedule.clone(),
            ordered: spec.ordered,
            rate_per_second: spec.rate_per_second,
            concurrency_max: spec.max_concurrency.unwrap_or(concurrency_max).min(concurrency_max),
            healthy: self.receivers[receiver].behaviour == Behaviour::Healthy,
            is_inbox: false,
            made,
            removed: None,
            pauses: Vec::new(),
            urls: vec![(url_of(receiver, 0), made)],
            secrets: vec![(secret, made)],
        }
    }
}

fn spec(chance: &mut Chance) -> Spec {
    use angarium_domain::event::PayloadFormat::{CloudEvents, CloudEventsBinary, Native, Standard};
    let rules = scene::rules(chance);
    let profiles = [
        SigningProfile::Arjun,
        SigningProfile::Platformxe,
        SigningProfile::Standard,
        SigningProfile::StandardV1a,
    ];
    Spec {
        schedule: scene::schedule(chance),
        profile: *chance.pick(&profiles),
        format: *chance.pick(&[Native, Standard, CloudEvents, CloudEventsBinary]),
        rate_per_second: rules.rate_per_second,
        max_concurrency: rules.max_concurrency.map(|limit| limit + 1),
        timeout_seconds: rules.timeout.as_secs() as u32,
        ordered: scene::ordered(chance),
    }
}
