//! What is promised about inboxes: an item for each delivery into one, exactly once, and true counts.

use std::collections::BTreeSet;

use angarium_domain::delivery::State;
use angarium_domain::ids::ItemId;

use crate::evidence::{Evidence, KeptInbox};

/// The type of what an inbox holds besides: failures that nobody could be told of by mail.
const ALERT: &str = "email.owner_alert";

/// What was delivered into an inbox is in it once, with nothing else, and its count is that of a recount.
pub(super) fn items(evidence: &Evidence) -> Vec<String> {
    evidence.inboxes.iter().flat_map(|inbox| misfiled(evidence, inbox)).collect()
}

fn misfiled(evidence: &Evidence, inbox: &KeptInbox) -> Vec<String> {
    let lane = inbox.lane;
    let mut broken = Vec::new();
    if inbox.unread != inbox.items.len() as u64 {
        broken.push(format!("{lane} counts {} unread items and has {}", inbox.unread, inbox.items.len()));
    }
    let of_events = inbox.items.iter().filter(|item| item.item_type.as_str() != ALERT);
    let mut found = BTreeSet::new();
    for item in of_events {
        if !found.insert(item.id) {
            broken.push(format!("{} is in its inbox twice", item.id));
        }
    }
    for delivery in evidence.kept.iter().map(|kept| &kept.delivery).filter(|d| d.subscription_id == lane) {
        let id: ItemId = delivery.id.of_kind();
        match (delivery.state, found.remove(&id)) {
            (State::Delivered { .. }, false) => broken.push(format!("{} is not in its inbox", delivery.id)),
            (State::Dead { .. }, _) => broken.push(format!("{} died on its way to the inbox", delivery.id)),
            (State::Scheduled { .. } | State::InFlight { .. } | State::Cancelled { .. }, true) => {
                broken.push(format!("{} is {:?} and in its inbox", delivery.id, delivery.state));
            }
            _ => {}
        }
    }
    broken.extend(found.iter().map(|id| format!("{id} is in an inbox and nothing delivered it")));
    broken
}
