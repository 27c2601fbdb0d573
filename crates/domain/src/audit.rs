//! The audit log: who did what, in rows that hold on to each other.
//!
//! Each row carries the hash of the row before it, over everything that it
//! says, so that a row that is changed, taken out or moved shows. What a chain
//! cannot show by itself is that its end is missing: the head is for that, and
//! whoever wants to be sure notes it elsewhere. No secret is written
//! ([`changed`] takes them out), so the chain may be read by many.

mod redaction;
mod strangers;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::handle::Handle;
use crate::time::Timestamp;

pub use redaction::{Difference, changed};
pub use strangers::Strangers;

/// What every row's hash begins with: the form of what is hashed. Another form gets another name.
const FORM: &[u8] = b"angarium audit 1\n";
const HASH_BYTES: usize = 32;

/// An act that somebody has to answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// In whose account.
    pub handle: Handle,
    /// Who: a token's id or a JWT's subject.
    pub actor: String,
    /// What, as `noun.verb`.
    pub action: Cow<'static, str>,
    /// To what: an id.
    pub object: String,
    /// The request that asked for it.
    pub request_id: String,
    /// The address that the request came from; none if it did not come over the network.
    pub ip: Option<IpAddr>,
    /// What it did to the object, without secrets.
    pub difference: Difference,
}

/// An entry in its place in the chain. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place, from 1, without gaps over all handles.
    pub number: u64,
    /// What it says.
    pub entry: AuditEntry,
    /// The hash of the row before it; zeros for the first.
    pub previous: ChainHash,
    /// SHA-256 over everything above.
    pub hash: ChainHash,
}

/// A link of the chain. Its text is 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChainHash([u8; HASH_BYTES]);

/// How far the chain goes. Its text is number and hash with a colon between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The number of the last row; 0 if there is none.
    pub number: u64,
    /// The last row's hash; zeros if there is none.
    pub hash: ChainHash,
}

/// Where and how a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A row is missing, or stands in another's place.
    #[error("row {expected} is missing: row {found} follows row {}", expected - 1)]
    Missing {
        /// The number that should come next.
        expected: u64,
        /// The number that comes.
        found: u64,
    },
    /// A row does not hold on to the row before it.
    #[error("row {number} does not follow from row {}: one of them is not the row that was written", number - 1)]
    Unlinked {
        /// The later of the two.
        number: u64,
    },
    /// A row does not say what it said when it was written.
    #[error("row {number} was changed after it was written")]
    Changed {
        /// Which row.
        number: u64,
    },
    /// A row cannot be read.
    #[error("row {number} cannot be read: {reason}")]
    Unreadable {
        /// Which row.
        number: u64,
        /// Why.
        reason: String,
    },
    /// The last row is not the one that was written last.
    #[error("the chain ends at {found}, and {expected} was written last")]
    End {
        /// What was noted as the head.
        expected: Head,
        /// Where the rows end.
        found: Head,
    },
    /// A head that somebody noted is not in the chain.
    #[error("row {} is not the one that was noted as {noted}", noted.number)]
    NotNoted {
        /// What was noted.
        noted: Head,
    },
}

/// The text is not a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a row's number, a colon and 64 hex digits")]
pub struct InvalidHead {
    text: String,
}

impl AuditRow {
    /// The row at a place, after the row with a hash.
    pub fn new(number: u64, previous: ChainHash, entry: AuditEntry) -> AuditRow {
        let hash = hash(number, previous, &entry);
        AuditRow { number, entry, previous, hash }
    }

    /// The head of a chain that ends here.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash }
    }
}

impl Head {
    /// The row that comes next.
    #[must_use]
    pub fn append(self, entry: AuditEntry) -> AuditRow {
        AuditRow::new(self.number + 1, self.hash, entry)
    }

    /// Goes on to the next row, which must follow and be as it was written.
    pub fn follow(self, row: &AuditRow) -> Result<Head, Broken> {
        let expected = self.number + 1;
        if row.number != expected {
            return Err(Broken::Missing { expected, found: row.number });
        }
        if row.hash != hash(row.number, row.previous, &row.entry) {
            return Err(Broken::Changed { number: row.number });
        }
        if row.previous != self.hash {
            return Err(Broken::Unlinked { number: row.number });
        }
        Ok(row.head())
    }

    /// The bytes to store.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &self.hash.0].concat()
    }

    /// The head behind stored bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Head> {
        let (number, hash) = bytes.split_first_chunk::<8>()?;
        Some(Head { number: u64::from_be_bytes(*number), hash: ChainHash(hash.try_into().ok()?) })
    }
}

impl ChainHash {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// The hash behind stored bytes.
    pub fn from_bytes(bytes: [u8; HASH_BYTES]) -> ChainHash {
        ChainHash(bytes)
    }
}

