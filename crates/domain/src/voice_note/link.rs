//! Addresses that are credentials: whoever has one may upload one file, or read it, for a while.
//!
//! The text carries what it is for and until when, and a MAC over both. What may be uploaded is not in it: that is
//! what the note was announced with, and never changes.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use crate::handle::Handle;
use crate::ids::VoiceNoteId;
use crate::time::Timestamp;

const MAC_BYTES: usize = 32;
/// What stands before the handle: the purpose, the time and the id.
const HEAD_BYTES: usize = 1 + 8 + 16;
/// A longer text is not looked at: a handle has 64 characters at most.
const TEXT_CHARS_MAX: usize = 256;
/// Keeps these MACs apart from any that the key may be used for besides.
const FORM: &[u8] = b"angarium voice note link 1\n";

/// What an address is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// To upload the file, once.
    Upload = 1,
    /// To read it.
    Read = 2,
}

/// What an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is good for.
    pub purpose: Purpose,
    /// Whose note.
    pub handle: Handle,
    /// Which note.
    pub note_id: VoiceNoteId,
    /// Until when.
    pub until: Timestamp,
}

/// The key that addresses are made with. It has no `Debug` and no `Serialize`.
#[derive(Clone)]
pub struct LinkKey(hmac::Key);

/// The text is no address that is good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedLink {
    /// Nobody made it with this key and for this purpose.
    #[error("there is no such address")]
    Unknown,
    /// It was good once.
    #[error("the address was good for a while, and that is over")]
    Over,
}

impl LinkKey {
    /// Takes 32 bytes that nobody can guess.
    pub fn from_bytes(bytes: &[u8; 32]) -> LinkKey {
        LinkKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl Link {
    /// The text of the address.
    pub fn text(&self, key: &LinkKey) -> String {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.handle.as_str().len() + MAC_BYTES);
        bytes.push(self.purpose as u8);
        bytes.extend_from_slice(&self.until.as_millis().to_be_bytes());
        bytes.extend_from_slice(self.note_id.as_bytes());
        bytes.extend_from_slice(self.handle.as_str().as_bytes());
        let mac = hmac::sign(&key.0, &[FORM, &bytes].concat());
        bytes.extend_from_slice(mac.as_ref());
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads the text of an address.
    ///
    /// # Errors
    ///
    /// [`RefusedLink`]; that its time has passed is said of true ones only.
    pub fn read(text: &str, purpose: Purpose, key: &LinkKey, now: Timestamp) -> Result<Link, RefusedLink> {
        let link = Link::known(text, purpose, key).ok_or(RefusedLink::Unknown)?;
        if now < link.until { Ok(link) } else { Err(RefusedLink::Over) }
    }

    fn known(text: &str, purpose: Purpose, key: &LinkKey) -> Option<Link> {
        if text.len() > TEXT_CHARS_MAX {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (said, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        hmac::verify(&key.0, &[FORM, said].concat(), mac).ok()?;
        let (head, handle) = said.split_at_checked(HEAD_BYTES)?;
        let until = i64::from_be_bytes(head[1..9].try_into().ok()?);
        let link = Link {
            purpose,
            handle: std::str::from_utf8(handle).ok()?.parse().ok()?,
            note_id: VoiceNoteId::from_bytes(head[9..].try_into().ok()?),
            until: Timestamp::from_millis(until),
        };
        (head[0] == purpose as u8).then_some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn key() -> LinkKey {
        LinkKey::from_bytes(&[7; 32])
    }

    fn link() -> Link {
        Link {
            purpose: Purpose::Upload,
            handle: "acme".parse().expect("a handle"),
            note_id: VoiceNoteId::from_bytes([3; 16]),
            until: NOW,
        }
    }

    fn before() -> Timestamp {
        Timestamp::from_millis(NOW.as_millis() - 1)
    }

    #[test]
    fn an_address_is_good_for_its_purpose_until_its_time() {
        let text = link().text(&key());
        assert_eq!(Link::read(&text, Purpose::Upload, &key(), before()), Ok(link()));
        assert_eq!(Link::read(&text, Purpose::Upload, &key(), NOW), Err(RefusedLink::Over));
        assert_eq!(Link::read(&text, Purpose::Read, &key(), before()), Err(RefusedLink::Unknown));
        let other = LinkKey::from_bytes(&[8; 32]);
        assert_eq!(Link::read(&text, Purpose::Upload, &other, before()), Err(RefusedLink::Unknown));
    }

    #[test]
    fn an_address_that_was_changed_anywhere_is_none() {
        let bytes = BASE64URL_NOPAD.decode(link().text(&key()).as_bytes()).expect("base64url");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let text = BASE64URL_NOPAD.encode(&changed);
            assert_eq!(
                Link::read(&text, Purpose::Upload, &key(), before()),
                Err(RefusedLink::Unknown),
                "{at}"
            );
        }
        for end in 0..bytes.len() {
            let text = BASE64URL_NOPAD.encode(&bytes[..end]);
            assert_eq!(
                Link::read(&text, Purpose::Upload, &key(), before()),
                Err(RefusedLink::Unknown),
                "{end}"
            );
        }
        for text in ["", ".", "../../etc/passwd", &"A".repeat(10_000)] {
            assert_eq!(Link::read(text, Purpose::Upload, &key(), before()), Err(RefusedLink::Unknown));
        }
    }
}
