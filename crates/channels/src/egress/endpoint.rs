//! An endpoint's URL: read once, judged as far as text can be judged, and brought to its normal form.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use url::{Position, Url};

use super::policy::{AddressPolicy, Standing};
use super::spelling::{Spelled, must_be_https};
use crate::RefusedAddress;

/// Ports from 1024 on behind which no receiver of webhooks lives, but something that a request may harm.
const PORTS_REFUSED: [u16; 9] = [2375, 2376, 2379, 3306, 5432, 6379, 9200, 11_211, 27_017];
/// The longest name of a host, in bytes.
const NAME_BYTES_MAX: usize = 253;
/// The longest part of a name between two dots, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Where a URL points to, accepted as text. Its name, if it has one, is not resolved yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    normalised: String,
    https: bool,
    host: Host,
    port: u16,
    exception: Option<Exception>,
}

/// The host of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name in ASCII and lower case, without a final dot.
    Name(String),
    /// A literal address.
    Address(IpAddr),
}

/// Why an endpoint is allowed only where a rule of the operator covers every address of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exception {
    PlainHttp,
    Port(u16),
    InnerName,
}

impl Endpoint {
    /// Reads a URL as a subscriber gave it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words for the subscriber.
    pub fn parse(raw: &str, policy: &AddressPolicy) -> Result<Endpoint, RefusedAddress> {
        let spelled = Spelled::read(raw)?;
        if !spelled.https && !policy.allow_http {
            return Err(must_be_https());
        }
        let url = Url::parse(raw)
            .map_err(|error| RefusedAddress::because(format!("the URL cannot be read: {error}")))?;
        spelled.check_against(&url)?;

        let host = Host::of(&url)?;
        let port = url.port_or_known_default().expect("http and https have default ports");
        let endpoint = Endpoint {
            normalised: normalised(&url, &host),
            https: spelled.https,
            exception: Exception::of(spelled.https, &host, port),
            host,
            port,
        };
        endpoint.check_against(policy)?;
        Ok(endpoint)
    }

    /// The URL in its normal form.
    pub fn as_str(&self) -> &str {
        &self.normalised
    }

    /// Whether the connection is made with TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, also where the URL leaves it out.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the endpoint may be at an address of this standing.
    pub(super) fn may_be_at(&self, standing: Standing) -> Result<(), RefusedAddress> {
        match (standing, self.exception) {
            (Standing::Opened, _) | (Standing::Public, None) => Ok(()),
            (Standing::Public, Some(exception)) => Err(exception.refusal()),
            (Standing::Refused(what), _) => Err(RefusedAddress::because(format!("the host is {what}"))),
        }
    }

    /// What can be said without resolving a name.
    fn check_against(&self, policy: &AddressPolicy) -> Result<(), RefusedAddress> {
        match (&self.host, self.exception) {
            (Host::Address(ip), _) => self.may_be_at(policy.judge(SocketAddr::new(*ip, self.port))),
            (Host::Name(name), _) if policy.own_hosts.contains(name) => {
                Err(RefusedAddress::because("the host is this service itself"))
            }
            (Host::Name(_), Some(exception)) if policy.allow.is_empty() => Err(exception.refusal()),
            (Host::Name(_), _) => Ok(()),
        }
    }
}

impl Host {
    fn of(url: &Url) -> Result<Host, RefusedAddress> {
        match url.host().ok_or_else(|| RefusedAddress::because("the URL names no host"))? {
            url::Host::Ipv4(ip) => Ok(Host::Address(ip.into())),
            url::Host::Ipv6(ip) => Ok(Host::Address(ip.into())),
            url::Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                check_name(name)?;
                Ok(Host::Name(name.to_owned()))
            }
        }
    }

    /// Whether the name says that the host is not on the public internet.
    fn is_inner(&self) -> bool {
        let Host::Name(name) = self else { return false };
        match name.rsplit_once('.') {
            None => true,
            Some((_, top)) => matches!(top, "localhost" | "local" | "internal"),
        }
    }

    /// Whether the name stands for this host itself, and is never asked of a name server.
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self, Host::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

/// As it stands in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Address(IpAddr::V6(ip)) => write!(f, "{}", url::Host::<&str>::Ipv6(*ip)),
        }
    }
}

impl Exception {
    fn of(https: bool, host: &Host, port: u16) -> Option<Exception> {
        let usual_port = matches!(port, 80 | 443) || port >= 1024 && !PORTS_REFUSED.contains(&port);
        match () {
            () if host.is_inner() => Some(Exception::InnerName),
            () if !usual_port => Some(Exception::Port(port)),
            () if !https => Some(Exception::PlainHttp),
            () => None,
        }
    }

    fn refusal(self) -> RefusedAddress {
        match self {
            Exception::PlainHttp => must_be_https(),
            Exception::Port(port) => RefusedAddress::because(format!("port {port} is not allowed")),
            Exception::InnerName => RefusedAddress::because("the host is a name of an inner network"),
        }
    }
}

/// Shows no query, which may hold credentials.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.normalised.split('?').next().unwrap_or_default())
    }
}

fn check_name(name: &str) -> Result<(), RefusedAddress> {
    if name.len() > NAME_BYTES_MAX {
        let bytes = name.len();
        return Err(RefusedAddress::because(format!(
            "the host is {bytes} bytes, the limit is {NAME_BYTES_MAX}"
        )));
    }
    if name.split('.').all(is_label) {
        Ok(())
    } else {
        Err(RefusedAddress::because("the host is not a name that can be looked up"))
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn normalised(url: &Url, host: &Host) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), &url[Position::BeforePath..])
}
