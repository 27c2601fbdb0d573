//! Which events become items: the one subscription of a handle whose address is its inbox.

use std::sync::Arc;

use angarium_domain::dispatch::LaneRules;
use angarium_domain::event::PayloadFormat;
use angarium_domain::event_type::{EventPattern, EventType};
use angarium_domain::handle::Handle;
use angarium_domain::headers::CustomHeaders;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{
    ChannelKind, EndpointUrl, Status, Subscription, TIMEOUT_DEFAULT, without_duplicates,
};
use angarium_domain::time::Timestamp;
use angarium_store::directory::{Change, Entry, Snapshot};

use crate::lanes::Lanes;

/// How the lane of an inbox stands after a change.
pub(crate) struct LaneAfter {
    lane: SubscriptionId,
    /// None: the lane has ended.
    rules: Option<LaneRules>,
}

impl LaneAfter {
    /// Tells the dispatcher, once the change is written.
    pub(crate) async fn tell(self, lanes: &Lanes, handle: &Handle) {
        match self.rules {
            Some(rules) => lanes.changed(handle, self.lane, rules).await,
            None => lanes.removed(handle, self.lane).await,
        }
        lanes.caught_up().await;
    }
}

/// The change by which events of these patterns become items of the inbox from now on; of none, nothing
/// does, nor what waits for it. None if that is so already. What the inbox publishes itself never comes
/// back into it.
pub(crate) fn subscribing(
    snapshot: &Snapshot,
    handle: &Handle,
    patterns: &[EventPattern],
    (new, seed): (SubscriptionId, [u8; 32]),
    now: Timestamp,
) -> Option<(Change, LaneAfter)> {
    let patterns = without_duplicates(patterns.to_vec());
    let present = of_inbox(snapshot);
    let lane = present.map_or(new, |entry| entry.subscription.id);
    let entry = match present {
        Some(entry) if entry.subscription.event_types == patterns => return None,
        None if patterns.is_empty() => return None,
        Some(_) if patterns.is_empty() => {
            return Some((Change::Remove(lane), LaneAfter { lane, rules: None }));
        }
        Some(entry) => with(entry, &patterns, now),
        None => made(handle, lane, &patterns, seed, now),
    };
    let rules = Some(LaneRules::of(&entry.subscription, &snapshot.account));
    Some((Change::Put(Arc::new(entry)), LaneAfter { lane, rules }))
}

/// Which events of a handle become items of its inbox.
pub(crate) fn patterns(snapshot: &Snapshot) -> Vec<EventPattern> {
    of_inbox(snapshot).map(|entry| entry.subscription.event_types.clone()).unwrap_or_default()
}

/// Whether events of a type are to be told of in the inbox.
pub(crate) fn asks_for(snapshot: &Snapshot, event_type: &EventType) -> bool {
    of_inbox(snapshot)
        .is_some_and(|entry| entry.subscription.event_types.iter().any(|pattern| pattern.matches(event_type)))
}

fn of_inbox(snapshot: &Snapshot) -> Option<&Arc<Entry>> {
    snapshot.subscriptions.iter().find(|entry| entry.subscription.channel() == ChannelKind::Inbox)
}

fn with(entry: &Entry, patterns: &[EventPattern], now: Timestamp) -> Entry {
    let mut entry = entry.clone();
    entry.subscription.event_types = patterns.to_vec();
    entry.subscription.updated_at = now;
    entry
}

fn made(
    handle: &Handle,
    id: SubscriptionId,
    patterns: &[EventPattern],
    seed: [u8; 32],
    now: Timestamp,
) -> Entry {
    // Nothing is ever signed with it; an entry has one.
    let key = SigningKey::hmac(seed);
    let subscription = Subscription {
        id,
        handle: handle.clone(),
        endpoint_url: EndpointUrl::inbox(),
        event_types: patterns.to_vec(),
        filter: None,
        description: None,
        signing_profile: SigningProfile::default(),
        payload_format: PayloadFormat::default(),
        retry_policy: RetryPolicy::default(),
        headers: CustomHeaders::default(),
        rate_limit_per_second: None,
        max_concurrency: None,
        timeout_seconds: TIMEOUT_DEFAULT.as_secs() as u32,
        ordered: false,
        status: Status::Active,
        auto_disable: None,
        disabled: None,
        gone_at: None,
        verification: None,
        recipient: None,
        secret_hint: key.hint(),
        past_endpoints: Vec::new(),
        created_at: now,
        updated_at: now,
    };
    Entry { subscription, keys: Arc::new(SigningKeys::new(key)) }
}
