//! Signing secrets: what a subscription's deliveries are signed with.
//!
//! Nothing here has `Debug` or `Serialize`. The text of a secret can be read in
//! two places: where it is shown once, and where the store seals it.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::time::Duration;

use crate::time::Timestamp;

const HMAC_PREFIX: &str = "whsec_";
const ED25519_PREFIX: &str = "whsk_";
const ED25519_PUBLIC_PREFIX: &str = "whpk_";
/// The lengths that Standard Webhooks allows for an HMAC key, in bytes.
const HMAC_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How many old keys may overlap with the newest: each is a token in a header.
const OVERLAPPING_MAX: usize = 4;
/// The longest overlap of a rotation (contract 3).
pub const OVERLAP_MAX: Duration = Duration::from_hours(168);
/// The overlap of a rotation when the caller names none (contract 3).
pub const OVERLAP_DEFAULT: Duration = Duration::from_hours(24);

/// The text is not a signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Neither `whsec_` nor `whsk_`.
    #[error("a secret begins with whsec_ or whsk_")]
    Prefix,
    /// Not base64 of the right length.
    #[error("a whsec_ secret is base64 of 24 to 64 bytes; a whsk_ secret is base64 of 64 bytes")]
    Encoding,
    /// A key pair whose halves do not belong together.
    #[error("the public half of the whsk_ secret does not match its private half")]
    Mismatch,
    /// A caller's own text that is too short, too long, or holds more than visible ASCII.
    #[error(
        "a secret of your own is {} to {} visible ASCII characters, or whsec_ and base64 of as many bytes",
        HMAC_KEY_BYTES.start(),
        HMAC_KEY_BYTES.end()
    )]
    OwnText,
    /// A caller's own text with the beginning of a key pair: nobody else may know its private half.
    #[error("a secret of your own is shared with the receiver, so it cannot begin with whsk_ or whpk_")]
    OwnPair,
}

/// A secret that a caller brought along, for receivers that verify with it already.
///
/// Text without `whsec_` is used as it stands: by the profiles that sign with a secret's text, and
/// as the bytes of the Standard Webhooks key.
#[derive(Clone)]
pub struct OwnSecret(SecretString);

impl OwnSecret {
    /// Takes a caller's text.
    ///
    /// # Errors
    ///
    /// [`InvalidSecret`] if it is too easy to guess, too long, or looks like another kind of key.
    pub fn parse(text: &str) -> Result<OwnSecret, InvalidSecret> {
        if [ED25519_PREFIX, ED25519_PUBLIC_PREFIX].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(InvalidSecret::OwnPair);
        }
        SigningKey::read(text).map(|key| OwnSecret(key.text))
    }

    /// The key that signs with it.
    pub fn key(&self) -> SigningKey {
        SigningKey::read(self.0.expose_secret()).expect("it was read when it was taken")
    }
}

/// One secret, ready to sign with.
pub struct SigningKey {
    text: SecretString,
    algorithm: Algorithm,
}

enum Algorithm {
    // Boxed: a key holds the state of two hashes, more than a kilobyte.
    Hmac(Box<HmacKeys>),
    Ed25519(Ed25519KeyPair),
}

struct HmacKeys {
    of_bytes: hmac::Key,
    of_text: hmac::Key,
}

impl SigningKey {
    /// A new HMAC secret of 32 bytes that the caller drew at random.
    pub fn hmac(random: [u8; 32]) -> SigningKey {
        let text = format!("{HMAC_PREFIX}{}", BASE64.encode(&random));
        SigningKey::parse(&text).expect("32 bytes are a secret")
    }

