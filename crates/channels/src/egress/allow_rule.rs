//! What an operator opens: a network and the ports in it, such as `10.1.0.0/16:8080-8090`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network that attempts may go to although it is not public, on some ports or on all.
///
/// Text form: `network:ports`, where the network is an address or a CIDR, in brackets or not, and the
/// ports are `*`, one port, or a range: `127.0.0.0/8:*`, `10.1.0.0/16:8080-8090`, `[fd00::]/8:443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowRule {
    network: IpNet,
    ports: PortRange,
}

/// The ports of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRange {
    /// Every port.
    All,
    /// From the first to the last, both included.
    Range(RangeInclusive<u16>),
}

/// The text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAllowRule {
    /// Nothing says which ports are meant.
    #[error("{text:?} names no ports; write {text}:* for all of them, or {text}:8080, or {text}:8080-8090")]
    NoPorts {
        /// The rule.
        text: String,
    },
    /// The part before the last colon is not a network.
    #[error("{text:?} is not a network such as 10.1.0.0/16, 127.0.0.1 or fd00::/8")]
    Network {
        /// The part.
        text: String,
    },
    /// The network has bits beyond its prefix, so one of the two is a slip.
    #[error("{text} has bits beyond its prefix; write {network}")]
    HostBits {
        /// The network as given.
        text: String,
        /// The network that it lies in.
        network: IpNet,
    },
    /// The part after the last colon is not a range of ports.
    #[error("{text:?} is not *, a port from 1 to 65535, or a range of them such as 8080-8090")]
    Ports {
        /// The part.
        text: String,
    },
}

impl AllowRule {
    /// A rule for these ports of this network.
    pub fn new(network: IpNet, ports: PortRange) -> AllowRule {
        AllowRule { network: network.trunc(), ports }
    }

    /// Whether the rule opens this address.
    pub fn covers(&self, address: SocketAddr) -> bool {
        self.network.contains(&address.ip()) && self.ports.contain(address.port())
    }

    /// Whether the rule opens this address and no other: the operator meant exactly it.
    pub fn names_exactly(&self, address: SocketAddr) -> bool {
        let one_port = matches!(&self.ports, PortRange::Range(ports) if ports.start() == ports.end());
        self.covers(address) && one_port && self.network.prefix_len() == self.network.max_prefix_len()
    }
}

impl PortRange {
    fn contain(&self, port: u16) -> bool {
        match self {
            PortRange::All => true,
            PortRange::Range(ports) => ports.contains(&port),
        }
    }
}

impl FromStr for AllowRule {
    type Err = InvalidAllowRule;

    fn from_str(text: &str) -> Result<AllowRule, InvalidAllowRule> {
        let no_ports = || InvalidAllowRule::NoPorts { text: text.to_owned() };
        // A bare `fd00::/8` ends in a prefix, so its last colon separates nothing.
        let (network, ports) = text.rsplit_once(':').ok_or_else(no_ports)?;
        if ports.contains('/') || ports.ends_with(']') || ports.is_empty() {
            return Err(no_ports());
        }
        Ok(AllowRule { network: parse_network(network)?, ports: ports.parse()? })
    }
}

/// Reads `10.0.0.0/8`, `10.0.0.1`, `fd00::/8`, `[fd00::]/8` and `[fd00::/8]`.
fn parse_network(text: &str) -> Result<IpNet, InvalidAllowRule> {
    let bare: String = text.chars().filter(|c| !matches!(c, '[' | ']')).collect();
    let network = bare
        .parse::<IpNet>()
        .or_else(|_| bare.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| InvalidAllowRule::Network { text: text.to_owned() })?;
    if network != network.trunc() {
        return Err(InvalidAllowRule::HostBits { text: bare, network: network.trunc() });
    }
    Ok(network)
}

impl FromStr for PortRange {
    type Err = InvalidAllowRule;

    fn from_str(text: &str) -> Result<PortRange, InvalidAllowRule> {
        if text == "*" {
            return Ok(PortRange::All);
        }
        let invalid = || InvalidAllowRule::Ports { text: text.to_owned() };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid);
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(invalid());
        }
        Ok(PortRange::Range(first..=last))
    }
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            IpNet::V4(network) => write!(f, "{network}:{}", self.ports),
            IpNet::V6(network) => write!(f, "[{}]/{}:{}", network.addr(), network.prefix_len(), self.ports),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortRange::All => f.write_str("*"),
            PortRange::Range(ports) if ports.start() == ports.end() => write!(f, "{}", ports.start()),
            PortRange::Range(ports) => write!(f, "{}-{}", ports.start(), ports.end()),
        }
    }
}

impl Serialize for AllowRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AllowRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AllowRule, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> AllowRule {
        text.parse().expect("a rule")
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    #[test]
    fn rules_are_shown_in_one_form() {
        for (text, shown) in [
            ("127.0.0.0/8:*", "127.0.0.0/8:*"),
            ("10.1.0.0/16:8080-8090", "10.1.0.0/16:8080-8090"),
            ("[fd00::]/8:443", "[fd00::]/8:443"),
            ("fd00::/8:443", "[fd00::]/8:443"),
            ("[fd00::/8]:443", "[fd00::]/8:443"),
            ("127.0.0.1:9000", "127.0.0.1/32:9000"),
            ("[::1]:*", "[::1]/128:*"),
            ("10.0.0.1:80-80", "10.0.0.1/32:80"),
        ] {
            assert_eq!(rule(text).to_string(), shown);
            assert_eq!(rule(shown), rule(text));
        }
    }

    #[test]
    fn what_is_not_a_rule_is_refused_with_the_part_that_is_wrong() {
        for (text, message) in [
            ("10.0.0.0/8", "names no ports"),
            ("fd00::/8", "names no ports"),
            ("[fd00::1]", "names no ports"),
            ("10.0.0.0/8:", "names no ports"),
            ("example.com:443", "is not a network"),
            ("10.0.0.0/33:443", "is not a network"),
            ("10.1.2.3/8:443", "bits beyond its prefix; write 10.0.0.0/8"),
            ("10.0.0.0/8:0", "is not *, a port"),
            ("10.0.0.0/8:65536", "is not *, a port"),
            ("10.0.0.0/8:90-80", "is not *, a port"),
            ("10.0.0.0/8:http", "is not *, a port"),
        ] {
            let error = text.parse::<AllowRule>().expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_covers_its_network_and_ports_and_nothing_beside_them() {
        let ten = rule("10.1.0.0/16:8080-8090");
        assert!(ten.covers(at("10.1.255.255:8080")) && ten.covers(at("10.1.0.0:8090")));
        for outside in ["10.2.0.0:8080", "10.1.0.0:8079", "10.1.0.0:8091", "[::ffff:10.1.0.0]:8080"] {
            assert!(!ten.covers(at(outside)), "{outside}");
        }
    }

    #[test]
    fn only_one_address_and_one_port_is_an_exact_name() {
        let loopback = at("127.0.0.1:8080");
        assert!(rule("127.0.0.1:8080").names_exactly(loopback));
        for wider in ["127.0.0.1:*", "127.0.0.0/8:8080", "127.0.0.1:8080-8081", "127.0.0.1:8081"] {
            assert!(!rule(wider).names_exactly(loopback), "{wider}");
        }
    }
}