/// Every field with its length, so that no two rows are the same bytes.
fn hash(number: u64, previous: ChainHash, entry: &AuditEntry) -> ChainHash {
    let AuditEntry { at, handle, actor, action, object, request_id, ip, difference } = entry;
    let ip = ip.map(|ip| ip.to_string());
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(FORM);
    hash.update(&previous.0);
    hash.update(&number.to_be_bytes());
    hash.update(&at.as_millis().to_be_bytes());
    for text in [handle.as_str(), actor, action, object, request_id] {
        put(&mut hash, Some(text));
    }
    for text in [ip.as_deref(), difference.before.as_deref(), difference.after.as_deref()] {
        put(&mut hash, text);
    }
    ChainHash(hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn put(hash: &mut digest::Context, text: Option<&str>) {
    // A length that no text has stands for none.
    let length = text.map_or(u64::MAX, |text| text.len() as u64);
    hash.update(&length.to_be_bytes());
    hash.update(text.unwrap_or_default().as_bytes());
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for ChainHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ChainHash, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        chain_hash(&text).ok_or_else(|| serde::de::Error::custom("not 64 hex digits"))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Head, InvalidHead> {
        let parts = text
            .split_once(':')
            .and_then(|(number, hash)| Some(Head { number: number.parse().ok()?, hash: chain_hash(hash)? }));
        parts.ok_or_else(|| InvalidHead { text: text.chars().take(80).collect() })
    }
}

fn chain_hash(text: &str) -> Option<ChainHash> {
    Some(ChainHash(HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: i64) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_seconds(n),
            handle: "acme".parse().expect("a handle"),
            actor: "jwt:anna".to_owned(),
            action: "subscription.created".into(),
            object: format!("sub_{n}"),
            request_id: "req_1".to_owned(),
            ip: Some([192, 0, 2, 1].into()),
            difference: Difference { before: None, after: Some("{}".to_owned()) },
        }
    }

    fn chain(length: i64) -> Vec<AuditRow> {
        let mut head = Head::default();
        (1..=length)
            .map(|n| {
                let row = head.append(entry(n));
                head = row.head();
                row
            })
            .collect()
    }

    fn walk(rows: &[AuditRow]) -> Result<Head, Broken> {
        rows.iter().try_fold(Head::default(), Head::follow)
    }

    #[test]
    fn a_chain_as_it_was_written_is_followed_to_its_head() {
        let rows = chain(3);
        assert_eq!(walk(&rows), Ok(rows[2].head()));
        assert_eq!(rows[2].number, 3);
        assert_eq!(walk(&[]), Ok(Head::default()));
    }

    #[test]
    fn a_change_to_any_field_shows_in_its_row() {
        let changes: [fn(&mut AuditEntry); 10] = [
            |e| e.at = Timestamp::from_seconds(99),
            |e| e.handle = "beta".parse().expect("a handle"),
            |e| e.actor.push('x'),
            |e| e.action = "subscription.deleted".into(),
            |e| e.object.push('x'),
            |e| e.request_id.clear(),
            |e| e.ip = None,
            |e| e.difference.before = Some(String::new()),
            |e| e.difference.after = None,
            // The same bytes, cut elsewhere.
            |e| {
                e.actor.push_str("sub");
                e.action = "scription.created".into();
            },
        ];
        for change in changes {
            let mut rows = chain(3);
            change(&mut rows[1].entry);
            assert_eq!(walk(&rows), Err(Broken::Changed { number: 2 }), "{:?}", rows[1].entry);
        }
    }

    #[test]
    fn a_row_that_was_taken_out_moved_or_written_anew_shows() {
        let mut rows = chain(4);
        rows.remove(1);
        assert_eq!(walk(&rows), Err(Broken::Missing { expected: 2, found: 3 }));

        let mut rows = chain(4);
        rows.swap(1, 2);
        assert_eq!(walk(&rows), Err(Broken::Missing { expected: 2, found: 3 }));

        // Whoever knows how a row is hashed has to write all the later ones anew.
        let mut rows = chain(4);
        rows[1] = AuditRow::new(2, rows[0].hash, entry(77));
        assert_eq!(walk(&rows), Err(Broken::Unlinked { number: 3 }));
    }

    #[test]
    fn a_head_is_read_back_from_its_text_and_its_bytes() {
        let head = chain(2)[1].head();
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(Head::from_bytes(&head.to_bytes()), Some(head));
        for broken in ["", "2", "2:", "x:00", &head.to_string()[..60], &head.to_string().to_uppercase()] {
            assert!(broken.parse::<Head>().is_err(), "{broken}");
        }
        assert_eq!(Head::from_bytes(&[0; 7]), None);
    }

    /// The form of what is hashed is for ever: another one would break every chain that exists.
    /// The hash was computed by other means.
    #[test]
    fn the_first_row_of_this_chain_has_the_hash_that_it_always_had() {
        assert_eq!(
            chain(1)[0].hash.to_string(),
            "0775d967231eb034dfb53b58b238b4f6598f7c30fcc313c2335f566007563a96"
        );
    }
}
