//! How often mails go to people who did not ask for them: whoever may subscribe addresses, or name the
//! owner's, could otherwise send mails to strangers (security, row 79).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use angarium_domain::event::{Event, Origin};
use angarium_domain::handle::Handle;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::{CONFIRMATION, QUESTION_INTERVAL, QUESTION_KEPT, QUESTIONS_MAX};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::event_log::EventFilter;
use angarium_store::page::PageRequest;
use tokio::sync::{Mutex, MutexGuard};

use super::EmailError;
use crate::Desk;

/// Addresses that are remembered over all handles. Beyond it those asked longest ago are forgotten.
const REMEMBERED_MAX: usize = 50_000;
/// The furthest ahead that a question is put: whoever asks later is told to come again.
const AHEAD_MAX: Duration = Duration::from_hours(24);
/// Handles share so many turns: two that meet wait for each other, which costs them a moment.
const TURNS: usize = 64;

/// When whom was asked.
///
/// What a handle has asked stands in its log of events, so that neither a restart nor the removal of a
/// subscription forgets it. What others asked the same address is remembered in memory: the one mail
/// an hour that an address gets is counted over all handles, as long as this process runs.
#[derive(Clone)]
pub(super) struct Questions {
    desk: Desk,
    turns: Arc<[Mutex<()>; TURNS]>,
    booked: Arc<std::sync::Mutex<HashMap<String, Vec<Timestamp>>>>,
}

/// A time at which one address is asked. Free again when it is dropped, unless it was kept.
pub(super) struct Booking<'a> {
    questions: &'a Questions,
    key: String,
    /// When this handle asked it in the last hour, by its log.
    asked_at: Vec<Timestamp>,
    chosen: Option<Timestamp>,
}

impl Questions {
    pub(super) fn new(desk: Desk) -> Questions {
        let turns = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        Questions { desk, turns, booked: Arc::default() }
    }

    /// A handle's turn: what it has sent lately is counted by one request at a time.
    pub(super) async fn turn(&self, handle: &Handle) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        handle.as_str().hash(&mut hasher);
        self.turns[(hasher.finish() % TURNS as u64) as usize].lock().await
    }

    /// Events of one type that were made at a handle in the last hour, newest first.
    pub(super) async fn lately(
        &self,
        handle: &Handle,
        event_type: &str,
        origin: Origin,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, StoreError> {
        let filter = EventFilter {
            event_type: Some(event_type.parse().expect("a valid event type")),
            origin: Some(origin),
            since: Some(self.desk.clock.now().saturating_sub(QUESTION_INTERVAL)),
            until: None,
        };
        let page = PageRequest { before: None, limit: limit as u32 };
        Ok(self.desk.store.events(handle, filter, page).await?.items)
    }

    /// A place for a question to one address.
    ///
    /// # Errors
    ///
    /// [`EmailError::TooManyQuestions`] if the handle has asked as often as it may in an hour.
    pub(super) async fn booking(
        &self,
        handle: &Handle,
        address: &MailAddress,
    ) -> Result<Booking<'_>, EmailError> {
        let lately = self.lately(handle, CONFIRMATION, Origin::System, QUESTIONS_MAX).await?;
        let now = self.desk.clock.now();
        if let Some(oldest) = lately.last().filter(|_| lately.len() >= QUESTIONS_MAX) {
            let retry_after = (oldest.accepted_at + QUESTION_INTERVAL).since(now);
            return Err(EmailError::TooManyQuestions { retry_after });
        }
        let key = address.key();
        // One that was to be put later was cancelled, or else it waits and nobody asks again.
        let asked_at = lately.iter().filter(|event| is_about(event, &key)).filter_map(|event| put_at(event));
        let asked_at = asked_at.filter(|at| *at <= now).collect();
        Ok(Booking { questions: self, key, asked_at, chosen: None })
    }

    /// Takes a question back that was to be put later and is not put at all.
    pub(super) fn free(&self, key: &str, at: Timestamp) {
        let mut booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = booked.get_mut(key) {
            times.retain(|booked| *booked != at);
        }
    }
}

impl Booking<'_> {
    /// When the address may be asked. The same time however often it is asked for.
    ///
    /// # Errors
    ///
    /// [`EmailError::TooManyQuestions`] if others ask it for a day to come.
    pub(super) fn due_at(&mut self, now: Timestamp) -> Result<Timestamp, EmailError> {
        if let Some(chosen) = self.chosen {
            return Ok(chosen);
        }
        let mut booked = self.questions.booked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = booked.entry(self.key.clone()).or_default();
        times.retain(|at| now < *at + QUESTION_INTERVAL);
        let mut all: Vec<_> = times.iter().chain(&self.asked_at).copied().collect();
        all.sort_unstable();
        let due_at = first_free(&all, now);
        if due_at > now + AHEAD_MAX {
            return Err(EmailError::TooManyQuestions { retry_after: due_at.since(now + AHEAD_MAX) });
        }
        times.push(due_at);
        forget_the_oldest(&mut booked);
        self.chosen = Some(due_at);
        Ok(due_at)
    }

    /// The question is on its way.
    pub(super) fn keep(mut self) {
        self.chosen = None;
    }
}

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        if let Some(at) = self.chosen {
            self.questions.free(&self.key, at);
        }
    }
}

/// Whether one of our own events is about a mailbox.
pub(super) fn is_about(event: &Event, key: &str) -> bool {
    event.payload.to_value()["email"].as_str().is_some_and(|email| email.to_ascii_lowercase() == key)
}

/// When a question was put: its answer is taken for so long.
fn put_at(question: &Event) -> Option<Timestamp> {
    let expires_at: Timestamp = question.payload.to_value()["expiresAt"].as_str()?.parse().ok()?;
    Some(expires_at.saturating_sub(QUESTION_KEPT))
}

/// The first time from now on with an hour to the last question before it, and to the next one.
fn first_free(booked: &[Timestamp], now: Timestamp) -> Timestamp {
    let mut at = now;
    for taken in booked {
        if *taken < at + QUESTION_INTERVAL && at < *taken + QUESTION_INTERVAL {
            at = *taken + QUESTION_INTERVAL;
        }
    }
    at
}

fn forget_the_oldest(booked: &mut HashMap<String, Vec<Timestamp>>) {
    if booked.len() > REMEMBERED_MAX {
        let oldest = booked.iter().min_by_key(|(_, times)| times.last().copied());
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            booked.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_seconds(1_000_000) + Duration::from_mins(minutes)
    }

    #[test]
    fn questions_to_one_address_are_an_hour_apart_and_a_place_that_was_given_back_is_used() {
        for (booked, now, expected) in [
            (vec![], 0, 0),
            (vec![0], 10, 60),
            (vec![0], 60, 60),
            (vec![0, 60, 120], 10, 180),
            // The one at 60 was taken back.
            (vec![0, 120], 10, 60),
            // There is no hour on both sides.
            (vec![0, 90], 10, 150),
            (vec![90], 10, 10),
            (vec![90], 40, 150),
        ] {
            let booked: Vec<_> = booked.into_iter().map(at).collect();
            assert_eq!(first_free(&booked, at(now)), at(expected), "{booked:?} at {now}");
        }
    }
}
