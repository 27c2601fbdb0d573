//! What a receiver verifies with, and the forms of it that people mistake for another.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::BASE64;

use crate::secret::{ED25519_PREFIX, ED25519_PUBLIC_PREFIX, HMAC_PREFIX, InvalidSecret, SigningKey};
use crate::signature::mac;
use crate::signature::mistake::KeyForm;

/// What a receiver verifies with: a shared secret in all its forms, or a public key.
pub struct VerifyKey(pub(super) Vec<(KeyForm, Checker)>);

/// A key of one form.
pub(super) enum Checker {
    Hmac(Box<hmac::Key>),
    Ed25519([u8; 32]),
}

/// The text cannot verify anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVerifyKey {
    /// Nothing at all.
    #[error("the secret is empty")]
    Empty,
    /// Begins with `whsec_` or `whsk_`, and is broken after it.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// Begins with `whpk_`, and is broken after it.
    #[error("a whpk_ key is base64 of 32 bytes")]
    PublicKey,
}

impl VerifyKey {
    /// Reads `whsec_`, `whsk_` and `whpk_` texts; any other text is a shared secret as it stands.
    pub fn parse(text: &str) -> Result<VerifyKey, InvalidVerifyKey> {
        if text.is_empty() {
            return Err(InvalidVerifyKey::Empty);
        }
        if let Some(encoded) = text.strip_prefix(ED25519_PUBLIC_PREFIX) {
            return public_key(encoded);
        }
        if text.starts_with(ED25519_PREFIX) {
            let shown = SigningKey::parse(text)?.shown();
            return VerifyKey::parse(&shown);
        }
        if let Some(encoded) = text.strip_prefix(HMAC_PREFIX) {
            let secret = SigningKey::parse(text)?;
            return Ok(VerifyKey::shared(text, Some(&secret), (KeyForm::TextWithoutPrefix, encoded)));
        }
        let prefixed = format!("{HMAC_PREFIX}{text}");
        let secret = SigningKey::parse(&prefixed).ok();
        Ok(VerifyKey::shared(text, secret.as_ref(), (KeyForm::TextWithPrefix, &prefixed)))
    }

    /// The forms of a shared secret. `mistaken` is a text that people take for it.
    fn shared(text: &str, secret: Option<&SigningKey>, mistaken: (KeyForm, &str)) -> VerifyKey {
        let of_text =
            |text: &str| Checker::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())));
        let of_bytes =
            secret.and_then(SigningKey::hmac_with_bytes).cloned().map(|key| Checker::Hmac(Box::new(key)));
        let mut forms = vec![(KeyForm::Text, of_text(text)), (mistaken.0, of_text(mistaken.1))];
        forms.extend(of_bytes.map(|key| (KeyForm::Bytes, key)));
        VerifyKey(forms)
    }

    pub(super) fn form(&self, wanted: KeyForm) -> Option<&Checker> {
        self.0.iter().find(|(form, _)| *form == wanted).map(|(_, checker)| checker)
    }
}

fn public_key(encoded: &str) -> Result<VerifyKey, InvalidVerifyKey> {
    let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| InvalidVerifyKey::PublicKey)?;
    let key = bytes.try_into().map_err(|_| InvalidVerifyKey::PublicKey)?;
    Ok(VerifyKey(vec![(KeyForm::Pair, Checker::Ed25519(key))]))
}

impl Checker {
    /// Whether one of the signatures was made with this key over these pieces.
    pub(super) fn accepts(&self, pieces: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
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
