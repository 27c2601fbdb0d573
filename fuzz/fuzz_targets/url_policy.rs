//! Whatever text a subscriber sends: what the policy takes is https, public, and means the same to
//! every parser that reads it again.

#![no_main]

use angarium_channels::egress::{AddressPolicy, Endpoint, Host, special_purpose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &str| {
    let policy = AddressPolicy::default();
    let Ok(endpoint) = Endpoint::parse(raw, &policy) else { return };
    let normal = endpoint.as_str();
    assert!(normal.starts_with("https://"), "{normal:?} is not https");
    assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()), "{normal:?} has something invisible");

    let again = Endpoint::parse(normal, &policy).expect("the normal form is taken, too");
    assert_eq!((again.as_str(), again.host(), again.port()), (normal, endpoint.host(), endpoint.port()));

    let read = url::Url::parse(normal).expect("the normal form is a URL");
    assert!(read.username().is_empty() && read.password().is_none(), "{normal:?} has credentials");
    assert_eq!(read.fragment(), None);
    match endpoint.host() {
        // IPv4 in its mapped form is what it maps: the packets go there.
        Host::Address(address) => {
            assert_eq!(special_purpose(address.to_canonical()), None, "{normal:?} is not public");
        }
        Host::Name(name) => {
            assert_eq!(read.host_str().map(|host| host.trim_end_matches('.')), Some(name.as_str()));
            assert!(name.contains('.') && !name.ends_with(".localhost") && !name.ends_with(".internal"), "{name:?}");
        }
    }
});
