//! What a sink has received: the last requests in full, and counts of all of them.

use std::collections::hash_map::{HashMap, RandomState};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use angarium_domain::time::Timestamp;
use angarium_verify::{Finding, Verdict};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::message::Message;

/// How many requests are kept in full unless somebody says otherwise.
pub(crate) const KEEP_DEFAULT: usize = 10_000;
/// The most bytes of bodies and headers that are kept.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most pairs of path and event that are told apart: some 150 MB of memory.
const EVENTS_MAX: usize = 4_000_000;

/// One request, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// From 1, in the order of arrival.
    pub(crate) n: u64,
    /// When its body had been read.
    pub(crate) at: Timestamp,
    /// As received.
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// Headers and body.
    #[serde(flatten)]
    pub(crate) message: Message,
    /// What its signatures are worth; empty if the sink has no secret.
    pub(crate) signatures: Signatures,
    /// The status that it was answered with; none if it never was.
    pub(crate) status: Option<u16>,
}

/// The findings about the signatures that a request carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Signatures(pub(crate) Vec<Finding>);

impl Signatures {
    /// Whether at least one signature holds and none is wrong.
    pub(crate) fn hold(&self) -> bool {
        let verified = self.0.iter().any(|finding| finding.verdict == Verdict::Verified);
        verified && !self.0.iter().any(|finding| matches!(finding.verdict, Verdict::Refused(_)))
    }

    /// The findings about what was sent.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(|finding| finding.verdict != Verdict::Absent)
    }
}

/// An object of profile and verdict.
impl Serialize for Signatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for finding in self.sent() {
            map.serialize_entry(finding.profile.as_str(), &finding.verdict.to_string())?;
        }
        map.end()
    }
}

/// Counts of everything since the start or the last clearing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// All requests.
    pub(crate) total: u64,
    /// Different `webhook-id`s.
    pub(crate) distinct_events: u64,
    /// Requests whose `webhook-id` the same path had seen before.
    pub(crate) duplicates: u64,
    /// Requests whose signatures do not hold, if the sink has a secret.
    pub(crate) bad_signatures: u64,
    /// Requests by the status of their answer; `none` where there was none.
    pub(crate) by_status: BTreeMap<String, u64>,
    /// Requests with an id beyond the number that is told apart. They are in no count of ids.
    pub(crate) not_told_apart: u64,
    /// When the first request came.
    pub(crate) first_at: Option<Timestamp>,
    /// When the last request came.
    pub(crate) last_at: Option<Timestamp>,
}

/// The log. Bounded in requests, bytes and ids.
pub(crate) struct Log {
    keep: usize,
    records: VecDeque<Arc<Record>>,
    record_bytes: usize,
    total: u64,
    bad_signatures: u64,
    duplicates: u64,
    not_told_apart: u64,
    by_status: [u64; 600],
    without_status: u64,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    hasher: RandomState,
    /// How often each pair of path and event was seen, by its hash.
    seen: HashMap<u64, u32>,
    /// The hashes of the events.
    events: HashSet<u64>,
}

impl Log {
    /// An empty log that keeps the last `keep` requests in full.
    pub(crate) fn new(keep: usize) -> Log {
        Log {
            keep,
            records: VecDeque::new(),
            record_bytes: 0,
            total: 0,
            bad_signatures: 0,
            duplicates: 0,
            not_told_apart: 0,
            by_status: [0; 600],
            without_status: 0,
            first_at: None,
            last_at: None,
            hasher: RandomState::new(),
            seen: HashMap::new(),
            events: HashSet::new(),
        }
    }

    /// Forgets everything, and begins to count from 1 again.
    pub(crate) fn clear(&mut self) {
        *self = Log::new(self.keep);
    }

    /// Notes that a path was sent an event, and says how often it was before.
    ///
    /// Requests without an id are counted as one event of their path.
    pub(crate) fn see(&mut self, path: &str, event: Option<&str>) -> u64 {
        let pair = self.hasher.hash_one((path, event));
        if self.seen.len() >= EVENTS_MAX && !self.seen.contains_key(&pair) {
            self.not_told_apart += 1;
            return 0;
        }
        let times = self.seen.entry(pair).or_default();
        let before = u64::from(*times);
        *times = times.saturating_add(1);
        if let Some(event) = event {
            self.events.insert(self.hasher.hash_one(event));
            self.duplicates += u64::from(before > 0);
        }
        before
    }

