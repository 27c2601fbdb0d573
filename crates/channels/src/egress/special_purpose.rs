//! The addresses that are not the public internet, from the IANA special-purpose registries.
//!
//! `IpAddr::is_global` is unstable and knows less, so the table is ours and is tested line by line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const V4: [(Ipv4Net, &str); 16] = [
    (v4([0, 0, 0, 0], 8), "an address of this host"),
    (v4([10, 0, 0, 0], 8), "a private address"),
    (v4([100, 64, 0, 0], 10), "a shared address of a provider's network"),
    (v4([127, 0, 0, 0], 8), "a loopback address"),
    (v4([169, 254, 0, 0], 16), "a link-local address"),
    (v4([172, 16, 0, 0], 12), "a private address"),
    (v4([192, 0, 0, 0], 24), "an address for protocol assignments"),
    (v4([192, 0, 2, 0], 24), "a documentation address"),
    (v4([192, 88, 99, 0], 24), "a relay anycast address"),
    (v4([192, 168, 0, 0], 16), "a private address"),
    (v4([198, 18, 0, 0], 15), "a benchmarking address"),
    (v4([198, 51, 100, 0], 24), "a documentation address"),
    (v4([203, 0, 113, 0], 24), "a documentation address"),
    (v4([224, 0, 0, 0], 4), "a multicast address"),
    (v4([240, 0, 0, 0], 4), "a reserved address"),
    // Looks public, and is the host agent of every virtual machine on Azure.
    (v4([168, 63, 129, 16], 32), "a metadata service"),
];

/// Everything public is inside; what is not is refused as a whole.
const V6_GLOBAL: Ipv6Net = v6([0x2000, 0], 3);

const V6: [(Ipv6Net, &str); 4] = [
    (v6([0x2001, 0], 23), "an address for protocol assignments"),
    (v6([0x2001, 0xdb8], 32), "a documentation address"),
    (v6([0x2002, 0], 16), "a 6to4 address"),
    (v6([0x3fff, 0], 20), "a documentation address"),
];

/// The well-known prefix under which a NAT64 gateway reaches IPv4.
const NAT64: Ipv6Net = v6([0x64, 0xff9b], 96);

/// Where clouds answer any process on the machine with its credentials. Also in the ranges above.
const METADATA: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), prefix)
}

const fn v6(start: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(start[0], start[1], 0, 0, 0, 0, 0, 0), prefix)
}

/// What an address is, if it is not one of the public internet: "a private address".
///
/// Judges the address as it stands. The policy first takes IPv4 out of mapped and NAT64 forms.
pub fn special_purpose(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, what)| *what),
        IpAddr::V6(address) if !V6_GLOBAL.contains(&address) => Some("not a global unicast address"),
        IpAddr::V6(address) => V6.iter().find(|(net, _)| net.contains(&address)).map(|(_, what)| *what),
    }
}

/// Whether the address is one where a cloud hands out a machine's credentials.
pub(super) fn is_metadata_service(address: IpAddr) -> bool {
    METADATA.contains(&address)
}

/// The address that packets really go to: IPv4 behind a mapped form, and behind NAT64 where there is one.
pub(super) fn judged_form(address: IpAddr, nat64: bool) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if nat64 && NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        canonical => canonical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_special(text: &str, nat64: bool) -> bool {
        let address: IpAddr = text.parse().expect("an address");
        special_purpose(judged_form(address, nat64)).is_some()
    }

    #[test]
    fn every_special_network_is_refused_from_its_first_to_its_last_address() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "239.255.255.255"),
            ("240.0.0.0", "255.255.255.255"),
            ("168.63.129.16", "168.63.129.16"),
            ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert!(is_special(first, false), "{first}");
            assert!(is_special(last, false), "{last}");
        }
    }

    /// Row 21: the addresses just outside.
    #[test]
    fn neighbours_of_special_networks_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.254",
            "100.63.255.255",
            "100.128.0.0",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "172.32.0.1",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "168.63.129.15",
            "168.63.129.17",
            "2000::",
            "2001:200::",
            "2001:200::1",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "2606:4700:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_special(address, false), "{address}");
        }
    }

    #[test]
    fn an_inner_address_does_not_hide_in_another_form() {
        for (form, address) in [
            ("mapped", "::ffff:127.0.0.1"),
            ("mapped", "::ffff:a9fe:a9fe"),
            ("compatible", "::127.0.0.1"),
            ("translated", "::ffff:0:127.0.0.1"),
            ("ISATAP", "::5efe:7f00:1"),
            ("link-local ISATAP", "fe80::5efe:7f00:1"),
            ("NAT64", "64:ff9b::7f00:1"),
            ("local NAT64", "64:ff9b:1::a9fe:a9fe"),
            ("6to4", "2002:7f00:1::"),
            ("Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
            ("site-local", "fec0::1"),
            ("unique local", "fc00::1"),
            ("multicast", "ff02::1"),
            ("discard", "100::1"),
            ("segment routing", "5f00::1"),
        ] {
            assert!(is_special(address, false), "{form}: {address}");
            assert!(is_special(address, true), "{form}: {address} with NAT64");
        }
    }

    #[test]
    fn nat64_is_judged_by_its_inner_address_where_there_is_a_gateway() {
        assert!(is_special("64:ff9b::808:808", false));
        assert!(!is_special("64:ff9b::808:808", true));
        assert!(is_special("64:ff9b::a9fe:a9fe", true));
    }

    #[test]
    fn metadata_services_are_dead_without_their_own_list() {
        for address in METADATA {
            assert!(special_purpose(address).is_some(), "{address}");
        }
    }
}
