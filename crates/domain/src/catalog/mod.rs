//! The catalogue of event types: what a handle says about the events that it publishes.
//!
//! A type need not be in the catalogue to be published. One that is there with a schema is published
//! with payloads that fit it, and with no others.

mod references;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event_type::EventType;
use crate::time::Timestamp;

pub use schema::{Fault, InvalidSchema, Mismatch, Schema};

/// The most event types in a handle's catalogue, without those that are built in.
pub const TYPES_MAX: usize = 500;
/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// The longest text of one schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of all schemas of a handle together: what a catalogue may take in memory.
pub const SCHEMAS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How deeply a schema may nest.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// The most values in a schema, counted with every reference written out.
pub const SCHEMA_VALUES_MAX: usize = 10_000;
/// The most `pattern` and `patternProperties` in a schema: each is compiled and kept.
pub const PATTERNS_MAX: usize = 50;
/// The most faults of a payload that are told at a time.
pub const FAULTS_MAX: usize = 20;

/// What a handle says about one of its event types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Never changes.
    pub event_type: EventType,
    /// Its owner's words.
    pub description: Option<String>,
    /// Whether people should be told when it cannot be delivered.
    pub critical: bool,
    /// Whether new subscribers should choose another type. Publishing still works.
    pub deprecated: bool,
    /// What payloads must fit; anything goes, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// When it was put into the catalogue.
    pub created_at: Timestamp,
    /// When it was last replaced.
    pub updated_at: Timestamp,
}

/// A type that Angarium publishes by itself. It is in every catalogue, and nobody can replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// The name.
    pub event_type: &'static str,
    /// What has happened.
    pub description: &'static str,
    /// Whether people should be told when it cannot be delivered.
    pub critical: bool,
}

/// Every type that is built in, by name.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        event_type: "chain.decision.resolved",
        description: "A rule decided about a session, and the handle publishes decisions.",
        critical: false,
    },
    BuiltIn {
        event_type: "chain.signal.received",
        description: "A signal was appended to a session, and the handle publishes signals.",
        critical: false,
    },
    BuiltIn {
        event_type: "context_store.failed",
        description: "A sync of a source of the context store was given up.",
        critical: false,
    },
    BuiltIn {
        event_type: "context_store.synced",
        description: "A sync of a source of the context store succeeded.",
        critical: false,
    },
    BuiltIn {
        event_type: "email.confirmation",
        description: "Somebody was asked by mail whether they want to be told of events.",
        critical: false,
    },
    BuiltIn {
        event_type: "email.owner_alert",
        description: "The owner is told of deliveries that were given up.",
        critical: true,
    },
    BuiltIn {
        event_type: "email.owner_default_changed",
        description: "The address that is told when nobody else is was changed.",
        critical: true,
    },
    BuiltIn { event_type: "email.test", description: "Somebody asked for a test mail.", critical: false },
    BuiltIn {
        event_type: "inbox.item.read",
        description: "Somebody has read an item of the inbox for the first time.",
        critical: false,
    },
    BuiltIn {
        event_type: "inbox.items.read",
        description: "Somebody has read everything in the inbox at once.",
        critical: false,
    },
    BuiltIn {
        event_type: "support.report.received",
        description: "Reports came, and this handle is the one that is told of them.",
        critical: false,
    },
    BuiltIn {
        event_type: "voice_note.failed",
        description: "The file of a voice note was refused after its upload.",
        critical: false,
    },
    BuiltIn {
        event_type: "voice_note.ready",
        description: "The file of a voice note was uploaded, and is what it was declared to be.",
        critical: false,
    },
    BuiltIn {
        event_type: "webhook.delivery.terminal_failure",
        description: "A delivery was given up: refused for good, or failed at its last attempt.",
        critical: true,
    },
    BuiltIn {
        event_type: "webhook.subscription.disabled",
        description: "A webhook was switched off, as its owner asked for in autoDisable.",
        critical: true,
    },
    BuiltIn {
        event_type: "webhook.subscription.failing",
        description: "Half of the time has passed after which a failing webhook is switched off.",
        critical: true,
    },
    BuiltIn {
        event_type: "webhook.subscription.gone",
        description: "A webhook answered 410 for the first time.",
        critical: true,
    },
    BuiltIn {
        event_type: "webhook.test",
        description: "Somebody asked for a test of one webhook.",
        critical: false,
    },
];

/// The type that is built in under a name.
pub fn built_in(event_type: &EventType) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|known| known.event_type == event_type.as_str())
}

/// A handle's catalogue at one version, ready to judge payloads.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The version of the handle at which the catalogue last changed. 0: it has none.
    pub version: u64,
    entries: BTreeMap<EventType, Arc<Entry>>,
}

