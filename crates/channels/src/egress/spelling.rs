//! A URL as it was typed, held against what the parser made of it.
//!
//! Parsers repair what they are given, each in its own way, and attacks live in the difference. So a URL
//! is taken only if it already says what we understood: it must equal its own re-serialisation, but for
//! letter case, a default port, zeros before a port, the host's final dot and an absent path.

use url::{Host, Position, Url, quirks};

use crate::RefusedAddress;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

/// The parts of a URL, cut out of the text without repairing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spelled<'a> {
    pub(super) https: bool,
    host: &'a str,
    port: Option<&'a str>,
    /// Path and query.
    tail: &'a str,
}

impl<'a> Spelled<'a> {
    /// Cuts a URL into its parts. Refuses what no honest URL holds.
    pub(super) fn read(raw: &'a str) -> Result<Spelled<'a>, RefusedAddress> {
        check_characters(raw)?;
        let (https, rest) = split_scheme(raw).ok_or_else(must_be_https)?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(RefusedAddress::because(
                "the URL holds a user name or password; use a header instead",
            ));
        }
        if tail.contains('#') {
            return Err(RefusedAddress::because("the URL has a fragment, which is never sent"));
        }
        let (host, port) = split_port(authority);
        if host.is_empty() {
            return Err(RefusedAddress::because("the URL names no host"));
        }
        Ok(Spelled { https, host, port, tail })
    }

    /// Whether the parser understood what was typed.
    pub(super) fn check_against(&self, url: &Url) -> Result<(), RefusedAddress> {
        if !self.host_agrees(url) {
            let host = url.host_str().unwrap_or_default();
            return Err(RefusedAddress::because(format!(
                "the host is not in its usual form; did you mean {host}?"
            )));
        }
        if !self.port_agrees(url) {
            return Err(RefusedAddress::because("the port is not a number from 1 to 65535"));
        }
        if !self.tail_agrees(url) {
            let tail = &url[Position::BeforePath..Position::AfterPath];
            return Err(RefusedAddress::because(format!(
                "path and query must be written as they are sent; the path would be {tail}"
            )));
        }
        Ok(())
    }

    fn host_agrees(&self, url: &Url) -> bool {
        let typed = self.host.strip_suffix('.').unwrap_or(self.host);
        let read = url.host_str().unwrap_or_default();
        let read = read.strip_suffix('.').unwrap_or(read);
        match url.host() {
            // A name beyond ASCII stays what it was, or a look-alike was mapped to something else.
            Some(Host::Domain(_)) if !typed.is_ascii() => {
                quirks::domain_to_unicode(read) == typed.to_lowercase()
            }
            Some(_) => typed.eq_ignore_ascii_case(read),
            None => false,
        }
    }

    fn port_agrees(&self, url: &Url) -> bool {
        let Some(typed) = self.port else { return true };
        let digits = !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_digit());
        digits && typed.parse::<u16>().is_ok_and(|port| port > 0 && url.port_or_known_default() == Some(port))
    }

    fn tail_agrees(&self, url: &Url) -> bool {
        let read = &url[Position::BeforePath..];
        match self.tail.strip_prefix('/') {
            Some(_) => read == self.tail,
            None => read.strip_prefix('/') == Some(self.tail),
        }
    }
}

/// What every URL with another scheme is told.
pub(super) fn must_be_https() -> RefusedAddress {
    RefusedAddress::because("the URL must start with https://")
}

fn check_characters(raw: &str) -> Result<(), RefusedAddress> {
    if raw.len() > URL_BYTES_MAX {
        let bytes = raw.len();
        return Err(RefusedAddress::because(format!(
            "the URL is {bytes} bytes, the limit is {URL_BYTES_MAX}"
        )));
    }
    match raw.chars().find(|c| c.is_control() || c.is_whitespace() || *c == '\\') {
        Some(found) => Err(RefusedAddress::because(format!("the URL holds the character {found:?}"))),
        None => Ok(()),
    }
}

fn split_scheme(raw: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = raw.split_once("://")?;
    match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => Some((true, rest)),
        _ if scheme.eq_ignore_ascii_case("http") => Some((false, rest)),
        _ => None,
    }
}

/// Splits at the last colon that stands outside the brackets of an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}
