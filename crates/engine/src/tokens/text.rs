//! What tokens look like: `patv1_<id>.<secret>`, and `pxk_live_…` or `pxk_test_…` of API keys.
//!
//! A key is its prefix and 84 lower-case letters and digits: the id (26), 256 random bits (52) and
//! a checksum (6), by which scanners for leaked secrets tell a key from other text.

use angarium_domain::access::{CredentialKind, Mode};
use angarium_domain::ids::{ApiKeyId, TokenId};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};

const PERSONAL: &str = "patv1_";
const KEY_LIVE: &str = "pxk_live_";
const KEY_TEST: &str = "pxk_test_";
const ID_CHARS: usize = 26;
const KEY_SECRET_CHARS: usize = 52;
const CHECKSUM_CHARS: usize = 6;

/// A text that may be a token: what it says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claimed<'a> {
    pub(super) id: TokenId,
    pub(super) kind: CredentialKind,
    pub(super) secret: &'a str,
}

/// The text of a new token, which is shown once, and the secret in it, of which a hash is kept.
pub(super) fn write(kind: CredentialKind, id: TokenId, random: &[u8; 32]) -> (String, String) {
    match kind {
        CredentialKind::Personal => {
            let secret = BASE64URL_NOPAD.encode(random);
            (format!("{PERSONAL}{}.{secret}", id.digits()), secret)
        }
        CredentialKind::Key(mode) => {
            let secret = BASE32_NOPAD.encode(random).to_ascii_lowercase();
            let text = format!("{}{}{secret}", prefix(mode), id.digits());
            let checksum = checksum(&text);
            (text + &checksum, secret)
        }
    }
}

/// Reads the text of a personal access token.
pub(super) fn personal(text: &str) -> Option<Claimed<'_>> {
    let (digits, secret) = text.strip_prefix(PERSONAL)?.split_once('.')?;
    Some(Claimed { id: format!("tok_{digits}").parse().ok()?, kind: CredentialKind::Personal, secret })
}

/// Reads the text of an API key.
pub(super) fn key(text: &str) -> Option<Claimed<'_>> {
    let mode = [Mode::Live, Mode::Test].into_iter().find(|mode| text.starts_with(prefix(*mode)))?;
    let (checked, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
    let (digits, secret) = checked.strip_prefix(prefix(mode))?.split_at_checked(ID_CHARS)?;
    if secret.len() != KEY_SECRET_CHARS || checksum(checked) != sum {
        return None;
    }
    let id: ApiKeyId = format!("key_{digits}").parse().ok()?;
    Some(Claimed { id: id.of_kind(), kind: CredentialKind::Key(mode), secret })
}

pub(super) fn sha256(text: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn prefix(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => KEY_LIVE,
        Mode::Test => KEY_TEST,
    }
}

fn checksum(text: &str) -> String {
    let digits = BASE32_NOPAD.encode(&sha256(text)).to_ascii_lowercase();
    digits[..CHECKSUM_CHARS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> TokenId {
        TokenId::from_bytes([7; 16])
    }

    #[test]
    fn only_the_documented_form_is_a_personal_token() {
        let text = format!("patv1_{}.secret", id().digits());
        let expected = Claimed { id: id(), kind: CredentialKind::Personal, secret: "secret" };
        assert_eq!(personal(&text), Some(expected));
        let digits = id().digits();
        for broken in [
            "",
            "patv1_",
            "patv1_.secret",
            &text[..20],
            &text.to_uppercase(),
            &format!("patv2_{digits}.s"),
            &format!("patv1_{digits}"),
        ] {
            assert_eq!(personal(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_key_says_its_mode_its_id_and_its_secret() {
        for (mode, prefix) in [(Mode::Live, "pxk_live_"), (Mode::Test, "pxk_test_")] {
            let (text, secret) = write(CredentialKind::Key(mode), id(), &[9; 32]);
            assert!(text.starts_with(prefix) && text.len() == prefix.len() + 84, "{text}");
            let rest = &text[prefix.len()..];
            assert!(rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{text}");
            let expected = Claimed { id: id(), kind: CredentialKind::Key(mode), secret: &secret };
            assert_eq!(key(&text), Some(expected));
        }
    }

    #[test]
    fn a_key_that_was_mistyped_does_not_reach_the_store() {
        let (text, _) = write(CredentialKind::Key(Mode::Live), id(), &[9; 32]);
        let mut broken = vec![
            String::new(),
            "pxk_live_".to_owned(),
            "pxk_live_é".to_owned(),
            text.replace("live", "test"),
            text.to_uppercase(),
            format!("{text}a"),
            text[..text.len() - 1].to_owned(),
        ];
        for at in 9..text.len() {
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            broken.push(format!("{}{other}{}", &text[..at], &text[at + 1..]));
        }
        for text in broken {
            assert_eq!(key(&text), None, "{text}");
        }
    }
}
