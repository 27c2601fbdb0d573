//! The inboxes at the end of a world: each is a lane, and the store says what is in it.

use std::collections::BTreeMap;

use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::inbox::Reader;
use angarium_domain::subscription::ChannelKind;
use angarium_store::inboxes::ItemFilter;
use angarium_store::memory::MemoryStore;
use angarium_store::page::{LIMIT_MAX, PageRequest};
use angarium_store::{Directory, Inboxes, StoreError};

use crate::evidence::{Evidence, KeptInbox, Lane, Schedule, Span};

/// Takes down what is in each inbox, and answers the lanes that lead there. They were asked for at these
/// times.
pub(super) async fn open(
    store: &MemoryStore,
    asked: BTreeMap<Handle, Span>,
    concurrency_max: u32,
    evidence: &mut Evidence,
) -> Result<Vec<(SubscriptionId, Lane)>, StoreError> {
    let mut lanes = Vec::new();
    for (handle, made) in asked {
        let snapshot = store.snapshot(&handle).await?;
        let of_inbox = snapshot.subscriptions.iter().map(|entry| &entry.subscription);
        let subscription = of_inbox
            .clone()
            .find(|subscription| subscription.channel() == ChannelKind::Inbox)
            .expect("somebody was told that it is there");
        evidence.inboxes.push(inbox(store, &handle, subscription.id).await?);
        lanes.push((subscription.id, lane(handle, made, concurrency_max)));
    }
    Ok(lanes)
}

async fn inbox(store: &MemoryStore, handle: &Handle, lane: SubscriptionId) -> Result<KeptInbox, StoreError> {
    let somebody = Reader::new("somebody");
    let mut items = Vec::new();
    let mut page = PageRequest { before: None, limit: LIMIT_MAX };
    loop {
        let opened = store.items(handle, &somebody, ItemFilter::default(), page).await?;
        items.extend(opened.found.items.into_iter().map(|marked| marked.item));
        page.before = opened.found.next;
        if page.before.is_none() {
            let unread = opened.reading.counts(&opened.stock).unread;
            return Ok(KeptInbox { lane, items, unread });
        }
    }
}

fn lane(handle: Handle, made: Span, concurrency_max: u32) -> Lane {
    Lane {
        handle,
        schedule: Schedule::fast(),
        ordered: false,
        rate_per_second: None,
        concurrency_max,
        healthy: true,
        is_inbox: true,
        made,
        removed: None,
        pauses: Vec::new(),
        urls: Vec::new(),
        secrets: Vec::new(),
    }
}
