//! The bench's receiver: counts which numbered events arrived at which path, and how long they took.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use hyper::{StatusCode, http::request::Parts};
use tokio::time::Instant;

use super::load::Numbers;
use crate::receiver::{Guest, Reply};

/// The path whose requests are never answered.
pub(super) const HANGING_PATH: &str = "/hanging";

/// Counts at the paths `/0`, `/1`, …
#[derive(Debug)]
pub(crate) struct Tally {
    numbers: Arc<Numbers>,
    paths: Vec<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// One bit for each number.
    seen: Vec<u64>,
    different: u64,
    repeated: u64,
    micros: Vec<u64>,
}

impl Tally {
    /// Counts at `paths` paths.
    pub(super) fn new(numbers: Arc<Numbers>, paths: usize) -> Tally {
        Tally { numbers, paths: (0..paths).map(|_| Mutex::default()).collect() }
    }

    /// How many different events arrived at a path.
    pub(super) fn different(&self, path: usize) -> u64 {
        self.counts(path).different
    }

    /// How many different events arrived at all paths together.
    pub(super) fn different_everywhere(&self) -> u64 {
        (0..self.paths.len()).map(|path| self.different(path)).sum()
    }

    /// How many arrivals were of events that had arrived before.
    pub(super) fn repeated(&self) -> u64 {
        (0..self.paths.len()).map(|path| self.counts(path).repeated).sum()
    }

    /// Takes the times from sending to first arrival noted so far, in microseconds, of all paths.
    pub(super) fn take_micros(&self) -> Vec<u64> {
        (0..self.paths.len()).flat_map(|path| std::mem::take(&mut self.counts(path).micros)).collect()
    }

    fn counts(&self, path: usize) -> MutexGuard<'_, Counts> {
        self.paths[path].lock().expect("counting does not panic")
    }
}

impl Guest for Tally {
    fn receive(&self, head: &Parts, body: &Bytes) -> Reply {
        let path = head.uri.path();
        if path == HANGING_PATH {
            return Reply::Never;
        }
        let index = path[1..].parse().ok().filter(|index| *index < self.paths.len());
        let Some((index, number, sent)) =
            index.zip(field(body, b"\"n\":")).zip(field(body, b"\"t\":")).map(flat)
        else {
            return Reply::Now(StatusCode::BAD_REQUEST);
        };
        let took = self.numbers.micros_at(Instant::now()).saturating_sub(sent);
        self.counts(index).add(number, took);
        Reply::Now(StatusCode::OK)
    }
}

impl Counts {
    fn add(&mut self, number: u64, took: u64) {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.different += 1;
            self.micros.push(took);
        } else {
            self.repeated += 1;
        }
    }
}

fn flat(((index, number), sent): ((usize, u64), u64)) -> (usize, u64, u64) {
    (index, number, sent)
}

/// The digits behind a key; parsing the whole body would measure the receiver.
fn field(body: &[u8], key: &[u8]) -> Option<u64> {
    let at = body.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn arrive(tally: &Tally, path: &str, body: &'static str) -> Reply {
        let (head, ()) = Request::post(path).body(()).unwrap().into_parts();
        tally.receive(&head, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn different_events_are_told_from_repeated_ones_at_each_path() {
        let tally = Tally::new(Arc::new(Numbers::starting_now()), 2);
        for (path, body) in [
            ("/0", r#"{"id":"evt","payload":{"n":70,"t":0}}"#),
            ("/0", r#"{"id":"evt","payload":{"n":70,"t":0}}"#),
            ("/0", r#"{"id":"evt","payload":{"n":3,"t":0}}"#),
            ("/1", r#"{"id":"evt","payload":{"n":70,"t":0}}"#),
        ] {
            assert_eq!(arrive(&tally, path, body), Reply::Now(StatusCode::OK));
        }
        assert_eq!((tally.different(0), tally.different(1), tally.repeated()), (2, 1, 1));
        assert_eq!(
            (tally.different_everywhere(), tally.take_micros().len(), tally.take_micros().len()),
            (3, 3, 0)
        );
    }

    #[test]
    fn what_was_not_sent_by_the_generator_is_refused() {
        let tally = Tally::new(Arc::new(Numbers::starting_now()), 1);
        for (path, body) in [("/1", r#"{"n":1,"t":1}"#), ("/0", r#"{"n":"x","t":1}"#), ("/0", "{}")] {
            assert_eq!(arrive(&tally, path, body), Reply::Now(StatusCode::BAD_REQUEST), "{path} {body}");
        }
        assert_eq!(arrive(&tally, HANGING_PATH, "{}"), Reply::Never);
    }
}