    /// A new Ed25519 secret from a seed that the caller drew at random.
    pub fn ed25519(seed: [u8; 32]) -> SigningKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
        let mut bytes = seed.to_vec();
        bytes.extend_from_slice(pair.public_key().as_ref());
        SigningKey::parse(&format!("{ED25519_PREFIX}{}", BASE64.encode(&bytes))).expect("a pair that we made")
    }

    /// Reads a secret that may be a caller's own text.
    fn read(text: &str) -> Result<SigningKey, InvalidSecret> {
        match SigningKey::parse(text) {
            Err(InvalidSecret::Prefix) => own_text(text),
            read => read,
        }
    }

    /// Reads a secret's text.
    pub fn parse(text: &str) -> Result<SigningKey, InvalidSecret> {
        let algorithm = if let Some(encoded) = text.strip_prefix(HMAC_PREFIX) {
            parse_hmac(text, encoded)?
        } else if let Some(encoded) = text.strip_prefix(ED25519_PREFIX) {
            parse_ed25519(encoded)?
        } else {
            return Err(InvalidSecret::Prefix);
        };
        Ok(SigningKey { text: text.to_owned().into(), algorithm })
    }

    /// The last four characters, to tell one secret from another.
    pub fn hint(&self) -> String {
        let text = self.shown();
        text[text.len() - 4..].to_owned()
    }

    /// What the subscriber verifies with: the secret itself, or the public key of an Ed25519 pair.
    ///
    /// For the one answer that shows it; it is not to be kept.
    pub fn shown(&self) -> String {
        match &self.algorithm {
            Algorithm::Hmac(_) => self.text.expose_secret().to_owned(),
            Algorithm::Ed25519(pair) => public_half(pair).to_string(),
        }
    }

    /// What a receiver verifies with, if that is no secret. None for HMAC.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.ed25519_pair().map(public_half)
    }

    /// HMAC-SHA256 with the secret's text as key, as the older profiles have it. None for Ed25519.
    pub(crate) fn hmac_with_text(&self) -> Option<&hmac::Key> {
        match &self.algorithm {
            Algorithm::Hmac(keys) => Some(&keys.of_text),
            Algorithm::Ed25519(_) => None,
        }
    }

    /// HMAC-SHA256 with the bytes behind the text as key, as Standard Webhooks has it. None for Ed25519.
    pub(crate) fn hmac_with_bytes(&self) -> Option<&hmac::Key> {
        match &self.algorithm {
            Algorithm::Hmac(keys) => Some(&keys.of_bytes),
            Algorithm::Ed25519(_) => None,
        }
    }

    /// The Ed25519 pair. None for HMAC.
    pub(crate) fn ed25519_pair(&self) -> Option<&Ed25519KeyPair> {
        match &self.algorithm {
            Algorithm::Hmac(_) => None,
            Algorithm::Ed25519(pair) => Some(pair),
        }
    }
}

fn public_half(pair: &Ed25519KeyPair) -> PublicKey {
    PublicKey(pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
}

fn parse_hmac(text: &str, encoded: &str) -> Result<Algorithm, InvalidSecret> {
    let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| InvalidSecret::Encoding)?;
    if !HMAC_KEY_BYTES.contains(&bytes.len()) {
        return Err(InvalidSecret::Encoding);
    }
    Ok(hmac_keys(&bytes, text))
}

fn own_text(text: &str) -> Result<SigningKey, InvalidSecret> {
    let fits = HMAC_KEY_BYTES.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        return Err(InvalidSecret::OwnText);
    }
    Ok(SigningKey { text: text.to_owned().into(), algorithm: hmac_keys(text.as_bytes(), text) })
}

fn hmac_keys(bytes: &[u8], text: &str) -> Algorithm {
    Algorithm::Hmac(Box::new(HmacKeys {
        of_bytes: hmac::Key::new(hmac::HMAC_SHA256, bytes),
        of_text: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()),
    }))
}

fn parse_ed25519(encoded: &str) -> Result<Algorithm, InvalidSecret> {
    let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| InvalidSecret::Encoding)?;
    let (seed, public) =
        bytes.split_at_checked(32).filter(|(_, p)| p.len() == 32).ok_or(InvalidSecret::Encoding)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| InvalidSecret::Mismatch)?;
    Ok(Algorithm::Ed25519(pair))
}

/// The public half of an Ed25519 pair: what receivers verify with. It is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// As Standard Webhooks shows it: `whpk_` and base64.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ED25519_PUBLIC_PREFIX}{}", BASE64.encode(&self.0))
    }
}

/// A secret and when it stops being used.
pub struct LiveKey {
    /// The secret.
    pub key: SigningKey,
    /// The end of its overlap; none for the newest, which has no end yet.
    pub until: Option<Timestamp>,
}

/// The live secrets of a subscription, newest first. Never empty.
pub struct SigningKeys(Vec<LiveKey>);

