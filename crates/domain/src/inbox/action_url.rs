//! Where an item leads: the web, or an app of the operator's.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest address, in bytes.
const BYTES_MAX: usize = 2_048;
/// The longest scheme, in bytes.
const SCHEME_BYTES_MAX: usize = 32;
/// Schemes that run something, read files, or leave without encryption where they are followed.
const NEVER: [&str; 9] =
    ["javascript", "data", "vbscript", "file", "blob", "about", "http", "https", "filesystem"];

/// An address that a reader's client may follow: `https`, or the scheme of an app that the operator names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionUrl(Arc<str>);

/// The scheme of an app, such as `acme-app`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppScheme(Box<str>);

/// The text is no scheme that an app may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the scheme of an app, such as acme-app: a-z, 0-9, +, - and . after a letter, at most {SCHEME_BYTES_MAX} characters, and none that browsers know"
)]
pub struct InvalidAppScheme {
    text: String,
}

/// The text is no address that an item may lead to: words that follow its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidActionUrl {
    /// Too long.
    #[error("is {bytes} bytes, the limit is {BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A character that belongs into no address.
    #[error("holds a character that must be written as %XX in an address")]
    Character,
    /// Another scheme than those that are allowed.
    #[error("must begin with https://, or with the scheme of an app that the operator has named")]
    Scheme,
    /// No host, or somebody's password before it.
    #[error("must name a host and nobody before it")]
    Host,
}

impl ActionUrl {
    /// Takes an address, if it leads where it may.
    pub fn parse(text: &str, apps: &[AppScheme]) -> Result<ActionUrl, InvalidActionUrl> {
        if text.len() > BYTES_MAX {
            return Err(InvalidActionUrl::TooLong { bytes: text.len() });
        }
        let fits = |byte: u8| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte);
        if !text.bytes().all(fits) {
            return Err(InvalidActionUrl::Character);
        }
        let (scheme, rest) = text.split_once(':').ok_or(InvalidActionUrl::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "https" {
            let authority = rest.strip_prefix("//").ok_or(InvalidActionUrl::Scheme)?;
            let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.split(':').next().unwrap_or_default();
            if host.is_empty() || authority.contains('@') {
                return Err(InvalidActionUrl::Host);
            }
        } else if !apps.iter().any(|app| *app.0 == *scheme) {
            return Err(InvalidActionUrl::Scheme);
        }
        Ok(ActionUrl(text.into()))
    }

    /// Takes back what [`ActionUrl::as_str`] gave to the store.
    pub fn from_stored(text: &str) -> ActionUrl {
        ActionUrl(text.into())
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ActionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppScheme {
    type Err = InvalidAppScheme;

    fn from_str(text: &str) -> Result<AppScheme, InvalidAppScheme> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        let is_scheme = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(fits);
        if is_scheme && text.len() <= SCHEME_BYTES_MAX && !NEVER.contains(&text) {
            Ok(AppScheme(text.into()))
        } else {
            Err(InvalidAppScheme { text: text.chars().take(64).collect() })
        }
    }
}

impl fmt::Display for AppScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AppScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AppScheme, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), InvalidActionUrl>) {
        let apps = ["acme-app".parse().expect("a scheme")];
        assert_eq!(ActionUrl::parse(text, &apps).map(drop), expected, "{text}");
    }

    #[test]
    fn an_item_leads_to_the_web_or_into_the_operators_app() {
        for good in
            ["https://app.example.com/orders/42?x=1#top", "HTTPS://example.com:8443", "acme-app://orders/42"]
        {
            check(good, Ok(()));
        }
    }

    #[test]
    fn an_item_leads_nowhere_else() {
        use InvalidActionUrl::{Character, Host, Scheme, TooLong};
        for (bad, why) in [
            ("javascript:alert(1)", Scheme),
            ("JavaScript://example.com/%0aalert(1)", Scheme),
            ("data:text/html,x", Scheme),
            ("http://example.com/", Scheme),
            ("https:example.com", Scheme),
            ("//example.com", Scheme),
            ("/orders/42", Scheme),
            ("other-app://x", Scheme),
            ("https:///x", Host),
            ("https://user:secret@example.com/", Host),
            ("https://example.com/a b", Character),
            ("https://example.com/\"><script>", Character),
            ("https://example.com\\@evil.example", Character),
            ("https://exämple.com/", Character),
            ("java\nscript:x", Character),
        ] {
            check(bad, Err(why));
        }
        let long = format!("https://example.com/{}", "x".repeat(2_048));
        check(&long, Err(TooLong { bytes: long.len() }));
    }

    #[test]
    fn an_app_has_no_scheme_that_browsers_know() {
        for bad in ["javascript", "data", "http", "https", "", "1app", "Acme", "a b", &"a".repeat(33)] {
            assert!(bad.parse::<AppScheme>().is_err(), "{bad}");
        }
    }
}
