//! Sealing what must not be readable on disk: signing keys and remembered answers.
//!
//! AES-256-GCM. Every row has a key of its own, derived from the master key and the row's name, so a
//! ciphertext opens in its own row only, and random nonces never meet however much is sealed.
//! A sealed value is the master key's id (4 bytes), the nonce (12), the ciphertext and its tag (16).

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac, rand};
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use secrecy::{ExposeSecret, SecretBox, SecretString};

const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 4;
/// Keeps these derived keys apart from any that may be derived for another purpose.
const PURPOSE: &[u8] = b"angarium seal v1\n";

/// The key that everything sealed depends on. Without it the sealed rows of a store are lost.
///
/// It has no `Debug` and no `Serialize`; the library that holds it erases it when it is dropped.
#[derive(Clone)]
pub struct MasterKey {
    derive: Arc<hmac::Key>,
    id: [u8; KEY_ID_BYTES],
}

/// The text is not a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes as 64 hex digits or as base64; this text is {chars} characters of neither")]
pub struct InvalidMasterKey {
    chars: usize,
}

/// Why a sealed value could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// It was sealed with another master key.
    #[error("it was sealed with the master key {sealed_with}, this one is {this}")]
    OtherKey {
        /// The id of the key that it was sealed with.
        sealed_with: String,
        /// The id of the key at hand.
        this: String,
    },
    /// It was changed, cut short, or moved here from another row.
    #[error("it was damaged, or moved here from another row")]
    Damaged,
}

impl MasterKey {
    /// Takes 32 bytes that were drawn at random.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> MasterKey {
        MasterKey::from_secret(&SecretBox::new(Box::new(bytes)))
    }

    /// Reads a key's text: 64 hex digits, or base64 of 32 bytes, with or without space around it.
    pub fn parse(text: &str) -> Result<MasterKey, InvalidMasterKey> {
        let text = text.trim();
        let invalid = InvalidMasterKey { chars: text.chars().count() };
        let encoding = if text.len() == 2 * KEY_BYTES { HEXLOWER_PERMISSIVE } else { BASE64 };
        let bytes: SecretBox<Vec<u8>> =
            SecretBox::new(Box::new(encoding.decode(text.as_bytes()).map_err(|_| invalid)?));
        let bytes = bytes.expose_secret().as_slice().try_into().map_err(|_| invalid)?;
        Ok(MasterKey::from_bytes(bytes))
    }

    /// Draws a new key. The text is for the file that it is kept in.
    pub fn generate() -> (MasterKey, SecretString) {
        let bytes = SecretBox::<[u8; KEY_BYTES]>::init_with_mut(|bytes| {
            rand::fill(bytes).expect("the operating system has randomness");
        });
        let text = HEXLOWER.encode(bytes.expose_secret()).into();
        (MasterKey::from_secret(&bytes), text)
    }

    fn from_secret(bytes: &SecretBox<[u8; KEY_BYTES]>) -> MasterKey {
        let bytes = bytes.expose_secret();
        let hash = digest::digest(&digest::SHA256, bytes);
        MasterKey {
            derive: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)),
            id: *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"),
        }
    }

    /// The first bytes of the key's SHA-256, for messages: they tell one key from another.
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    /// A key for another purpose than sealing. Whoever knows it learns nothing about this one or about the keys for
    /// other purposes.
    pub fn derived(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let tag = hmac::sign(&self.derive, format!("angarium key for {purpose}\n").as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    /// Seals a value for the row named: its table and its key.
    pub(crate) fn seal(&self, row: &str, plain: &[u8]) -> Vec<u8> {
        let mut text = plain.to_vec();
        let nonce = self
            .key_of(row)
            .seal_in_place_append_tag(Aad::from(row.as_bytes()), &mut text)
            .expect("values are far below the limit of the cipher");
        [&self.id, nonce.as_ref().as_slice(), &text].concat()
    }

    /// Opens what was sealed for the row named.
    pub(crate) fn open(&self, row: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or(Unsealable::Damaged)?;
        if *id != self.id {
            return Err(Unsealable::OtherKey { sealed_with: HEXLOWER.encode(id), this: self.id() });
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable::Damaged)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key_of(row).open_in_place(nonce, Aad::from(row.as_bytes()), &mut text);
        let length = plain.map_err(|_| Unsealable::Damaged)?.len();
        text.truncate(length);
        Ok(text)
    }

    fn key_of(&self, row: &str) -> RandomizedNonceKey {
        let mut derive = hmac::Context::with_key(&self.derive);
        derive.update(PURPOSE);
        derive.update(row.as_bytes());
        RandomizedNonceKey::new(&AES_256_GCM, derive.sign().as_ref()).expect("HMAC-SHA256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::from_bytes([byte; 32])
    }

    #[test]
    fn a_sealed_value_opens_in_its_own_row_only() {
        let sealed = key(1).seal("keys acme sub_1", b"whsec_x");
        assert_eq!(key(1).open("keys acme sub_1", &sealed), Ok(b"whsec_x".to_vec()));
        assert_eq!(key(1).open("keys acme sub_2", &sealed), Err(Unsealable::Damaged));
    }

    #[test]
    fn another_master_key_is_told_from_a_damaged_value() {
        let sealed = key(1).seal("row", b"");
        let expected = Unsealable::OtherKey { sealed_with: key(1).id(), this: key(2).id() };
        assert_eq!(key(2).open("row", &sealed), Err(expected));
    }

    #[test]
    fn a_value_that_was_changed_or_cut_short_does_not_open() {
        let sealed = key(1).seal("row", b"value");
        for at in KEY_ID_BYTES..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key(1).open("row", &changed), Err(Unsealable::Damaged), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert_eq!(key(1).open("row", &sealed[..length]), Err(Unsealable::Damaged), "{length} bytes");
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_to_the_same_bytes() {
        assert_ne!(key(1).seal("row", b"value"), key(1).seal("row", b"value"));
    }

    #[test]
    fn hex_and_base64_name_the_same_key() {
        let hex = "07".repeat(32);
        let base64 = BASE64.encode(&[7; 32]);
        for text in
            [hex.clone(), hex.to_uppercase(), format!(" {hex}\n"), base64.clone(), format!("{base64}\n")]
        {
            assert_eq!(MasterKey::parse(&text).map(|k| k.id()), Ok(key(7).id()), "{text}");
        }
        let (generated, text) = MasterKey::generate();
        assert_eq!(MasterKey::parse(text.expose_secret()).map(|k| k.id()), Ok(generated.id()));
    }

    #[test]
    fn what_is_not_32_bytes_is_no_master_key() {
        for text in ["", "secret", &"0".repeat(63), &"g".repeat(64), &BASE64.encode(&[7; 31])] {
            assert!(MasterKey::parse(text).is_err(), "{text}");
        }
    }
}
