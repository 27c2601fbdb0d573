//! From which browser pages a handle's chain may be asked.
//!
//! An origin is compared as browsers write it, so it must be written so: that is the whole grammar, and
//! small enough to be checked here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most origins of a handle.
pub const ORIGINS_MAX: usize = 50;
/// The longest host name that there can be, in bytes.
const HOST_BYTES_MAX: usize = 253;

/// `https://host` or `https://host:port`, or, on this machine, `http://`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Box<str>);

/// The text is no origin that may be listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} is not an origin as browsers write it, such as https://shop.example.com or https://shop.example.com:8443: {why}"
)]
pub struct InvalidOrigin {
    shown: String,
    why: &'static str,
}

/// Which pages may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These; none at first.
    Listed(BTreeSet<Origin>),
}

/// The list is no list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigins {
    /// An origin is none.
    #[error("{error}")]
    Origin {
        /// Which one.
        at: usize,
        /// Why.
        error: InvalidOrigin,
    },
    /// An origin stands there twice.
    #[error("{origin} is listed twice")]
    Twice {
        /// The second time.
        at: usize,
        /// Which.
        origin: Origin,
    },
    /// `*` stands beside others.
    #[error("* means every origin, so it stands alone")]
    NotAlone,
    /// There are too many.
    #[error("there are {count} origins, the limit is {ORIGINS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl Origin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Origins {
    fn default() -> Origins {
        Origins::Listed(BTreeSet::new())
    }
}

impl Origins {
    /// Reads a list.
    pub fn of(texts: &[String]) -> Result<Origins, InvalidOrigins> {
        if texts.iter().any(|text| text == "*") {
            return if texts.len() == 1 { Ok(Origins::Any) } else { Err(InvalidOrigins::NotAlone) };
        }
        if texts.len() > ORIGINS_MAX {
            return Err(InvalidOrigins::TooMany { count: texts.len() });
        }
        let mut listed = BTreeSet::new();
        for (at, text) in texts.iter().enumerate() {
            let origin: Origin = text.parse().map_err(|error| InvalidOrigins::Origin { at, error })?;
            if !listed.insert(origin.clone()) {
                return Err(InvalidOrigins::Twice { at, origin });
            }
        }
        Ok(Origins::Listed(listed))
    }

    /// Whether a page may ask that the browser says is of this origin.
    pub fn admit(&self, origin: &str) -> bool {
        match self {
            Origins::Any => true,
            Origins::Listed(listed) => listed.iter().any(|known| known.as_str() == origin),
        }
    }

    /// The list as it was written, sorted.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Origins::Any => vec!["*"],
            Origins::Listed(listed) => listed.iter().map(Origin::as_str).collect(),
        }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Origin, InvalidOrigin> {
        let invalid = |why| InvalidOrigin { shown: text.chars().take(300).collect(), why };
        let (secure, authority) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(authority), _) => (true, authority),
            (_, Some(authority)) => (false, authority),
            _ => return Err(invalid("it begins with https://")),
        };
        let (host, port) = split(authority);
        if let Some(port) = port {
            let default = if secure { 443 } else { 80 };
            let number: u16 = port.parse().map_err(|_| invalid("its port is a number up to 65535"))?;
            if port != number.to_string() || number == 0 || number == default {
                return Err(invalid(
                    "its port is written without zeros before it, and left out where it is the usual one",
                ));
            }
        }
        let kind = Host::of(host).ok_or_else(|| {
            invalid("its host is a name in lower case, without a dot at its end, or an address, and nothing follows it")
        })?;
        if !secure && !kind.is_this_machine(host) {
            return Err(invalid("http:// is for this machine alone"));
        }
        Ok(Origin(text.into()))
    }
}

/// The host and the text of the port. The colons of an IPv6 address stand in brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

enum Host {
    Name,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    fn of(text: &str) -> Option<Host> {
        if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = inside.parse().ok()?;
            return (address.to_string() == inside).then_some(Host::V6(address));
        }
        let labels: Vec<&str> = text.split('.').collect();
        let last = labels.last().copied().unwrap_or_default();
        // Browsers take a last label of digits for the end of an IPv4 address.
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().ok().map(Host::V4);
        }
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let good = |label: &&str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
        (text.len() <= HOST_BYTES_MAX && labels.iter().all(good)).then_some(Host::Name)
    }

    fn is_this_machine(&self, text: &str) -> bool {
        match self {
            Host::Name => text == "localhost" || text.ends_with(".localhost"),
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Origins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Origins, D::Error> {
        Origins::of(&Vec::<String>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(texts: &[&str]) -> Result<Origins, InvalidOrigins> {
        Origins::of(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_origin_is_what_a_browser_writes() {
        for good in [
            "https://shop.example.com",
            "https://shop.example.com:8443",
            "https://192.0.2.1",
            "https://[2001:db8::1]:8443",
            "https://xn--bcher-kva.example",
            "http://localhost:3000",
            "http://app.localhost",
            "http://127.0.0.1:8080",
            "http://[::1]:5173",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "shop.example.com",
            "https://",
            "https://Shop.example.com",
            "https://shop.example.com/",
            "https://shop.example.com/path",
            "https://shop.example.com?x",
            "https://user@shop.example.com",
            "https://shop.example.com:443",
            "https://shop.example.com:0",
            "https://shop.example.com:0443",
            "https://shop.example.com:99999",
            "https://shop.example.com:",
            "https://shop..example.com",
            "https://shop.example.com.",
            "https://*.example.com",
            "https://bücher.example",
            "https://192.0.2.999",
            "https://[2001:DB8::1]",
            "https://[::1",
            "http://shop.example.com",
            "http://localhost.example.com",
            "http://192.0.2.1",
            "ftp://shop.example.com",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_match_exactly() {
        let listed = origins(&["https://shop.example.com", "http://localhost:3000"]).expect("a list");
        assert!(listed.admit("https://shop.example.com") && listed.admit("http://localhost:3000"));
        for other in [
            "http://shop.example.com",
            "https://shop.example.com:8443",
            "https://evil.shop.example.com",
            "https://shop.example.com.evil.test",
            "http://localhost:3001",
            "null",
            "",
        ] {
            assert!(!listed.admit(other), "{other}");
        }
        assert!(!Origins::default().admit("https://shop.example.com"));
        assert!(origins(&["*"]).expect("a list").admit("null"));
    }

    #[test]
    fn a_list_is_bounded_without_doubles_and_the_star_stands_alone() {
        assert_eq!(origins(&["*", "https://a.example"]), Err(InvalidOrigins::NotAlone));
        let twice = origins(&["https://a.example", "https://a.example"]);
        assert!(matches!(twice, Err(InvalidOrigins::Twice { at: 1, .. })));
        let many: Vec<String> = (0..51).map(|n| format!("https://a{n}.example")).collect();
        assert_eq!(Origins::of(&many), Err(InvalidOrigins::TooMany { count: 51 }));
        assert!(Origins::of(&many[..50]).is_ok());
    }
}
