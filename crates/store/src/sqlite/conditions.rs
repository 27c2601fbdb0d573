//! Queries whose conditions depend on what the caller asks for.

use angarium_domain::delivery::Status;
use angarium_domain::handle::Handle;
use angarium_domain::ids::{DeliveryId, EventId, Id, SubscriptionId};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::fault::Tried;
use super::row::{
    CANCELLED, DEAD_AND_DONE, DEAD_LETTER, DELIVERED, IN_FLIGHT, SCHEDULED, WAITING, origin_text,
};
use crate::audit::AuditFilter;
use crate::event_log::EventFilter;
use crate::history::LogFilter;

/// A statement in the making. Each value gets the next number, so parameters are in order.
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Begins with a handle's rows: no query is without one.
    pub(super) fn of(select: &str, handle: &Handle) -> Conditions {
        let mut conditions = Conditions { sql: format!("{select} WHERE handle = "), values: Vec::new() };
        conditions.value(handle.as_str().to_owned());
        conditions
    }

    /// Narrows to the events that a filter lets through.
    pub(super) fn events(mut self, filter: &EventFilter) -> Conditions {
        if let Some(event_type) = &filter.event_type {
            self = self.and("event_type =", event_type.as_str().to_owned());
        }
        if let Some(origin) = filter.origin {
            // Written out, because the index of our own events is for these words and no parameter.
            self = self.clause(&format!("origin = '{}'", origin_text(origin)));
        }
        if let Some(since) = filter.since {
            self = self.and("id >=", bytes(EventId::floor(since)));
        }
        if let Some(until) = filter.until {
            self = self.and("id <", bytes(EventId::floor(until)));
        }
        self
    }

    /// Narrows to the audit rows that a filter lets through.
    pub(super) fn audit(mut self, filter: &AuditFilter) -> Conditions {
        let texts = [("actor =", &filter.actor), ("action =", &filter.action), ("object =", &filter.object)];
        for (comparison, text) in texts {
            if let Some(text) = text {
                self = self.and(comparison, text.clone());
            }
        }
        if let Some(since) = filter.since {
            self = self.and("at >=", since.as_millis());
        }
        if let Some(until) = filter.until {
            self = self.and("at <", until.as_millis());
        }
        self
    }

    /// Begins with those of a handle's deliveries that a filter lets through.
    pub(super) fn of_deliveries(select: &str, handle: &Handle, filter: &LogFilter) -> Conditions {
        Conditions::indexed(select, index_for(filter), handle).deliveries(filter, SCHEDULED)
    }

    /// Begins with those that a filter lets through and that wait behind others of their ordering
    /// key. The store alone tells them from what is scheduled, and holds them in another index.
    pub(super) fn of_waiting(select: &str, handle: &Handle, filter: &LogFilter) -> Option<Conditions> {
        let Some(Status::Pending | Status::Held) = filter.conditions.status else { return None };
        let index = match index_for(filter) {
            Some("deliveries_due") => Some("deliveries_in_order"),
            other => other,
        };
        let all = Conditions::indexed(select, index, handle);
        Some(all.clause("ordered = 1 AND state <= 1").deliveries(filter, WAITING))
    }

    fn indexed(select: &str, index: Option<&str>, handle: &Handle) -> Conditions {
        match index {
            Some(index) => Conditions::of(&format!("{select} INDEXED BY {index}"), handle),
            None => Conditions::of(select, handle),
        }
    }

    fn deliveries(mut self, filter: &LogFilter, scheduled: i64) -> Conditions {
        let wanted = &filter.conditions;
        if let Some(id) = wanted.subscription_id {
            self = self.and("subscription_id =", bytes(id));
        }
        if let Some(id) = wanted.event_id {
            self = self.and("event_id =", bytes(id));
        }
        if let Some(event_type) = &wanted.event_type {
            self = self.and("event_type =", event_type.as_str().to_owned());
        }
        if let Some(since) = wanted.since {
            self = self.and("id >=", bytes(DeliveryId::floor(since)));
        }
        if let Some(until) = wanted.until {
            self = self.and("id <", bytes(DeliveryId::floor(until)));
        }
        if let Some(status) = wanted.status {
            self = self.status(status, &filter.paused, scheduled);
        }
        if filter.dead_letters {
            self = self.state(DEAD_LETTER);
        }
        self
    }

    /// Narrows to what may be replayed: delivered or dead, neither replayed nor discarded.
    pub(super) fn replayable(self) -> Conditions {
        self.clause(&format!("state IN ({DELIVERED}, {DEAD_LETTER}) AND replayed_by IS NULL"))
    }

    /// Narrows to one state. Its number stands in the statement and not in a parameter, because the
    /// indexes of some states are chosen by it.
    fn state(self, state: i64) -> Conditions {
        self.clause(&format!("state = {state}"))
    }

    /// The words of the wire, taken apart again.
    fn status(self, status: Status, paused: &[SubscriptionId], scheduled: i64) -> Conditions {
        const MADE: &str = "attempts_made + interruptions";
        match status {
            Status::Held => self.state(scheduled).paused("IN", paused),
            Status::Pending => self.state(scheduled).paused("NOT IN", paused).and(&format!("{MADE} ="), 0),
            Status::Retrying => self.state(scheduled).paused("NOT IN", paused).and(&format!("{MADE} >"), 0),
            Status::InFlight => self.state(IN_FLIGHT),
            Status::Delivered => self.state(DELIVERED),
            Status::Cancelled => self.state(CANCELLED),
            Status::Dead => self.clause(&format!("state IN ({DEAD_LETTER}, {DEAD_AND_DONE})")),
        }
    }

    fn paused(mut self, operator: &str, paused: &[SubscriptionId]) -> Conditions {
        self = self.clause(&format!("subscription_id {operator} ("));
        for (index, id) in paused.iter().enumerate() {
            self.sql.push_str(if index == 0 { "" } else { ", " });
            self.value(bytes(*id));
        }
        self.sql.push(')');
        self
    }

    /// Adds one comparison.
    pub(super) fn and(mut self, comparison: &str, value: impl Into<Value>) -> Conditions {
        self = self.clause(comparison);
        self.sql.push(' ');
        self.value(value);
        self
    }

    /// Adds a condition without a value.
    fn clause(mut self, condition: &str) -> Conditions {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self
    }

    /// Ends the statement with an order and a limit.
    pub(super) fn first(mut self, order: &str, limit: u32) -> Conditions {
        for part in [" ORDER BY ", order, " LIMIT "] {
            self.sql.push_str(part);
        }
        self.value(i64::from(limit));
        self
    }

    /// Runs the statement.
    pub(super) fn query<T>(self, db: &Connection, read: impl Fn(&Row<'_>) -> Tried<T>) -> Tried<Vec<T>> {
        let mut statement = db.prepare_cached(&self.sql)?;
        statement.query_and_then(params_from_iter(self.values), read)?.collect()
    }

    fn value(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
        self.sql.push('$');
        self.sql.push_str(&self.values.len().to_string());
    }

    #[cfg(test)]
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }
}

