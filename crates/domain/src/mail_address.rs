//! An e-mail address that mails may be sent to: one, in ASCII, without a name or a comment.
//!
//! Narrower than RFC 5321 on purpose. What is left out, that is quoted local parts, addresses of hosts
//! by number and letters beyond ASCII, is what header injection and look-alike domains are made of. A
//! domain of another script is written as DNS has it (`xn--…`), which looks like nothing else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::subscription::EndpointUrl;

/// The longest address (RFC 5321, 4.5.3.1.3 without its brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;
/// The longest part before the `@`.
const LOCAL_BYTES_MAX: usize = 64;
/// The longest domain.
const DOMAIN_BYTES_MAX: usize = 253;

/// One address. The domain is in lower case, the part before the `@` as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailAddress(Box<str>);

/// Why a text is no address that mails are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It is empty or too long.
    #[error("an address has 3 to {ADDRESS_BYTES_MAX} characters, {LOCAL_BYTES_MAX} before the @")]
    Length,
    /// A letter beyond ASCII.
    #[error("an address is in ASCII; a domain of another script is written as DNS has it, as xn--…")]
    NotAscii,
    /// Not one `@` between two parts.
    #[error("an address is one name, an @ and one domain, without a display name, brackets or commas")]
    Form,
    /// A part before the `@` that is quoted, or not joined by single dots.
    #[error("the part before the @ is letters, digits and !#$%&'*+-/=?^_`{{|}}~ joined by single dots")]
    Local,
    /// A domain that is none in the public DNS.
    #[error("the domain is two or more labels of letters, digits and inner hyphens, such as example.com")]
    Domain,
}

impl MailAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a subscription's address has it.
    pub fn to_endpoint(&self) -> EndpointUrl {
        EndpointUrl::mailbox(&self.0)
    }

    /// The mailbox behind a subscription's address.
    pub fn of_endpoint(endpoint: &EndpointUrl) -> Option<MailAddress> {
        endpoint.mail_address()?.parse().ok()
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether two addresses are the same mailbox to whoever sends: no server that matters tells
    /// capital letters from small ones.
    pub fn is_same_mailbox(&self, other: &MailAddress) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// The same text for every spelling of a mailbox.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for MailAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<MailAddress, InvalidAddress> {
        if !text.is_ascii() {
            return Err(InvalidAddress::NotAscii);
        }
        if !(3..=ADDRESS_BYTES_MAX).contains(&text.len()) {
            return Err(InvalidAddress::Length);
        }
        let (local, domain) = text.split_once('@').ok_or(InvalidAddress::Form)?;
        if local.len() > LOCAL_BYTES_MAX {
            return Err(InvalidAddress::Length);
        }
        // Each is said of what people really send: a second address, a name, a line's end.
        if domain.contains('@')
            || text.bytes().any(|b| b <= b' ' || b == 0x7F || b"<>,;:()[]\"\\".contains(&b))
        {
            return Err(InvalidAddress::Form);
        }
        if !local.split('.').all(|part| !part.is_empty() && part.bytes().all(is_atom)) {
            return Err(InvalidAddress::Local);
        }
        if !is_domain(domain) {
            return Err(InvalidAddress::Domain);
        }
        Ok(MailAddress(format!("{local}@{}", domain.to_ascii_lowercase()).into()))
    }
}

fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_a_name = labels.last().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()));
    domain.len() <= DOMAIN_BYTES_MAX && labels.len() >= 2 && labels.iter().all(label) && last_is_a_name
}

impl TryFrom<String> for MailAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<MailAddress, InvalidAddress> {
        text.parse()
    }
}

impl From<MailAddress> for String {
    fn from(address: MailAddress) -> String {
        address.0.into()
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_have_is_an_address() {
        for (text, normal) in [
            ("anna@example.com", "anna@example.com"),
            ("Anna.B+news@Example.COM", "Anna.B+news@example.com"),
            ("o'neil@mail.example.co.uk", "o'neil@mail.example.co.uk"),
            ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ] {
            assert_eq!(text.parse::<MailAddress>().expect(text).as_str(), normal);
        }
    }

    #[test]
    fn what_begins_another_header_or_looks_like_another_domain_is_none() {
        use InvalidAddress as E;
        for (text, error) in [
            ("", E::Length),
            ("a@b\r\nBcc: x@example.com", E::Form),
            ("a@example.com\nBcc: x@example.com", E::Form),
            ("a\0@example.com", E::Form),
            ("Anna <anna@example.com>", E::Form),
            ("anna@example.com, bob@example.com", E::Form),
            ("anna@example.com;bob@example.com", E::Form),
            ("\"anna b\"@example.com", E::Form),
            ("anna(comment)@example.com", E::Form),
            ("a@b@example.com", E::Form),
            ("anna@[127.0.0.1]", E::Form),
            ("anna", E::Form),
            ("anna@аррӏе.com", E::NotAscii),
            ("änna@example.com", E::NotAscii),
            (".anna@example.com", E::Local),
            ("anna..b@example.com", E::Local),
            ("@example.com", E::Local),
            ("anna@localhost", E::Domain),
            ("anna@127.0.0.1", E::Domain),
            ("anna@-example.com", E::Domain),
            ("anna@example..com", E::Domain),
            ("anna@exa_mple.com", E::Domain),
        ] {
            assert_eq!(text.parse::<MailAddress>(), Err(error), "{text:?}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        assert_eq!(long.parse::<MailAddress>(), Err(E::Length));
        let long = format!("a@{}.com", "a.".repeat(130));
        assert_eq!(long.parse::<MailAddress>(), Err(E::Length));
    }

    #[test]
    fn a_mailbox_has_many_spellings() {
        let [one, other] =
            ["Anna@example.com", "anna@EXAMPLE.com"].map(|t| t.parse::<MailAddress>().expect(t));
        assert!(one.is_same_mailbox(&other));
        assert_eq!(one.key(), other.key());
        assert_eq!(MailAddress::of_endpoint(&one.to_endpoint()), Some(one));
    }
}
