//! Watches the delivery log through the API, and notices what has changed in it.

use std::collections::HashMap;
use std::time::Duration;

use angarium_domain::delivery::Status;
use angarium_domain::event::Origin;
use angarium_domain::ids::DeliveryId;
use angarium_domain::time::Timestamp;

use crate::cli::answers::Delivery;
use crate::cli::client::{Client, ClientError};

/// A delivery is in the log at most this long after the time in its id: commits take a moment.
const LATE_MAX: Duration = Duration::from_secs(5);

/// The log as it was last seen.
pub(super) struct Watch {
    client: Client,
    /// Where looking begins.
    since: Timestamp,
    known: HashMap<DeliveryId, Delivery>,
}

/// A delivery that is new or has changed.
pub(super) struct Change {
    pub(super) before: Option<Delivery>,
    pub(super) now: Delivery,
}

/// How many deliveries stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) delivered: usize,
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
    pub(super) retrying: usize,
    pub(super) dead: usize,
}

impl Watch {
    /// Watches deliveries made from `since` on.
    pub(super) fn from(client: Client, since: Timestamp) -> Watch {
        Watch { client, since, known: HashMap::new() }
    }

    /// Looks at everything that may have changed. Changes come from old to new.
    pub(super) async fn look(&mut self) -> Result<Vec<Change>, ClientError> {
        let filters = [("since", self.since.to_string())];
        let mut listed: Vec<Delivery> = self.client.list("/deliveries", &filters, usize::MAX).await?;
        listed.reverse();
        self.since = self.next_since(&listed);
        let changed = listed.into_iter().filter_map(|now| {
            let before = self.known.insert(now.delivery_id, now.clone());
            (before.as_ref() != Some(&now)).then_some(Change { before, now })
        });
        Ok(changed.collect())
    }

    /// What is known of every delivery so far.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.known.values()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for delivery in self.known.values() {
            match delivery.status {
                Status::Pending | Status::Held => counts.waiting += 1,
                Status::InFlight => counts.in_flight += 1,
                Status::Retrying => counts.retrying += 1,
                Status::Delivered => counts.delivered += 1,
                Status::Dead => counts.dead += 1,
                Status::Cancelled => {}
            }
        }
        counts
    }

    /// Whether every delivery has come to its end, and the service has told of every death.
    pub(super) fn is_quiet(&self) -> bool {
        let told = self.known.values().filter(|delivery| delivery.origin == Origin::System).count();
        let deaths = self.known.values().filter(|delivery| delivery.status == Status::Dead);
        // A death of the news about a death is not told.
        let to_tell = deaths.filter(|delivery| delivery.origin != Origin::System).count();
        told >= to_tell && self.known.values().all(Delivery::is_final)
    }

    /// The oldest delivery that may still change, or nearly now if none may.
    fn next_since(&self, listed: &[Delivery]) -> Timestamp {
        let newest = listed.last().map_or(self.since, |delivery| delivery.created_at);
        let settled = newest.saturating_sub(LATE_MAX);
        let open = listed.iter().find(|delivery| !delivery.is_final()).map(|delivery| delivery.created_at);
        open.map_or(settled, |open| open.min(settled)).max(self.since)
    }
}
