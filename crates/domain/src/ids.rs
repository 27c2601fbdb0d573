//! Typed identifiers: a prefix and 26 characters of Crockford base32 over a UUIDv7.
//!
//! Source: contract 1.1. An id never holds a `.`, because signatures join their
//! parts with one. Ids of one kind sort by the time they were made.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::time::Timestamp;

/// What an id names: its prefix on the wire.
pub trait Kind: Copy + Eq + Ord + std::hash::Hash + fmt::Debug + Send + Sync + 'static {
    /// The letters before the underscore.
    const PREFIX: &'static str;
}

/// An identifier of one kind of thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K>(Uuid, PhantomData<K>);

macro_rules! kinds {
    ($($(#[$doc:meta])* $alias:ident = $kind:ident($prefix:literal);)*) => {$(
        $(#[$doc])*
        pub type $alias = Id<$kind>;

        #[doc = concat!("The kind of ids that begin with `", $prefix, "_`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind;

        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
    )*};
}

kinds! {
    /// Names an event; the same on every attempt and replay.
    EventId = EventKind("evt");
    /// Names a subscription, and so its lane.
    SubscriptionId = SubscriptionKind("sub");
    /// Names an e-mail subscription in the API: the same 26 characters as its subscription's.
    EmailSubscriptionId = EmailSubscriptionKind("ems");
    /// Names a delivery.
    DeliveryId = DeliveryKind("dlv");
    /// Names a replay job.
    ReplayId = ReplayKind("rpl");
    /// Names a source of the context store.
    SourceId = SourceKind("src");
    /// Names an item of an inbox. One that was made of an event has the characters of its delivery.
    ItemId = ItemKind("inb");
    /// Names a decision about a session.
    DecisionId = DecisionKind("dec");
    /// Names a voice note, and its file.
    VoiceNoteId = VoiceNoteKind("vn");
    /// Names a report to whoever runs the service.
    ReportId = ReportKind("rep");
    /// Names one request to our API, when its caller did not.
    RequestId = RequestKind("req");
    /// Names a personal access token; the public half of `patv1_<id>.<secret>`.
    TokenId = TokenKind("tok");
    /// Names an API key, which is a token of another face.
    ApiKeyId = ApiKeyKind("key");
}

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_ and 26 characters of lower-case Crockford base32")]
pub struct InvalidId {
    prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

impl<K: Kind> Id<K> {
    /// Makes a UUIDv7 from the time and ten bytes that the caller drew at random.
    pub fn new(at: Timestamp, random: [u8; 10]) -> Id<K> {
        let millis = at.as_millis().max(0) as u64;
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Id(uuid, PhantomData)
    }

    /// The sixteen bytes behind the text, in an order that sorts by time.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id behind sixteen stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Id<K> {
        Id(Uuid::from_bytes(bytes), PhantomData)
    }

    /// The smallest possible id made at `at`: a bound for searches by time.
    pub fn floor(at: Timestamp) -> Id<K> {
        let millis = (at.as_millis().max(0) as u128) << 80;
        Id(Uuid::from_u128(millis), PhantomData)
    }

    /// The same 26 characters as the id of another kind: for things that have two names.
    #[must_use]
    pub fn of_kind<J: Kind>(self) -> Id<J> {
        Id(self.0, PhantomData)
    }

    /// When the id was made.
    pub fn made_at(&self) -> Timestamp {
        Timestamp::from_millis((self.0.as_u128() >> 80) as i64)
    }

    /// The 26 characters, without the prefix.
    pub fn digits(&self) -> String {
        self.text().iter().map(|digit| char::from(*digit)).collect()
    }

    /// The 26 characters, without the prefix.
    fn text(&self) -> [u8; TEXT_LEN] {
        let mut bits = self.0.as_u128();
        let mut text = [0; TEXT_LEN];
        for place in text.iter_mut().rev() {
            *place = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        text
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let text = std::str::from_utf8(&text).expect("the alphabet is ASCII");
        write!(f, "{}_{text}", K::PREFIX)
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Id<K>, InvalidId> {
        parse_text(text, K::PREFIX)
            .map(|bits| Id(Uuid::from_u128(bits), PhantomData))
            .ok_or(InvalidId { prefix: K::PREFIX })
    }
}

fn parse_text(text: &str, prefix: &str) -> Option<u128> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?.as_bytes();
    // 26 digits hold 130 bits: a first digit above 7 would not fit in 128.
    if digits.len() != TEXT_LEN || digits[0] > b'7' {
        return None;
    }
    digits.iter().try_fold(0_u128, |bits, digit| {
        let value = ALPHABET.iter().position(|letter| letter == digit)?;
        Some((bits << 5) | value as u128)
    })
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id<K>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_bytes_name_the_same_id(bytes: [u8; 16]) {
            let id = EventId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
            prop_assert_eq!(id.to_string().len(), "evt_".len() + 26);
        }

        #[test]
        fn text_sorts_as_bytes_do(a: [u8; 16], b: [u8; 16]) {
            let (a, b) = (EventId::from_bytes(a), EventId::from_bytes(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn an_id_remembers_when_it_was_made(millis in 0_i64..253_402_300_799_999, random: [u8; 10]) {
            let at = Timestamp::from_millis(millis);
            let id = DeliveryId::new(at, random);
            prop_assert_eq!(id.made_at(), at);
            prop_assert!(DeliveryId::floor(at) <= id);
        }
    }

    #[test]
    fn other_kinds_and_broken_text_are_refused() {
        let id = EventId::from_bytes([7; 16]).to_string();
        assert!(id.parse::<DeliveryId>().is_err());
        for broken in
            ["", "evt_", &id[..29], &id.to_uppercase(), &format!("{id}0"), "evt_8zzzzzzzzzzzzzzzzzzzzzzzzz"]
        {
            assert!(broken.parse::<EventId>().is_err(), "{broken}");
        }
    }
}
