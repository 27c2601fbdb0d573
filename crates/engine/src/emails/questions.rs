//! How often people are asked whether they want mails: whoever may subscribe addresses could otherwise
//! send mails to strangers (security, row 79).

use std::collections::HashMap;
use std::sync::Arc;

use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::{CONFIRMATION, QUESTION_INTERVAL, QUESTIONS_MAX};
use angarium_domain::time::Timestamp;
use angarium_store::event_log::EventFilter;
use angarium_store::page::PageRequest;
use tokio::sync::{Mutex, MutexGuard};

use super::EmailError;
use crate::Desk;

/// Addresses that are remembered over all handles. Beyond it those asked longest ago are forgotten.
const REMEMBERED_MAX: usize = 50_000;

/// When whom was asked.
///
/// What a handle has asked stands in its log of events, so that neither a restart nor the removal of a
/// subscription forgets it. What others asked the same address is remembered in memory: the one mail
/// an hour that an address gets is counted over all handles, as long as this process runs.
#[derive(Clone)]
pub(super) struct Questions {
    desk: Desk,
    due: Arc<Mutex<HashMap<String, Timestamp>>>,
}

/// One question is decided upon at a time.
pub(super) struct Asking<'a> {
    due: MutexGuard<'a, HashMap<String, Timestamp>>,
    /// The handle's questions of the last hour, newest first.
    lately: Vec<Arc<Event>>,
    chosen: Option<Timestamp>,
}

impl Questions {
    pub(super) fn new(desk: Desk) -> Questions {
        Questions { desk, due: Arc::default() }
    }

    pub(super) async fn begin(&self, handle: &Handle) -> Result<Asking<'_>, EmailError> {
        let due = self.due.lock().await;
        let since = self.desk.clock.now().saturating_sub(QUESTION_INTERVAL);
        let event_type = Some(CONFIRMATION.parse().expect("a valid event type"));
        let filter = EventFilter { event_type, since: Some(since), until: None };
        let page = PageRequest { before: None, limit: QUESTIONS_MAX as u32 };
        let lately = self.desk.store.events(handle, filter, page).await?.items;
        Ok(Asking { due, lately, chosen: None })
    }
}

impl Asking<'_> {
    /// When an address may be asked.
    ///
    /// # Errors
    ///
    /// [`EmailError::TooManyQuestions`] if the handle has asked as often as it may in an hour.
    pub(super) fn due_at(&mut self, address: &MailAddress, now: Timestamp) -> Result<Timestamp, EmailError> {
        if self.lately.len() >= QUESTIONS_MAX {
            let oldest = self.lately.last().map_or(now, |event| event.accepted_at);
            return Err(EmailError::TooManyQuestions {
                retry_after: (oldest + QUESTION_INTERVAL).since(now),
            });
        }
        let key = address.key();
        let same = |event: &&Arc<Event>| {
            event.payload.to_value()["email"].as_str().is_some_and(|email| email.to_ascii_lowercase() == key)
        };
        let by_us = self.lately.iter().find(same).map(|event| event.accepted_at);
        let last = self.due.get(&key).copied().max(by_us);
        let due_at = last.map_or(now, |last| (last + QUESTION_INTERVAL).max(now));
        self.chosen = Some(due_at);
        Ok(due_at)
    }

    /// Takes note that the question is on its way.
    pub(super) fn asked(mut self, address: &MailAddress) {
        let Some(due_at) = self.chosen else { return };
        if self.due.len() >= REMEMBERED_MAX {
            let oldest = self.due.iter().min_by_key(|(_, due_at)| **due_at).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.due.remove(&oldest);
            }
        }
        self.due.insert(address.key(), due_at);
    }
}