    /// Counts a request that is about to be answered, and gives it its number.
    pub(crate) fn count(&mut self, at: Timestamp, status: Option<u16>, bad_signature: bool) -> u64 {
        self.total += 1;
        self.bad_signatures += u64::from(bad_signature);
        match status.and_then(|status| self.by_status.get_mut(usize::from(status))) {
            Some(count) => *count += 1,
            None => self.without_status += 1,
        }
        self.first_at.get_or_insert(at);
        self.last_at = Some(at);
        self.total
    }

    /// Whether requests are kept in full.
    pub(crate) fn keeps(&self) -> bool {
        self.keep > 0
    }

    /// Keeps a request in full, and forgets the oldest where there are too many.
    pub(crate) fn keep(&mut self, record: Arc<Record>) {
        self.record_bytes += bytes_of(&record);
        self.records.push_back(record);
        while self.records.len() > self.keep || self.record_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.records.pop_front() else { return };
            self.record_bytes -= bytes_of(&oldest);
        }
    }

    /// The kept requests with a number above `since`, in the order of arrival.
    pub(crate) fn records(&self, since: u64) -> Vec<Arc<Record>> {
        self.records.iter().filter(|record| record.n > since).cloned().collect()
    }

    /// The counts so far.
    pub(crate) fn summary(&self) -> Summary {
        let answered = self.by_status.iter().enumerate().map(|(status, count)| (status.to_string(), *count));
        let unanswered = [("none".to_owned(), self.without_status)];
        Summary {
            total: self.total,
            distinct_events: self.events.len() as u64,
            duplicates: self.duplicates,
            bad_signatures: self.bad_signatures,
            by_status: answered.chain(unanswered).filter(|(_, count)| *count > 0).collect(),
            not_told_apart: self.not_told_apart,
            first_at: self.first_at,
            last_at: self.last_at,
        }
    }
}

fn bytes_of(record: &Record) -> usize {
    let headers = &record.message.headers;
    record.path.len()
        + record.message.body.len()
        + headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_seconds(1_772_020_800);

    fn record(n: u64, body_bytes: usize) -> Arc<Record> {
        Arc::new(Record {
            n,
            at: AT,
            method: "POST".into(),
            path: "/".into(),
            message: Message { headers: vec![], body: vec![b'x'; body_bytes].into() },
            signatures: Signatures::default(),
            status: Some(200),
        })
    }

    fn numbers(log: &Log, since: u64) -> Vec<u64> {
        log.records(since).iter().map(|record| record.n).collect()
    }

    #[test]
    fn the_last_requests_are_kept_and_older_ones_forgotten() {
        let mut log = Log::new(3);
        (1..=5).for_each(|n| log.keep(record(n, 10)));
        assert_eq!(numbers(&log, 0), [3, 4, 5]);
        assert_eq!(numbers(&log, 4), [5]);
        assert_eq!(numbers(&log, 5), [0; 0]);
    }

    #[test]
    fn large_requests_leave_before_memory_does() {
        let mut log = Log::new(100);
        (1..=5).for_each(|n| log.keep(record(n, KEPT_BYTES_MAX / 2 - 1)));
        assert_eq!(numbers(&log, 0), [4, 5]);
    }

    #[test]
    fn an_event_is_a_duplicate_only_where_its_path_has_seen_it() {
        let mut log = Log::new(0);
        let times = [("/a", "e1"), ("/b", "e1"), ("/a", "e1"), ("/a", "e2"), ("/a", "e1")];
        assert_eq!(times.map(|(path, event)| log.see(path, Some(event))), [0, 0, 1, 0, 2]);
        let summary = log.summary();
        assert_eq!((summary.distinct_events, summary.duplicates), (2, 2));
    }

    #[test]
    fn requests_without_an_id_are_no_events() {
        let mut log = Log::new(0);
        assert_eq!([log.see("/a", None), log.see("/a", None)], [0, 1]);
        assert_eq!(log.summary().distinct_events + log.summary().duplicates, 0);
    }

    #[test]
    fn the_summary_counts_by_status_and_clearing_begins_anew() {
        let mut log = Log::new(0);
        for (status, bad) in [(Some(200), false), (Some(200), true), (Some(503), false), (None, false)] {
            log.count(AT, status, bad);
        }
        let by_status =
            [("200", 2), ("503", 1), ("none", 1)].map(|(status, count)| (status.to_owned(), count));
        let expected = Summary {
            total: 4,
            bad_signatures: 1,
            by_status: by_status.into(),
            first_at: Some(AT),
            last_at: Some(AT),
            ..Summary::default()
        };
        assert_eq!(log.summary(), expected);
        log.clear();
        assert_eq!(log.summary(), Summary::default());
    }
}
