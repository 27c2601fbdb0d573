//! Event types: what a handle says about the events that it publishes.

use std::sync::Arc;

use angarium_domain::account::Closed;
use angarium_domain::audit::{Difference, changed};
use angarium_domain::catalog::{self, Catalog, Entry, SCHEMAS_BYTES_MAX, Schema, TYPES_MAX};
use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::Change;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::json;

use crate::once::{Once, RepeatError, Reply};
use crate::{Caller, Desk};

/// What is to be said about a type; it replaces all that was said before.
#[derive(Debug, Clone)]
pub struct NewEventType {
    /// Which type.
    pub event_type: EventType,
    /// The owner's words.
    pub description: Option<String>,
    /// Whether people should be told when it cannot be delivered.
    pub critical: bool,
    /// Whether new subscribers should choose another type.
    pub deprecated: bool,
    /// What payloads must fit.
    pub schema: Option<Schema>,
}

/// A type as it is in the catalogue now.
#[derive(Debug, Clone)]
pub struct EventTypePut {
    /// What is said about it.
    pub entry: Entry,
    /// Whether it was not there before.
    pub created: bool,
}

/// Why the catalogue was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EventTypeError {
    /// The catalogue has no such type.
    #[error("there is no such event type in the catalogue")]
    NotFound,
    /// Angarium publishes it by itself.
    #[error("{event_type} is built in and cannot be changed")]
    BuiltIn {
        /// Its name.
        event_type: EventType,
    },
    /// The catalogue has as many as it may have.
    #[error("the catalogue has {TYPES_MAX} event types, which is the limit")]
    TooMany,
    /// All schemas together are too large.
    #[error("the schemas of the catalogue would be {bytes} bytes together, the limit is {SCHEMAS_BYTES_MAX}")]
    SchemasTooLarge {
        /// How large they would be.
        bytes: usize,
    },
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The catalogues of all handles.
#[derive(Clone)]
pub struct EventTypes {
    desk: Desk,
}

impl EventTypes {
    pub(crate) fn new(desk: Desk) -> EventTypes {
        EventTypes { desk }
    }

    /// What a handle says about its types, without those that are built in.
    pub async fn catalog(&self, handle: &Handle) -> Result<Arc<Catalog>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        Ok(self.desk.catalogs.of(handle, &snapshot).await?.unwrap_or_default())
    }

    /// Puts a type into the catalogue, or replaces what is there. Holds for what is published from
    /// now on.
    pub async fn put(
        &self,
        caller: Caller,
        new: NewEventType,
        once: Once<EventTypePut>,
    ) -> Result<Reply, EventTypeError> {
        let now = self.desk.clock.now();
        let name = new.event_type.clone();
        self.change(&caller, "event_type.put", &name, once, |catalog| {
            let put = decide(catalog, &new, now)?;
            Ok((Change::PutEventType(Box::new(put.entry.clone())), put))
        })
        .await
    }

    /// Takes a type out of the catalogue. Publishing and subscribing to it go on, without a schema.
    pub async fn remove(
        &self,
        caller: Caller,
        event_type: EventType,
        once: Once<()>,
    ) -> Result<Reply, EventTypeError> {
        self.change(&caller, "event_type.removed", &event_type, once, |catalog| {
            catalog.get(&event_type).ok_or(EventTypeError::NotFound)?;
            Ok((Change::RemoveEventType(event_type.clone()), ()))
        })
        .await
    }

    async fn change<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        event_type: &EventType,
        once: Once<T>,
        decide: impl Fn(&Catalog) -> Result<(Change, T), EventTypeError> + Send + Sync,
    ) -> Result<Reply, EventTypeError> {
        if catalog::built_in(event_type).is_some() {
            return Err(EventTypeError::BuiltIn { event_type: event_type.clone() });
        }
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<EventTypeError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let catalog = self.desk.catalogs.of(&caller.handle, &snapshot).await?;
            let catalog = catalog.unwrap_or_default();
            let (change, made) = decide(&catalog)?;
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&made, now);
            let told = told(catalog.get(event_type).map(AsRef::as_ref), &change);
            let audit = caller.audit_of(now, action, event_type.to_string(), told);
            let context = caller.context(idempotency, Some(audit));
            let written =
                self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await;
            self.desk.snapshots.renew(&caller.handle).await;
            match written {
                Err(StoreError::Conflict) => {}
                written => return Ok(once.reply(written?, answer)?),
            }
        }
        Err(StoreError::Conflict.into())
    }
}

/// What the audit log says of a change. A schema is too large for it: its hash says whether it is
/// another.
fn told(before: Option<&Entry>, change: &Change) -> Difference {
    let words = |entry: &Entry| {
        let hash = |schema: &Schema| HEXLOWER.encode(digest(&SHA256, schema.as_str().as_bytes()).as_ref());
        json!({
            "description": entry.description, "critical": entry.critical, "deprecated": entry.deprecated,
            "schemaSha256": entry.schema.as_ref().map(hash),
        })
    };
    let after = match change {
        Change::PutEventType(entry) => Some(words(entry)),
        _ => None,
    };
    changed(before.map(words).as_ref(), after.as_ref())
}

fn decide(catalog: &Catalog, new: &NewEventType, now: Timestamp) -> Result<EventTypePut, EventTypeError> {
    let earlier = catalog.get(&new.event_type);
    if earlier.is_none() && catalog.entries().len() >= TYPES_MAX {
        return Err(EventTypeError::TooMany);
    }
    let own = new.schema.as_ref().map_or(0, |schema| schema.as_str().len());
    let bytes = catalog.schema_bytes_beside(&new.event_type) + own;
    if bytes > SCHEMAS_BYTES_MAX {
        return Err(EventTypeError::SchemasTooLarge { bytes });
    }
    let entry = Entry {
        event_type: new.event_type.clone(),
        description: new.description.clone(),
        critical: new.critical,
        deprecated: new.deprecated,
        schema: new.schema.clone(),
        created_at: earlier.map_or(now, |entry| entry.created_at),
        updated_at: now,
    };
    Ok(EventTypePut { entry, created: earlier.is_none() })
}
