//! Reading events and the state of their deliveries.

use std::sync::Arc;

use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::ids::EventId;
use angarium_domain::replay::DeliveryFilter;
use angarium_store::StoreError;
use angarium_store::event_log::EventFilter;
use angarium_store::page::{LIMIT_MAX, Page, PageRequest};

use crate::Desk;
use crate::deliveries::{Shown, list};

/// An event and where each of its deliveries stands.
pub struct EventLife {
    /// The event.
    pub event: Arc<Event>,
    /// Its deliveries, newest first; the newest hundred.
    pub deliveries: Vec<Shown>,
}

/// The log of events.
#[derive(Clone)]
pub struct Events {
    desk: Desk,
}

impl Events {
    pub(crate) fn new(desk: Desk) -> Events {
        Events { desk }
    }

    /// One event of a handle.
    pub async fn get(&self, handle: &Handle, id: EventId) -> Result<Option<EventLife>, StoreError> {
        let Some(event) = self.desk.store.event(handle, id).await? else { return Ok(None) };
        self.life(event).await.map(Some)
    }

    async fn life(&self, event: Arc<Event>) -> Result<EventLife, StoreError> {
        let of_this_event = DeliveryFilter { event_id: Some(event.id), ..DeliveryFilter::default() };
        let newest = PageRequest { before: None, limit: LIMIT_MAX };
        let deliveries = list(&self.desk, &event.handle, of_this_event, false, newest).await?.items;
        Ok(EventLife { event, deliveries })
    }

    /// A handle's events, newest first, each with where its deliveries stand.
    pub async fn list(
        &self,
        handle: &Handle,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<EventLife>, StoreError> {
        let Page { items, next } = self.desk.store.events(handle, filter, page).await?;
        let mut lives = Vec::with_capacity(items.len());
        for event in items {
            lives.push(self.life(event).await?);
        }
        Ok(Page { items: lives, next })
    }
}
