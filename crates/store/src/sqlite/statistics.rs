//! Statistics of subscriptions, in `SQLite`.

use angarium_domain::ids::{DeliveryId, Id};
use angarium_domain::statistics::{Grain, Tally};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::fault::Tried;
use super::row::{from_json, json};
use crate::error::StoreError;
use crate::event_log::Lane;
use crate::statements;
use crate::statistics::{Backlog, Counted, Statistics};

#[async_trait]
impl Statistics for SqliteStore {
    async fn count(&self, counted: Vec<Counted>) -> Result<(), StoreError> {
        self.write(move |db| counted.iter().try_for_each(|counted| count(db, counted))).await
    }

    async fn tally(&self, of: &Lane, grain: Grain, since: Timestamp) -> Result<Tally, StoreError> {
        let of = of.clone();
        self.read(move |db| sum(db, &of, grain, since)).await
    }

    async fn waiting(&self, of: &Lane, limit: u32) -> Result<Backlog, StoreError> {
        let of = of.clone();
        self.read(move |db| waiting(db, &of, limit)).await
    }
}

fn count(db: &Connection, counted: &Counted) -> Tried<()> {
    let Counted { handle, subscription_id, at, tally } = counted;
    let mut exists = db.prepare_cached(statements::SUBSCRIPTION_EXISTS)?;
    if !exists.exists(params![handle.as_str(), subscription_id.as_bytes()])? {
        return Ok(());
    }
    for grain in Grain::ALL {
        let (seconds, begun_at) = (seconds(grain), grain.begin(*at).as_seconds());
        let key = params![handle.as_str(), subscription_id.as_bytes(), seconds, begun_at];
        let before: Option<Vec<u8>> =
            db.prepare_cached(statements::TALLY)?.query_row(key, |row| row.get(0)).optional()?;
        let mut sum: Tally = before.map(|before| from_json(&before)).transpose()?.unwrap_or_default();
        sum.add(tally);
        let row = params![handle.as_str(), subscription_id.as_bytes(), seconds, begun_at, json(&sum)];
        db.prepare_cached(statements::PUT_TALLY)?.execute(row)?;
    }
    Ok(())
}

fn sum(db: &Connection, of: &Lane, grain: Grain, since: Timestamp) -> Tried<Tally> {
    let mut statement = db.prepare_cached(statements::TALLIES)?;
    let key = params![of.handle.as_str(), of.subscription_id.as_bytes(), seconds(grain), since.as_seconds()];
    let mut rows = statement.query(key)?;
    let mut sum = Tally::default();
    while let Some(row) = rows.next()? {
        sum.add(&from_json(row.get_ref(0)?.as_bytes()?)?);
    }
    Ok(sum)
}

fn waiting(db: &Connection, of: &Lane, limit: u32) -> Tried<Backlog> {
    let mut statement = db.prepare_cached(statements::LANE_BACKLOG)?;
    let key = params![of.handle.as_str(), of.subscription_id.as_bytes(), limit];
    let may_start = statement.query_row(key, |row| {
        let oldest: Option<DeliveryId> = row.get::<_, Option<[u8; 16]>>(1)?.map(Id::from_bytes);
        Ok(Backlog {
            scheduled: row.get(0)?,
            oldest_made_at: oldest.map(|id| id.made_at()),
            next_due_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
        })
    })?;
    let left = limit - may_start.scheduled;
    let key = params![of.handle.as_str(), of.subscription_id.as_bytes(), left];
    let behind: u32 = db.prepare_cached(statements::LANE_BACKLOG_BEHIND)?.query_row(key, |row| row.get(0))?;
    Ok(Backlog { scheduled: may_start.scheduled + behind, ..may_start })
}

/// The number in the column `span`.
pub(super) fn seconds(grain: Grain) -> i64 {
    grain.length().as_secs() as i64
}