/// The index that a filter asks for, where the planner, who knows no numbers, would read the whole
/// log: few deliveries wait, are dead, or belong to one event.
fn index_for(filter: &LogFilter) -> Option<&'static str> {
    let wanted = &filter.conditions;
    match wanted.status {
        // Nothing is held. SQLite sees that there is nothing to search for, and refuses to be told how.
        Some(Status::Held) if filter.paused.is_empty() => None,
        _ if wanted.event_id.is_some() => Some("deliveries_by_event"),
        _ if filter.dead_letters => Some("deliveries_dead_letters"),
        Some(Status::Pending | Status::Retrying | Status::Held) => Some("deliveries_due"),
        Some(Status::InFlight) => Some("deliveries_in_flight"),
        Some(Status::Dead) => Some("deliveries_dead"),
        Some(Status::Delivered | Status::Cancelled) | None => {
            wanted.subscription_id.map(|_| "deliveries_by_subscription")
        }
    }
}

fn bytes<K: angarium_domain::ids::Kind>(id: Id<K>) -> Vec<u8> {
    id.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use angarium_domain::replay::DeliveryFilter;
    use angarium_domain::time::Timestamp;

    use super::*;
    use crate::statements::{SELECT_DELIVERIES, appear_in_order};

    #[test]
    fn parameters_first_appear_in_order_whatever_is_asked_for() {
        let conditions = DeliveryFilter {
            subscription_id: Some(SubscriptionId::from_bytes([1; 16])),
            event_id: Some(EventId::from_bytes([2; 16])),
            event_type: "order.paid".parse().ok(),
            status: Some(Status::Pending),
            since: Some(Timestamp::from_seconds(1)),
            until: Some(Timestamp::from_seconds(2)),
        };
        let paused = vec![SubscriptionId::from_bytes([3; 16]), SubscriptionId::from_bytes([4; 16])];
        let filter = LogFilter { conditions, dead_letters: true, paused };
        let handle = "acme".parse().expect("a handle");
        let query = Conditions::of_deliveries(SELECT_DELIVERIES, &handle, &filter).first("id DESC", 50);
        assert!(appear_in_order(query.sql()), "{}", query.sql());
        assert_eq!(query.values.len(), 10);
    }
}
