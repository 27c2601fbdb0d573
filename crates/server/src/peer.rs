//! Where a request comes from: the other end of the connection, or whom a trusted proxy names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

/// What proxies write the addresses into that they were asked from, each behind the last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of the connection; on every request that came through the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The proxies whose word about a caller's address is taken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// Trusts these networks.
    pub fn new(networks: &[IpNet]) -> Proxies {
        Proxies(networks.into())
    }

    /// Whether an address is a proxy's.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The caller's address. None if a proxy does not name one: counting the proxy's own would
    /// hold all of its callers responsible for one.
    pub(crate) fn caller(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.0.to_canonical();
        if !self.contain(peer) {
            return Some(peer);
        }
        let named: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .collect();
        // From the end: whatever stands before the last address that is not a proxy's is the
        // caller's own word.
        for text in named.into_iter().rev() {
            let address = address_in(text.trim())?;
            if !self.contain(address) {
                return Some(address);
            }
        }
        None
    }
}

/// The network that stands for an address: an IPv6 address for its 64 bits, which is what one
/// customer is given, and an IPv4 address for itself.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            Ipv6Addr::from(segments).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn address_in(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    plain.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip())).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, forwarded_for: &[&str]) -> Option<String> {
        let networks = ["127.0.0.0/8", "10.0.0.0/8"].map(|text| text.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for value in forwarded_for {
            headers.append(FORWARDED_FOR, value.parse().expect("a value"));
        }
        let peer = Peer(peer.parse().expect("an address"));
        Proxies::new(&networks).caller(peer, &headers).map(|address| address.to_string())
    }

    #[test]
    fn a_stranger_speaks_for_itself_whatever_it_says() {
        assert_eq!(caller("192.0.2.1", &["198.51.100.7"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(caller("::ffff:192.0.2.1", &[]).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn a_proxy_names_the_last_address_that_is_no_proxy() {
        for named in [
            &["198.51.100.7"] as &[&str],
            &["203.0.113.9, 198.51.100.7"],
            &["203.0.113.9", "198.51.100.7, 10.1.2.3"],
            &["nonsense, 198.51.100.7:4711"],
        ] {
            assert_eq!(caller("127.0.0.1", named).as_deref(), Some("198.51.100.7"), "{named:?}");
        }
        assert_eq!(caller("10.0.0.1", &["[2001:db8::1]:443"]).as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn a_proxy_that_names_nobody_is_not_counted_as_a_caller() {
        for named in [&[] as &[&str], &[""], &["unknown"], &["10.1.2.3"], &["198.51.100.7, unknown"]] {
            assert_eq!(caller("127.0.0.1", named), None, "{named:?}");
        }
    }
}
