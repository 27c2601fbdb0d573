//! Links that stand in mails, and say by themselves whose they are.
//!
//! A link names a handle, a subscription and what may be done to it, under a MAC by the subscription's
//! own signing key, which is sealed at rest and never shown for e-mail. The MAC is over the mailbox, too:
//! the owner's default address keeps its subscription when it points elsewhere, and whoever read its mails
//! before ends nothing for whoever reads them now. So there is no list of tokens to keep or to lose: who reads the database without its master key can make no link, a new master key
//! leaves every link as it was, and a subscription that is removed takes its links with it
//! (decisions/0028).

use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use crate::handle::Handle;
use crate::ids::SubscriptionId;
use crate::mail_address::MailAddress;
use crate::secret::SigningKeys;
use crate::time::Timestamp;

/// What the MAC is over begins with this, so that it is no signature of anything else.
const CONTEXT: &[u8] = b"angarium mail link 2";
/// Bytes of the MAC that a link has: 192 bits, which nobody guesses.
const MAC_BYTES: usize = 24;
/// Bytes of a subscription's id.
const ID_BYTES: usize = 16;
/// The longest token that is looked at.
const TOKEN_CHARS_MAX: usize = 300;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Whoever reads this mail wants what was asked for at this time.
    Confirm(Timestamp),
    /// Ends the subscription.
    Unsubscribe,
}

/// A link's token, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    handle: Handle,
    subscription_id: SubscriptionId,
    kind: u8,
    mac: [u8; MAC_BYTES],
}

/// The text is no token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not the token of a link in a mail")]
pub struct NoToken;

impl Purpose {
    fn kind(self) -> u8 {
        match self {
            Purpose::Confirm(_) => 1,
            Purpose::Unsubscribe => 2,
        }
    }

    /// What makes one question's link another than the next one's.
    fn stamp(self) -> i64 {
        match self {
            Purpose::Confirm(asked_at) => asked_at.as_millis(),
            Purpose::Unsubscribe => 0,
        }
    }
}

/// The token of a link; none if the keys are a pair, which mails never have.
pub fn token(
    keys: &SigningKeys,
    handle: &Handle,
    id: SubscriptionId,
    reader: &MailAddress,
    purpose: Purpose,
) -> Option<String> {
    let mac = mac(keys, handle, id, reader, purpose)?;
    let mut bytes = vec![purpose.kind()];
    bytes.extend_from_slice(id.as_bytes());
    bytes.extend_from_slice(&mac);
    bytes.extend_from_slice(handle.as_str().as_bytes());
    Some(BASE64URL_NOPAD.encode(&bytes))
}

impl Token {
    /// Whose subscription it says it is about.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Which subscription it says it is about.
    pub fn subscription_id(&self) -> SubscriptionId {
        self.subscription_id
    }

    /// Whether it was made with these keys for this purpose, for whoever reads this mailbox.
    pub fn is_for(&self, keys: &SigningKeys, reader: &MailAddress, purpose: Purpose) -> bool {
        let expected = mac(keys, &self.handle, self.subscription_id, reader, purpose);
        self.kind == purpose.kind()
            && expected.is_some_and(|expected| verify_slices_are_equal(&expected, &self.mac).is_ok())
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Token, NoToken> {
        if text.len() > TOKEN_CHARS_MAX {
            return Err(NoToken);
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| NoToken)?;
        let (kind, rest) = bytes.split_first().ok_or(NoToken)?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>().ok_or(NoToken)?;
        let (mac, handle) = rest.split_first_chunk::<MAC_BYTES>().ok_or(NoToken)?;
        let handle = std::str::from_utf8(handle).map_err(|_| NoToken)?.parse().map_err(|_| NoToken)?;
        Ok(Token { handle, subscription_id: SubscriptionId::from_bytes(*id), kind: *kind, mac: *mac })
    }
}

fn mac(
    keys: &SigningKeys,
    handle: &Handle,
    id: SubscriptionId,
    reader: &MailAddress,
    purpose: Purpose,
) -> Option<[u8; MAC_BYTES]> {
    let mut context = hmac::Context::with_key(keys.newest().hmac_with_bytes()?);
    context.update(CONTEXT);
    context.update(&[purpose.kind()]);
    context.update(id.as_bytes());
    context.update(&purpose.stamp().to_be_bytes());
    context.update(handle.as_str().as_bytes());
    // No handle holds a zero, so what follows it is no part of it.
    context.update(&[0]);
    context.update(reader.key().as_bytes());
    context.sign().as_ref().first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SigningKey;

    const ASKED: Purpose = Purpose::Confirm(Timestamp::from_seconds(100));

    fn id() -> SubscriptionId {
        SubscriptionId::from_bytes([3; 16])
    }

    fn keys(n: u8) -> SigningKeys {
        SigningKeys::new(SigningKey::hmac([n; 32]))
    }

    fn handle(name: &str) -> Handle {
        name.parse().expect("a handle")
    }

    fn anna() -> MailAddress {
        "anna@example.com".parse().expect("an address")
    }

    fn link(purpose: Purpose) -> String {
        token(&keys(1), &handle("acme"), id(), &anna(), purpose).expect("a token")
    }

    #[test]
    fn a_link_names_its_subscription_and_what_it_is_for() {
        let read: Token = link(ASKED).parse().expect("a token");
        assert_eq!((read.handle(), read.subscription_id()), (&handle("acme"), id()));
        assert!(read.is_for(&keys(1), &anna(), ASKED));
        assert!(!read.is_for(&keys(2), &anna(), ASKED));
        assert!(!read.is_for(&keys(1), &anna(), Purpose::Unsubscribe));
        assert!(!read.is_for(&keys(1), &anna(), Purpose::Confirm(Timestamp::from_seconds(101))));
        let read: Token = link(Purpose::Unsubscribe).parse().expect("a token");
        assert!(
            read.is_for(&keys(1), &anna(), Purpose::Unsubscribe) && !read.is_for(&keys(1), &anna(), ASKED)
        );
    }

    #[test]
    fn a_link_is_for_one_mailbox_however_it_is_written() {
        let read: Token = link(Purpose::Unsubscribe).parse().expect("a token");
        for (address, is_theirs) in [("ANNA@example.com", true), ("bob@example.com", false)] {
            let reader = address.parse().expect("an address");
            assert_eq!(read.is_for(&keys(1), &reader, Purpose::Unsubscribe), is_theirs, "{address}");
        }
    }

    #[test]
    fn no_changed_link_is_taken() {
        let bytes = BASE64URL_NOPAD.decode(link(Purpose::Unsubscribe).as_bytes()).expect("base64url");
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let text = BASE64URL_NOPAD.encode(&bytes);
            let taken = text
                .parse::<Token>()
                .is_ok_and(|token| token.is_for(&keys(1), &anna(), Purpose::Unsubscribe));
            assert!(!taken, "byte {at}");
        }
        for text in ["", "AA", "not base64url!", &"A".repeat(400)] {
            assert_eq!(text.parse::<Token>(), Err(NoToken), "{text:?}");
        }
    }

    #[test]
    fn a_link_is_made_of_what_an_address_may_hold() {
        assert!(link(ASKED).bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
