//! What a receiver verifies with, and the forms of it that people mistake for another.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use data_encoding::BASE64;

use crate::mistake::KeyForm;

const HMAC_PREFIX: &str = "whsec_";
const PAIR_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";
/// The lengths that Standard Webhooks allows for a shared secret, in bytes.
const HMAC_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What a receiver verifies with: a shared secret in all its forms, or a public key. It has no
/// `Debug`, because it may be a secret.
pub struct VerifyKey(pub(crate) Vec<(KeyForm, Checker)>);

/// A key of one form.
pub(crate) enum Checker {
    Hmac(Box<hmac::Key>),
    Ed25519([u8; 32]),
}

/// The text cannot verify anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerifyKey {
    /// There is no text.
    #[error("no secret was given")]
    None,
    /// The text is empty.
    #[error("the secret is empty")]
    Empty,
    /// Begins with `whsec_`, and is broken after it.
    #[error("a whsec_ secret is base64 of 24 to 64 bytes")]
    Shared,
    /// Begins with `whsk_`, and is broken after it.
    #[error("a whsk_ secret is base64 of 64 bytes")]
    Pair,
    /// A key pair whose halves do not belong together.
    #[error("the public half of the whsk_ secret does not match its private half")]
    Mismatch,
    /// Begins with `whpk_`, and is broken after it.
    #[error("a whpk_ key is base64 of 32 bytes")]
    PublicKey,
}

impl VerifyKey {
    /// Reads `whsec_`, `whsk_` and `whpk_` texts; any other text is a shared secret as it stands.
    ///
    /// ```
    /// use angarium_verify::{InvalidVerifyKey, VerifyKey};
    ///
    /// assert!(VerifyKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
    /// assert_eq!(VerifyKey::parse("whpk_AAAA").err(), Some(InvalidVerifyKey::PublicKey));
    /// ```
    pub fn parse(text: &str) -> Result<VerifyKey, InvalidVerifyKey> {
        if text.is_empty() {
            return Err(InvalidVerifyKey::Empty);
        }
        if let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) {
            return Ok(VerifyKey::public(decoded(encoded).ok_or(InvalidVerifyKey::PublicKey)?));
        }
        if let Some(encoded) = text.strip_prefix(PAIR_PREFIX) {
            return public_half(encoded).map(VerifyKey::public);
        }
        if let Some(encoded) = text.strip_prefix(HMAC_PREFIX) {
            let bytes = hmac_bytes(encoded).ok_or(InvalidVerifyKey::Shared)?;
            return Ok(VerifyKey::shared(text, Some(&bytes), (KeyForm::TextWithoutPrefix, encoded)));
        }
        let prefixed = format!("{HMAC_PREFIX}{text}");
        let bytes = hmac_bytes(text);
        Ok(VerifyKey::shared(text, bytes.as_deref(), (KeyForm::TextWithPrefix, &prefixed)))
    }

    fn public(key: [u8; 32]) -> VerifyKey {
        VerifyKey(vec![(KeyForm::Pair, Checker::Ed25519(key))])
    }

    /// The forms of a shared secret. `mistaken` is a text that people take for it.
    fn shared(text: &str, bytes: Option<&[u8]>, mistaken: (KeyForm, &str)) -> VerifyKey {
        let hmac = |key: &[u8]| Checker::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)));
        let mut forms =
            vec![(KeyForm::Text, hmac(text.as_bytes())), (mistaken.0, hmac(mistaken.1.as_bytes()))];
        forms.extend(bytes.map(|bytes| (KeyForm::Bytes, hmac(bytes))));
        VerifyKey(forms)
    }

    pub(crate) fn form(&self, wanted: KeyForm) -> Option<&Checker> {
        self.0.iter().find(|(form, _)| *form == wanted).map(|(_, checker)| checker)
    }
}

fn hmac_bytes(encoded: &str) -> Option<Vec<u8>> {
    BASE64.decode(encoded.as_bytes()).ok().filter(|bytes| HMAC_KEY_BYTES.contains(&bytes.len()))
}

fn decoded<const N: usize>(encoded: &str) -> Option<[u8; N]> {
    BASE64.decode(encoded.as_bytes()).ok()?.try_into().ok()
}

/// The public half of a pair: the 32 bytes after the seed.
fn public_half(encoded: &str) -> Result<[u8; 32], InvalidVerifyKey> {
    let pair: [u8; 64] = decoded(encoded).ok_or(InvalidVerifyKey::Pair)?;
    let (seed, public) = pair.split_at(32);
    Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| InvalidVerifyKey::Mismatch)?;
    Ok(public.try_into().expect("half of 64 bytes"))
}

impl Checker {
    /// Whether one of the signatures was made with this key over these pieces.
    pub(crate) fn accepts(&self, pieces: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
        match self {
            Checker::Hmac(key) => {
                let tag = mac(key, pieces);
                signatures.iter().any(|found| verify_slices_are_equal(tag.as_ref(), found).is_ok())
            }
            Checker::Ed25519(key) => {
                let message = pieces.concat();
                let key = UnparsedPublicKey::new(&ED25519, key);
                signatures.iter().any(|found| key.verify(&message, found).is_ok())
            }
        }
    }
}

/// HMAC-SHA256 over pieces that are not copied together.
pub(crate) fn mac(key: &hmac::Key, pieces: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for piece in pieces {
        context.update(piece);
    }
    context.sign()
}
