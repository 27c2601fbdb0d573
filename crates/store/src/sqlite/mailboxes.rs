//! What handles know of mailboxes, in `SQLite`.

use angarium_domain::handle::Handle;
use angarium_domain::mailbox::{Change, Mailbox};
use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::fault::Tried;
use super::row::{from_json, json};
use crate::error::StoreError;
use crate::mailboxes::Mailboxes;
use crate::statements;

#[async_trait]
impl Mailboxes for SqliteStore {
    async fn mailbox(&self, handle: &Handle, key: &str) -> Result<Mailbox, StoreError> {
        let (handle, key) = (handle.clone(), key.to_owned());
        self.read(move |db| find(db, &handle, &key)).await
    }
}

pub(super) fn change(db: &Connection, handle: &Handle, key: &str, change: &Change) -> Tried<()> {
    let known = find(db, handle, key)?.after(change);
    if known.is_nothing() {
        db.prepare_cached(statements::FORGET_MAILBOX)?.execute(params![handle.as_str(), key])?;
    } else {
        db.prepare_cached(statements::PUT_MAILBOX)?.execute(params![handle.as_str(), key, json(&known)])?;
    }
    Ok(())
}

fn find(db: &Connection, handle: &Handle, key: &str) -> Tried<Mailbox> {
    let mut statement = db.prepare_cached(statements::MAILBOX)?;
    let mut rows = statement.query(params![handle.as_str(), key])?;
    match rows.next()? {
        Some(row) => from_json(row.get_ref(0)?.as_blob()?),
        None => Ok(Mailbox::default()),
    }
}
