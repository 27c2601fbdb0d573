//! Which addresses attempts may go to: the public internet, and what the operator opened.

use std::net::{IpAddr, SocketAddr};

use super::allow_rule::AllowRule;
use super::special_purpose::{is_metadata_service, judged_form, special_purpose};

/// The operator's word on where attempts may go. The default is the public internet over https.
///
/// No subscriber can change any of this. It is fixed while the process runs, since pooled connections
/// are not judged again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks that are open although they are not public. A rule opens this service's own listener or
    /// a cloud's metadata service only if it names exactly that address and port.
    pub allow: Vec<AllowRule>,
    /// Whether plain `http` may be used, and then only to addresses that a rule of `allow` covers.
    pub allow_http: bool,
    /// Whether this host reaches IPv4 through NAT64; then `64:ff9b::/96` is judged by its inner address.
    pub nat64: bool,
    /// Where this service listens. An unspecified address stands for every address of this host.
    pub own_addresses: Vec<SocketAddr>,
    /// The names under which this service is reached, in lower case.
    pub own_hosts: Vec<String>,
}

/// What the policy says of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// On the public internet.
    Public,
    /// Covered by a rule of the operator.
    Opened,
    /// Not to be connected to, with what it is: "a private address".
    Refused(&'static str),
}

impl AddressPolicy {
    /// What the policy says of an address before a connection is made.
    pub(crate) fn judge(&self, address: SocketAddr) -> Standing {
        let address = self.judged(address);
        if self.allow.iter().any(|rule| rule.names_exactly(address)) {
            return Standing::Opened;
        }
        if self.is_own(address, address.ip().is_loopback() || address.ip().is_unspecified()) {
            return Standing::Refused("an address of this service");
        }
        if is_metadata_service(address.ip()) {
            return Standing::Refused("a metadata service");
        }
        if self.allow.iter().any(|rule| rule.covers(address)) {
            return Standing::Opened;
        }
        special_purpose(address.ip()).map_or(Standing::Public, Standing::Refused)
    }

    /// What the policy says once a connection stands, before anything is sent.
    ///
    /// The two ends of a connection to this very host share an address, and that is how a public
    /// address of ours is told from anybody else's.
    pub(crate) fn judge_connected(&self, peer: SocketAddr, local: SocketAddr) -> Standing {
        let standing = self.judge(peer);
        let (peer, local) = (self.judged(peer), self.judged(local));
        if peer.ip() != local.ip() || self.allow.iter().any(|rule| rule.names_exactly(peer)) {
            return standing;
        }
        match standing {
            Standing::Public => Standing::Refused("an address of this host"),
            Standing::Opened if self.is_own(peer, true) => Standing::Refused("an address of this service"),
            Standing::Opened | Standing::Refused(_) => standing,
        }
    }

    fn judged(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(judged_form(address.ip(), self.nat64), address.port())
    }

    fn is_own(&self, address: SocketAddr, on_this_host: bool) -> bool {
        self.own_addresses.iter().any(|own| {
            let ip: IpAddr = own.ip().to_canonical();
            own.port() == address.port() && (ip == address.ip() || ip.is_unspecified() && on_this_host)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    fn allowing(rules: &[&str]) -> AddressPolicy {
        let allow = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
        AddressPolicy { allow, ..AddressPolicy::default() }
    }

    #[test]
    fn a_rule_opens_a_private_network_on_its_ports_only() {
        let policy = allowing(&["10.0.0.0/8:8080-8090"]);
        assert_eq!(policy.judge(at("10.1.2.3:8081")), Standing::Opened);
        assert_eq!(policy.judge(at("[::ffff:10.1.2.3]:8081")), Standing::Opened);
        assert_eq!(policy.judge(at("10.1.2.3:443")), Standing::Refused("a private address"));
        assert_eq!(policy.judge(at("192.168.0.1:8081")), Standing::Refused("a private address"));
        assert_eq!(policy.judge(at("8.8.8.8:443")), Standing::Public);
    }

    #[test]
    fn a_broad_rule_does_not_open_a_metadata_service() {
        let broad = allowing(&["0.0.0.0/0:*", "::/0:*"]);
        for address in ["169.254.169.254:80", "100.100.100.200:80", "168.63.129.16:80", "[fd00:ec2::254]:80"]
        {
            assert_eq!(broad.judge(at(address)), Standing::Refused("a metadata service"), "{address}");
        }
        assert_eq!(allowing(&["169.254.169.254:80"]).judge(at("169.254.169.254:80")), Standing::Opened);
    }

    #[test]
    fn our_own_listener_is_opened_by_its_exact_name_only() {
        let mut policy = allowing(&["127.0.0.0/8:*"]);
        policy.own_addresses = vec![at("127.0.0.1:8080")];
        assert_eq!(policy.judge(at("127.0.0.1:8080")), Standing::Refused("an address of this service"));
        assert_eq!(policy.judge(at("127.0.0.1:8081")), Standing::Opened);

        policy.allow.push("127.0.0.1:8080".parse().expect("a rule"));
        assert_eq!(policy.judge(at("127.0.0.1:8080")), Standing::Opened);
    }

    #[test]
    fn a_listener_on_every_address_is_our_own_on_each_of_them() {
        let mut policy = allowing(&["127.0.0.0/8:*", "10.0.0.0/8:*"]);
        policy.own_addresses = vec![at("[::]:8080")];
        let own = Standing::Refused("an address of this service");
        assert_eq!(policy.judge(at("127.3.2.1:8080")), own);
        assert_eq!(policy.judge_connected(at("10.0.0.7:8080"), at("10.0.0.7:50000")), own);
        assert_eq!(policy.judge_connected(at("10.0.0.8:8080"), at("10.0.0.7:50000")), Standing::Opened);
        assert_eq!(policy.judge_connected(at("10.0.0.7:8081"), at("10.0.0.7:50000")), Standing::Opened);
    }

    #[test]
    fn a_public_address_of_this_host_is_known_by_its_other_end() {
        let policy = AddressPolicy::default();
        let ours = at("8.8.8.8:443");
        assert_eq!(
            policy.judge_connected(ours, at("8.8.8.8:50000")),
            Standing::Refused("an address of this host")
        );
        assert_eq!(policy.judge_connected(ours, at("9.9.9.9:50000")), Standing::Public);
    }
}