impl SigningKeys {
    /// The keys of a new subscription.
    pub fn new(key: SigningKey) -> SigningKeys {
        SigningKeys(vec![LiveKey { key, until: None }])
    }

    /// The newest: the one that single-valued profiles sign with.
    pub fn newest(&self) -> &SigningKey {
        &self.0.first().expect("never empty").key
    }

    /// Every key that signs at `now`, newest first.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        self.0.iter().filter(move |live| live.until.is_none_or(|until| now < until)).map(|live| &live.key)
    }

    /// The public key of every pair that signs at `now` and when it stops, newest first.
    pub fn public_keys(&self, now: Timestamp) -> impl Iterator<Item = (PublicKey, Option<Timestamp>)> {
        let live = self.0.iter().filter(move |live| live.until.is_none_or(|until| now < until));
        live.filter_map(|live| Some((live.key.public_key()?, live.until)))
    }

    /// The keys after a rotation: `fresh` first; the newest of before signs beside it for
    /// `overlap`, and older ones until their own end.
    #[must_use]
    pub fn rotated(&self, fresh: SigningKey, overlap: Duration, now: Timestamp) -> SigningKeys {
        let ends = now + overlap;
        let old = self.0.iter().map(|live| LiveKey {
            key: SigningKey::read(live.key.text.expose_secret()).expect("it was read before"),
            until: Some(live.until.map_or(ends, |until| until.min(ends))),
        });
        let kept = old.filter(|live| live.until.is_some_and(|until| now < until)).take(OVERLAPPING_MAX);
        SigningKeys(std::iter::once(LiveKey { key: fresh, until: None }).chain(kept).collect())
    }

    /// One line a key, `end text`, for the store to seal.
    pub fn to_stored(&self) -> SecretString {
        let lines = self.0.iter().map(|live| {
            let until = live.until.map_or(0, Timestamp::as_millis);
            format!("{until} {}\n", live.key.text.expose_secret())
        });
        lines.collect::<String>().into()
    }

    /// Takes back what [`SigningKeys::to_stored`] gave.
    pub fn from_stored(text: &SecretString) -> Result<SigningKeys, InvalidSecret> {
        let keys = text.expose_secret().lines().map(|line| {
            let (until, secret) = line.split_once(' ').ok_or(InvalidSecret::Encoding)?;
            let until: i64 = until.parse().map_err(|_| InvalidSecret::Encoding)?;
            let until = (until != 0).then(|| Timestamp::from_millis(until));
            Ok(LiveKey { key: SigningKey::read(secret)?, until })
        });
        let keys = keys.collect::<Result<Vec<_>, InvalidSecret>>()?;
        if keys.is_empty() { Err(InvalidSecret::Encoding) } else { Ok(SigningKeys(keys)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn hints(keys: &SigningKeys, now: Timestamp) -> Vec<String> {
        keys.live(now).map(SigningKey::hint).collect()
    }

    #[test]
    fn an_old_key_signs_beside_the_new_one_until_the_overlap_ends() {
        let [a, b] = [[1; 32], [2; 32]].map(SigningKey::hmac);
        let (hint_a, hint_b) = (a.hint(), b.hint());
        let keys = SigningKeys::new(a).rotated(b, Duration::from_mins(1), at(100));
        assert_eq!(hints(&keys, at(159)), [hint_b.clone(), hint_a]);
        assert_eq!(hints(&keys, at(160)), [hint_b]);
    }

    #[test]
    fn an_overlap_of_nothing_ends_the_old_key_at_once() {
        let keys = SigningKeys::new(SigningKey::hmac([1; 32]));
        let keys = keys.rotated(SigningKey::hmac([2; 32]), Duration::ZERO, at(100));
        assert_eq!(hints(&keys, at(100)).len(), 1);
    }

    #[test]
    fn many_rotations_keep_a_bounded_number_of_keys() {
        let mut keys = SigningKeys::new(SigningKey::hmac([0; 32]));
        for n in 1..20 {
            keys = keys.rotated(SigningKey::hmac([n; 32]), OVERLAP_MAX, at(n.into()));
        }
        assert_eq!(hints(&keys, at(20)).len(), 1 + OVERLAPPING_MAX);
    }

    #[test]
    fn stored_keys_come_back_as_they_were() {
        let keys = SigningKeys::new(SigningKey::ed25519([1; 32]));
        let keys = keys.rotated(SigningKey::hmac([2; 32]), OVERLAP_DEFAULT, at(100));
        let back = SigningKeys::from_stored(&keys.to_stored()).expect("stored keys");
        assert_eq!(hints(&back, at(101)), hints(&keys, at(101)));
        assert_eq!(hints(&back, at(100_000)), hints(&keys, at(100_000)));
    }

    #[test]
    fn the_public_keys_are_those_of_live_pairs() {
        let [a, b] = [[1; 32], [2; 32]].map(SigningKey::ed25519);
        let (shown_a, shown_b) = (a.shown(), b.shown());
        let keys = SigningKeys::new(a).rotated(b, Duration::from_mins(1), at(100));
        let shown =
            |now| keys.public_keys(now).map(|(key, until)| (key.to_string(), until)).collect::<Vec<_>>();
        assert_eq!(shown(at(159)), [(shown_b.clone(), None), (shown_a, Some(at(160)))]);
        assert_eq!(shown(at(160)), [(shown_b, None)]);
        let shared = SigningKeys::new(SigningKey::hmac([3; 32]));
        assert_eq!(shared.public_keys(at(0)).count(), 0);
    }

    #[test]
    fn a_text_of_ones_own_is_stored_and_rotated_as_it_stands() {
        let own = OwnSecret::parse("correct-horse-battery-staple").expect("long enough").key();
        assert_eq!((own.shown().as_str(), own.hint().as_str()), ("correct-horse-battery-staple", "aple"));
        let keys = SigningKeys::new(own).rotated(SigningKey::hmac([2; 32]), OVERLAP_DEFAULT, at(100));
        let back = SigningKeys::from_stored(&keys.to_stored()).expect("stored keys");
        assert_eq!(hints(&back, at(101)), hints(&keys, at(101)));
        assert_eq!(hints(&back, at(101))[1], "aple");
    }

    #[test]
    fn a_text_of_ones_own_must_be_hard_to_guess_and_easy_to_send() {
        let whsec = format!("{HMAC_PREFIX}{}", BASE64.encode(&[7; 32]));
        for (text, refused) in [
            ("x".repeat(24), None),
            ("x".repeat(64), None),
            (whsec.clone(), None),
            ("x".repeat(23), Some(InvalidSecret::OwnText)),
            ("x".repeat(65), Some(InvalidSecret::OwnText)),
            (String::new(), Some(InvalidSecret::OwnText)),
            ("a secret with spaces in its text".to_owned(), Some(InvalidSecret::OwnText)),
            ("a-secret-with-a-line\n-break-in-it".to_owned(), Some(InvalidSecret::OwnText)),
            ("ein-geheimnis-für-alle-zeiten".to_owned(), Some(InvalidSecret::OwnText)),
            ("whsec_short".to_owned(), Some(InvalidSecret::Encoding)),
            (whsec.replace("whsec_", "whsk_"), Some(InvalidSecret::OwnPair)),
            (whsec.replace("whsec_", "whpk_"), Some(InvalidSecret::OwnPair)),
        ] {
            assert_eq!(OwnSecret::parse(&text).err(), refused, "{text:?}");
        }
    }

    #[test]
    fn broken_secrets_are_refused() {
        let whsec = |n: usize| format!("whsec_{}", BASE64.encode(&vec![7; n]));
        for (text, error) in [
            ("w".to_owned(), InvalidSecret::Prefix),
            ("hwsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned(), InvalidSecret::Prefix),
            ("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=".to_owned(), InvalidSecret::Prefix),
            ("whsec_%".to_owned(), InvalidSecret::Encoding),
            (whsec(10), InvalidSecret::Encoding),
            (whsec(81), InvalidSecret::Encoding),
            ("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=".to_owned(), InvalidSecret::Encoding),
            (format!("whsk_{}", BASE64.encode(&[7; 64])), InvalidSecret::Mismatch),
        ] {
            assert_eq!(SigningKey::parse(&text).err(), Some(error), "{text}");
        }
        assert!(SigningKey::parse(&whsec(24)).is_ok() && SigningKey::parse(&whsec(64)).is_ok());
    }
}
