//! Repeatable writes: the answer is stored with the effect, and given again to the same request.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use angarium_domain::idempotency::{KEY_KEPT, Record, Scope, Seen};
use angarium_domain::time::Timestamp;
use angarium_store::write::Written;
use angarium_store::{Store, StoreError};
use bytes::Bytes;

use crate::clock::Clock;

/// What goes on the wire, and into the idempotency record.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; empty for none. It may hold a secret that is shown once.
    pub body: Bytes,
}

/// A caller's idempotency key and what it stands for.
#[derive(Debug, Clone)]
pub struct RepeatKey {
    /// Tenant, method, path and key.
    pub scope: Scope,
    /// SHA-256 of the request's body.
    pub fingerprint: [u8; 32],
}

/// How a write is answered, and under which key it may be repeated.
pub struct Once<T> {
    /// None if the caller sent none: then every call is a new write.
    pub key: Option<RepeatKey>,
    /// The answer to what the write made. Called before the commit: the answer is part of it.
    pub answer: Box<dyn Fn(&T) -> Answer + Send + Sync>,
}

/// The answer to a write.
pub struct Reply {
    /// What to send.
    pub answer: Answer,
    /// Whether it was given before, to the same request.
    pub replayed: bool,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RepeatError {
    /// The first request under this key is still running.
    #[error("a request with this idempotency key is still running; repeat it when that one has ended")]
    StillRunning,
    /// The key was used for another body.
    #[error("this idempotency key was used for a request with another body")]
    Reused,
}

impl<T> Once<T> {
    /// A write without a key whose answer nobody reads.
    pub fn unkeyed() -> Once<T> {
        Once { key: None, answer: Box::new(|_| Answer { status: 204, body: Bytes::new() }) }
    }

    /// The answer to `made`, and the record of it if there is a key.
    pub(crate) fn answer_to(&self, made: &T, now: Timestamp) -> (Answer, Option<Record>) {
        let answer = (self.answer)(made);
        let record = self.key.as_ref().map(|key| Record {
            scope: key.scope.clone(),
            fingerprint: key.fingerprint,
            status: answer.status,
            body: answer.body.clone(),
            expires_at: now + KEY_KEPT,
        });
        (answer, record)
    }

    /// The answer to send for what came of a write.
    pub(crate) fn reply<W>(&self, written: Written<W>, answer: Answer) -> Result<Reply, RepeatError> {
        match (written, &self.key) {
            (Written::Seen(record), Some(key)) => again(record, key),
            (Written::Done(_) | Written::Seen(_), _) => Ok(Reply { answer, replayed: false }),
        }
    }
}

fn again(record: Record, key: &RepeatKey) -> Result<Reply, RepeatError> {
    match record.judge(&key.fingerprint) {
        Seen::Replay(record) => {
            Ok(Reply { answer: Answer { status: record.status, body: record.body }, replayed: true })
        }
        Seen::Reused => Err(RepeatError::Reused),
    }
}

/// The keys of requests that are running in this process. Between processes the record decides,
/// inside the transaction.
pub(crate) struct Repeats {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    running: Mutex<HashSet<Scope>>,
}

/// A key is running for as long as this lives.
pub(crate) struct Running<'a> {
    repeats: &'a Repeats,
    scope: Option<Scope>,
}

impl Repeats {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Repeats {
        Repeats { store, clock, running: Mutex::new(HashSet::new()) }
    }

    /// Marks a key as running.
    pub(crate) fn begin(&self, key: Option<&RepeatKey>) -> Result<Running<'_>, RepeatError> {
        let scope = key.map(|key| key.scope.clone());
        if let Some(scope) = &scope
            && !self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.clone())
        {
            return Err(RepeatError::StillRunning);
        }
        Ok(Running { repeats: self, scope })
    }

    /// The answer that was given under a key, for writes that would be refused today because they
    /// succeeded then, such as a deletion.
    pub(crate) async fn earlier<E>(&self, key: Option<&RepeatKey>) -> Result<Option<Reply>, E>
    where
        E: From<RepeatError> + From<StoreError>,
    {
        let Some(key) = key else { return Ok(None) };
        match self.store.seen(&key.scope, self.clock.now()).await? {
            Some(record) => Ok(Some(again(record, key)?)),
            None => Ok(None),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(scope) = &self.scope {
            self.repeats.running.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use angarium_store::memory::MemoryStore;

    use super::*;
    use crate::clock::SystemClock;

    fn key(name: &str, fingerprint: u8) -> RepeatKey {
        RepeatKey { scope: Scope::new("acme", "POST", "/events", name), fingerprint: [fingerprint; 32] }
    }

    fn once(key: RepeatKey) -> Once<u16> {
        Once { key: Some(key), answer: Box::new(|n| Answer { status: *n, body: Bytes::new() }) }
    }

    #[test]
    fn a_key_is_running_until_its_write_ends() {
        let repeats = Repeats::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock));
        let (a, b) = (key("a", 1), key("b", 1));
        let running = repeats.begin(Some(&a)).expect("the first");
        assert_eq!(repeats.begin(Some(&a)).err(), Some(RepeatError::StillRunning));
        assert!(repeats.begin(Some(&b)).is_ok());
        drop(running);
        assert!(repeats.begin(Some(&a)).is_ok());
    }

    #[test]
    fn the_same_request_has_the_first_answer_and_another_one_is_refused() {
        let first = once(key("a", 1));
        let (_, record) = first.answer_to(&201, Timestamp::from_seconds(0));
        let seen = || Written::<()>::Seen(record.clone().expect("there is a key"));
        let again =
            first.reply(seen(), Answer { status: 500, body: Bytes::new() }).expect("the same request");
        assert_eq!((again.answer.status, again.replayed), (201, true));
        let other = once(key("a", 2)).reply(seen(), Answer { status: 500, body: Bytes::new() });
        assert_eq!(other.err(), Some(RepeatError::Reused));
    }
}