impl Catalog {
    /// A catalogue of these entries.
    pub fn new(version: u64, entries: impl IntoIterator<Item = Entry>) -> Catalog {
        let entries = entries.into_iter().map(|entry| (entry.event_type.clone(), Arc::new(entry)));
        Catalog { version, entries: entries.collect() }
    }

    /// The entries, by name.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// What it says about a type.
    pub fn get(&self, event_type: &EventType) -> Option<&Arc<Entry>> {
        self.entries.get(event_type)
    }

    /// Takes over the entries that did not change, with their compiled schemas.
    pub fn keep_what_is_equal_in(&mut self, earlier: &Catalog) {
        for (event_type, entry) in &mut self.entries {
            if let Some(known) = earlier.entries.get(event_type).filter(|known| *known == entry) {
                *entry = known.clone();
            }
        }
    }

    /// The bytes of all schemas but that of `event_type`, which is about to be replaced.
    pub fn schema_bytes_beside(&self, event_type: &EventType) -> usize {
        let others = self.entries.values().filter(|entry| entry.event_type != *event_type);
        others.filter_map(|entry| entry.schema.as_ref()).map(|schema| schema.as_str().len()).sum()
    }

    /// Whether an event of this type may be published with this payload, which is asked for only if
    /// the type has a schema.
    ///
    /// # Errors
    ///
    /// What does not fit the schema, at most [`FAULTS_MAX`] faults.
    pub fn judge<'p>(
        &self,
        event_type: &EventType,
        payload: impl FnOnce() -> &'p Value,
    ) -> Result<(), Mismatch> {
        match self.entries.get(event_type).and_then(|entry| entry.schema.as_ref()) {
            Some(schema) => schema.judge(payload()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(event_type: &str, schema: Option<&str>) -> Entry {
        let schema = schema.map(|text| {
            let raw: &serde_json::value::RawValue = serde_json::from_str(text).expect("JSON");
            Schema::from_json(raw).expect("a schema")
        });
        Entry {
            event_type: event_type.parse().expect("a type"),
            description: None,
            critical: false,
            deprecated: false,
            schema,
            created_at: Timestamp::from_seconds(1),
            updated_at: Timestamp::from_seconds(1),
        }
    }

    #[test]
    fn only_types_with_a_schema_ask_for_the_payload() {
        let catalog = Catalog::new(1, [entry("a", None), entry("b", Some(r#"{"required":["n"]}"#))]);
        let unread = || -> &Value { panic!("nobody needs the payload") };
        for free in ["a", "unknown"] {
            assert!(catalog.judge(&free.parse().expect("a type"), unread).is_ok());
        }
        let b = "b".parse().expect("a type");
        let (fits, does_not) = (json!({"n": 1}), json!({}));
        assert!(catalog.judge(&b, || &fits).is_ok());
        assert!(catalog.judge(&b, || &does_not).is_err());
    }

    #[test]
    fn the_size_of_schemas_counts_all_but_the_one_that_is_replaced() {
        let (ten, twenty) = (r#"{"a":"bc"}"#, r#"{"a":"0123456789ab"}"#);
        let catalog = Catalog::new(1, [entry("a", Some(ten)), entry("b", Some(twenty)), entry("c", None)]);
        let beside = |name: &str| catalog.schema_bytes_beside(&name.parse().expect("a type"));
        assert_eq!((beside("a"), beside("b"), beside("new")), (20, 10, 30));
    }

    #[test]
    fn entries_that_did_not_change_are_kept_and_those_that_did_are_not() {
        let schema = Some(r#"{"type":"object"}"#);
        let earlier = Catalog::new(1, [entry("same", schema), entry("changed", schema)]);
        let mut later = Catalog::new(2, [entry("same", schema), entry("changed", None), entry("new", None)]);
        later.keep_what_is_equal_in(&earlier);
        let is_kept = |name: &str| {
            let name = name.parse().expect("a type");
            Arc::ptr_eq(later.get(&name).expect("it is there"), earlier.get(&name).expect("it was there"))
        };
        assert!(is_kept("same") && !is_kept("changed"));
        assert_eq!((later.version, later.entries().len()), (2, 3));
    }

    #[test]
    fn what_is_built_in_is_an_event_type_and_in_order() {
        let names: Vec<_> = BUILT_IN.iter().map(|known| known.event_type).collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in names {
            assert_eq!(built_in(&name.parse().expect("a type")).map(|known| known.event_type), Some(name));
        }
    }

    #[test]
    fn an_entry_is_stored_with_the_text_of_its_schema() {
        let text = r#"{ "type" : "object", "maximum": 1.0 }"#;
        let written = entry("a", Some(text));
        let stored = serde_json::to_vec(&written).expect("text");
        let read: Entry = serde_json::from_slice(&stored).expect("an entry");
        assert_eq!(read, written);
        assert_eq!(read.schema.expect("a schema").as_str(), text);
    }
}
